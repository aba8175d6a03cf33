"""Transcribe the speech of one's own films, in the format of HowTo100M's captions."""
