"""Numbered batches in a seeded order, computed by workers, resumed exactly."""
