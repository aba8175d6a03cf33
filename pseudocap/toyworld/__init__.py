"""Generate the embedded world: films of drawn things that act, and speech over them, in the real corpora's formats."""
