"""Frozen networks that turn frames into a memory."""
