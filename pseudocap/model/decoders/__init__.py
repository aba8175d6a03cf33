"""Frozen language models with adapters between their layers."""
