"""A checkpoint beside other captioners on the same frames."""
