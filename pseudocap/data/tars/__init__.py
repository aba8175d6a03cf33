"""Tars of samples: read, indexed, drawn from in any order."""
