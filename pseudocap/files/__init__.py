"""Write files complete or not at all, reach remote folders, lock folders, read tars, and find weights."""
