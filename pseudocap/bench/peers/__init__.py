"""Compare a checkpoint with other captioners on the same frames."""
