"""Say the scenes of the world in other languages than English: words and a grammar for each."""
