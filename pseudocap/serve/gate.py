"""Let requests in, or answer at once why not: foreign pages, a full queue, too large an upload, too long a wait.

This is plain ASGI, before anything of a request's body is read. Whoever is refused while still sending is listened to
a little longer, because a client whose connection is cut in the middle of its upload never reads the answer.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pseudocap.errors import ConfigError
from pseudocap.types import LOCAL_NAMES

ANY_HOST = "*"
FORM_BYTES = 2**16  # of a request besides its file
LINGER = 10.0  # seconds in which a refused upload is read and thrown away


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limit what the service takes: open requests, bytes of an upload, seconds of a video, seconds of a request."""

    queue: int = 64
    upload_bytes: int = 200 * 2**20
    video_seconds: float = 600.0
    request_seconds: float = 120.0

    def __post_init__(self) -> None:
        for name in ("queue", "upload_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("video_seconds", "request_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name):g}")


@dataclass(kw_only=True)
class RequestGate:
    """Wrap the application. Requests that cost something, `counted`, are limited in number, size and time."""

    app: ASGIApp
    limits: Limits
    hosts: frozenset[str] = LOCAL_NAMES
    counted: str = "/caption"
    open: int = 0
    refused: int = 0
    _usual: float = field(default=1.0)  # seconds of a request, lately

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        if problem := self._foreign(Headers(scope=scope)):
            await self._refuse(scope, exchange, 403, problem)
        elif scope["path"] != self.counted or scope["method"] != "POST":
            await self.app(scope, exchange.receive, exchange.send)
        elif self.open >= self.limits.queue:
            problem = f"{self.open} requests are waiting, which is as many as may: try again later"
            await self._refuse(scope, exchange, 503, problem, {"Retry-After": str(math.ceil(self._usual))})
        else:
            self.open += 1
            began = time.monotonic()
            try:
                await self._limited(scope, exchange)
            finally:
                self.open -= 1
                self._usual += (time.monotonic() - began - self._usual) / 8

    async def _limited(self, scope: Scope, exchange: _Exchange) -> None:
        exchange.most = self.limits.upload_bytes + FORM_BYTES
        exchange.too_much = f"an upload may have {self.limits.upload_bytes / 2**20:g} MB"
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > exchange.most:
            await self._refuse(scope, exchange, 413, exchange.too_much)
            return
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                await self.app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if exchange.answered:
                raise
            late = f"it took longer than the {self.limits.request_seconds:g} s that a request may take"
            await self._refuse(scope, exchange, 504, late)

    def _foreign(self, headers: Headers) -> str:
        """Return why a request must have been sent by the page of another site; nothing where it was not."""
        host = headers.get("host", "")
        if ANY_HOST not in self.hosts and re.sub(r":\d+$", "", host) not in self.hosts:
            return f"this service does not go by the name {host!r}: start it with --allow-host"
        origin = headers.get("origin")
        if origin is not None and re.sub(r"^https?://", "", origin) != host:
            return f"sent by the page of another site: Origin is {origin!r}"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return "sent by the page of another site"
        return ""

    async def _refuse(
        self, scope: Scope, exchange: _Exchange, status: int, problem: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.refused += 1
        response = JSONResponse({"error": problem}, status, {"Connection": "close", **(more or {})})
        await response(scope, exchange.receive, exchange.send)


@dataclass
class _Exchange:
    """Pass the messages of one request and its response: no more of the request than it may have, and the end of the
    response when the client has sent all, or after some seconds in which what it sends is thrown away."""

    _receive: Receive
    _send: Send
    most: int | None = None
    too_much: str = ""
    answered: bool = False
    _came: int = 0
    _all: bool = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._all = not message.get("more_body", False)
        self._came += len(message.get("body", b""))
        if self.most is not None and self._came > self.most and not self.answered:
            raise HTTPException(413, self.too_much)
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        if message["type"] == "http.response.body" and not message.get("more_body") and not self._all:
            await self._send({**message, "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    while not self._all:
                        await self.receive()
            message = {"type": "http.response.body"}
        await self._send(message)
