"""Build the weights that the package ships."""
