"""Compute numbered batches in a seeded order with workers, and resume exactly."""
