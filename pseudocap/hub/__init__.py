"""Weights and the people who use them."""
