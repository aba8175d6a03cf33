"""Translate texts: by the apertium program, by sequence-to-sequence models of transformers."""
