"""Serve a page of this machine over clips: its data as JSON, the clips' files in ranges, frames as JPEG.

    GET  /                 the page
    GET  /clip/NAME        the video file of a clip, in ranges, so that a browser can jump
    GET  /frame/NAME       the clip's centre frame, for files that browsers do not play; /poster/NAME: a small one
    GET  and POST of       what the page's own server adds

A file is named by a clip's name and looked up among the page's own, so no request can name a path. The Host header
must be a name of this machine (a page elsewhere whose name was rebound to 127.0.0.1 sends its own), and what writes
must come from this very page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from pseudocap.errors import ConfigError, PseudocapError
from pseudocap.files.palette import PALETTE
from pseudocap.label.pages.media import centre_jpeg, content_type, locate_media, read_media, wanted_range
from pseudocap.types import LOCAL_NAMES

LONGEST_BODY = 10_000  # bytes; a request has some hundred
SHORT_SIDES = {"frame": 480, "poster": 120}  # pixels

POLICY = (  # lets the page run its own script and style, and nothing else
    "default-src 'none'; script-src {script}; style-src {style}; media-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Query = Mapping[str, str]  # of an address, the first value of each name


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedClip:
    """Hold where a clip lies: a source as labels name it, and its stretch; all of the file without an `end`."""

    source: str
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContent:
    """Hold a page and what it requests, apart from HTTP.

    `html` is the whole page. `reads` answers GET by route, `writes` POST; `downloads` are files, by route too. `clip`
    finds a clip of the page by its name, None where there is none.
    """

    html: str
    clip: Callable[[str], ServedClip | None]
    reads: Mapping[str, Callable[[Query], Mapping[str, Any]]]
    writes: Mapping[str, Callable[[dict[str, Any]], Mapping[str, Any]]]
    downloads: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


class StaleError(PseudocapError):
    """Refuse a change of what somebody else has changed meanwhile. `current` is how it is now, for the page."""

    def __init__(self, problem: str, current: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.current = current


def assemble_page(package: str) -> str:
    """Return a package's page.html with the shared style, player and script at their marks."""
    page = files(package).joinpath("page.html").read_text(encoding="utf-8")
    for name, mark in (("page.css", "/* {} */\n"), ("player.html", "<!-- {} -->\n"), ("page.js", "// {}\n")):
        shared = files("pseudocap.label.pages").joinpath(name).read_text(encoding="utf-8")
        page = page.replace(mark.format(name), shared, 1)
    return page.replace("/*PALETTE*/\n", PALETTE, 1)


class LocalServer(ThreadingHTTPServer):
    """Serve one page on 127.0.0.1; `port` 0 takes any free one. Run `serve_forever`, stop it with `shutdown`."""

    daemon_threads = True

    def __init__(self, content: PageContent, *, port: int) -> None:
        self.content = content
        self.policy = POLICY.format(script=_hash_of("script", content.html), style=_hash_of("style", content.html))
        if not 0 <= port <= 65535:
            raise ConfigError(f"port is {port} and must lie between 0 (any free one) and 65535")
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} of this machine cannot be had ({error.strerror}): give another --port, or 0 for any"
            ) from error

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closes a video midway."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _hash_of(tag: str, page: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    protocol_version = "HTTP/1.1"
    server_version = "pseudocap"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._respond(reading=True)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._respond(reading=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Log no requests: they would break the terminal's progress lines."""

    def _respond(self, *, reading: bool) -> None:
        self._route, _, self._query = self.path.partition("?")
        try:
            if problem := self._foreign(reading=reading):
                self._text(HTTPStatus.FORBIDDEN, problem)
            elif reading:
                self._read()
            else:
                self._write()
        except StaleError as error:
            self._json({"problem": str(error), **error.current}, HTTPStatus.CONFLICT)
        except PseudocapError as error:
            self._text(HTTPStatus.BAD_REQUEST, str(error))

    def _foreign(self, *, reading: bool) -> str | None:
        """Return why a request must have been sent by another page than ours, None where it is ours."""
        host = self.headers.get("Host", "")
        if re.sub(r":\d+$", "", host) not in LOCAL_NAMES:  # any port: a tunnel may end at another one
            return f"this page is for this machine alone, and was asked for as {host!r}"
        if reading:
            # A link to the page may be followed from anywhere; its clips and texts are for itself.
            elsewhere = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
            return "asked for by another site" if elsewhere and self._route != "/" else None
        if self.headers.get("Origin") != f"http://{host}":
            return f"sent by another site: Origin is {self.headers.get('Origin')!r}"
        if self.headers.get_content_type() != "application/json":
            return "requests are application/json"
        return None

    def _read(self) -> None:
        area, _, name = self._route.removeprefix("/").partition("/")
        content = self.server.content
        if self._route == "/":
            self._send(HTTPStatus.OK, content.html.encode(), "text/html; charset=utf-8")
        elif read := content.reads.get(self._route):
            query = {key: values[0] for key, values in parse_qs(self._query).items()}
            self._json(read(query))
        elif download := content.downloads.get(self._route):
            about = {"Content-Disposition": f'attachment; filename="{self._route.removeprefix("/")}"'}
            self._send(HTTPStatus.OK, download(), "application/octet-stream", about)
        elif area in ("clip", *SHORT_SIDES) and (clip := content.clip(name)):
            if area == "clip":
                self._clip(clip.source)
            else:
                frame = centre_jpeg(clip.source, clip.start, clip.end, SHORT_SIDES[area])
                self._send(HTTPStatus.OK, frame, "image/jpeg")
        else:
            self._text(HTTPStatus.NOT_FOUND, "there is no such page")

    def _write(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            self.close_connection = True  # what follows on the line is not a request
            return self._text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {LONGEST_BODY} bytes")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return self._text(HTTPStatus.BAD_REQUEST, "a request is one JSON object")
        if write := self.server.content.writes.get(self._route):
            return self._json(write(request))
        return self._text(HTTPStatus.NOT_FOUND, "there is no such page")

    def _clip(self, source: str) -> None:
        media = locate_media(source)
        if media is None:
            self._text(HTTPStatus.NOT_FOUND, f"{Path(source).name} is not there any more")
            return
        wanted = wanted_range(self.headers.get("Range"), media.size)
        if wanted is None:
            about = {"Content-Range": f"bytes */{media.size}"}
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "text/plain", about)
            return
        about = {"Accept-Ranges": "bytes", "Content-Length": str(len(wanted))}
        partial = len(wanted) < media.size
        if partial:
            about["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{media.size}"
        self._head(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK, content_type(media), about)
        if self.command != "HEAD":
            self.wfile.writelines(read_media(media, wanted))

    def _json(self, value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _text(self, status: HTTPStatus, text: str) -> None:
        if status == HTTPStatus.FORBIDDEN:
            self.close_connection = True  # its body was not read
        self._send(status, f"{text}\n".encode(errors="backslashreplace"), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self._head(status, kind, {"Content-Length": str(len(body)), **(more or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": self.server.policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **more,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
