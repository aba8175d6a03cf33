"""Serve local pages over clips: the server, the player and the style that the audit and browsing share."""
