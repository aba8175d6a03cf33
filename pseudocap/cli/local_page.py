"""Serve a page of this machine until Ctrl-C, for the verbs that have one; the name of who uses it."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.label.pages.local_server import LocalServer


def serve_page(server: LocalServer, doing: str, closing: Callable[[], str]) -> int:
    """Print where the page is, serve it, and print a closing line when it ends."""
    try:
        print(f"{doing} at {server.url} (Ctrl-C ends)", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print(f"\n{closing()}")
    return 0


def login_name(default: str) -> str:
    """Return the user's login, or the default where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return default
