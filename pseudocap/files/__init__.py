"""Bytes at rest: files that are whole or absent, remote folders, claims, locks, tars, and where weights lie."""
