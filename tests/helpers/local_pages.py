"""A local page's server on a real port, and requests to it as the page or another site would send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from threading import Thread
from typing import Any, TypeVar

from pseudocap.label.pages.local_server import LocalServer

Server = TypeVar("Server", bound=LocalServer)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: LocalServer, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def post(server: LocalServer, path: str, value: object, **headers: str) -> tuple[int, dict[str, Any]]:
    """The status, and the JSON of the answer; of a refusal that is text, {"problem": text}."""
    sent = {"Content_Type": "application/json", "Origin": server.url.rstrip("/"), **headers}
    response, body = ask(server, path, method="POST", body=json.dumps(value).encode(), **sent)
    text = response.headers["Content-Type"].startswith("text/")
    return response.status, {"problem": body.decode()} if text else json.loads(body)
