"""Run the service in this process until Ctrl-C or SIGTERM, and finish what it has."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from pseudocap.errors import ConfigError


def take_port(host: str, port: int) -> socket.socket:
    """Take a port, 0 is any free one. Nobody can connect before the Server runs."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except (OSError, OverflowError) as error:
        taken.close()
        raise ConfigError(f"port {port} of {host} cannot be had ({error}); name another with --port") from error
    return taken


class Server(uvicorn.Server):
    """Serve on a port that was taken; `ready` gets the address. Where uvicorn raises the signal that ended it anew,
    this ends as a success."""

    def __init__(self, app: ASGIApp, taken: socket.socket, ready: Callable[[str], None]) -> None:
        options = {"ws": "none", "lifespan": "off", "log_level": "warning", "access_log": False}
        super().__init__(uvicorn.Config(app, http="h11", server_header=False, **options))  # type: ignore[arg-type]
        self._taken, self._ready = taken, ready

    def run_until_stopped(self) -> None:
        self.run([self._taken])

    def stop(self) -> None:
        """Take no more requests, and end when those that came are answered."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self._taken.getsockname()[:2]
        self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
