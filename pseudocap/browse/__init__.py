"""Look through labels and captions on a local page; edit, accept and reject them; export what came of it."""
