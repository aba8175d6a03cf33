"""Races of each part against its named alternative."""
