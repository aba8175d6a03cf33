"""The embedded world: films of drawn things that act, and people talking over them, in the real corpora's formats."""
