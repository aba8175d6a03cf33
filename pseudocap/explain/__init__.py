"""Explain a caption: where each word looked, how far each adapter opened; as arrays, figures, a page."""
