"""Share weights: find, fetch, check and publish checkpoints."""
