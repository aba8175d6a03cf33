"""Serve the page on which a rater judges: on localhost, and only the clips of the audit, by number.

    GET  /                                  the page
    GET  /api/next?rater=R                  the first pair that R has not judged, and how far R has come
    POST /api/answer {rater, pair, better, left, right}   keep an answer, then as /api/next
    POST /api/undo {rater, pair}            take an answer back and show that pair again
    GET  /clip/PAIR                         the video file of a pair, in ranges, so that a browser can jump
    GET  /frame/PAIR                        the centre frame as JPEG, for files that browsers do not play

Which text is the pseudolabel never leaves the server. A file is named by a pair's id and looked up among the audit's
own, so no request can name a path. The Host header must be a name of this machine (a page elsewhere whose name was
rebound to 127.0.0.1 sends its own), and what writes must come from this very page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from pseudocap.errors import ConfigError, PseudocapError
from pseudocap.label.audit.judgement import (
    KINDS,
    Judgement,
    checked_rater,
    judgement_of_sides,
    left_of,
    one_of,
    order_of,
    sides_of_judgement,
)
from pseudocap.label.audit.media import centre_jpeg, content_type, locate_media, read_media, wanted_range
from pseudocap.label.audit.store import AuditStore

LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}
LONGEST_BODY = 10_000  # bytes; an answer has some hundred


POLICY = (  # lets the page run its own script and style, and nothing else
    "default-src 'none'; script-src {script}; style-src {style}; media-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _hash_of(tag: str, page: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


class Audit:
    """Answer what the page requests, apart from HTTP. `rater` is the name for whoever gives none."""

    def __init__(self, store: AuditStore, *, rater: str) -> None:
        self.store = store
        self.rater = checked_rater(rater)

    def next(self, rater: str) -> dict[str, Any]:
        """Return the first pair in this rater's order that is not judged; `pair` is None when all are."""
        given = self.store.judgements(rater)
        judged = {judgement.pair for judgement in given}
        order = order_of(self.store.pairs, seed=self.store.seed, rater=rater)
        return {
            "rater": rater,
            "judged": len(judged),
            "total": len(order),
            "last": given[-1].pair if given else None,
            "pair": next((self._pair_data(pair, rater) for pair in order if pair not in judged), None),
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store an answer and go on."""
        rater, pair = self._named(request)
        judgement = judgement_of_sides(
            rater=rater,
            pair=pair,
            seed=self.store.seed,
            better=one_of(request.get("better"), ("left", "right", "tie"), field="better"),  # type: ignore[arg-type]
            left=one_of(request.get("left"), KINDS, field="left"),  # type: ignore[arg-type]
            right=one_of(request.get("right"), KINDS, field="right"),  # type: ignore[arg-type]
        )
        self.store.put(judgement)
        return self.next(rater)

    def undo(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take an answer back and display the pair with it, so that only what was wrong needs another answer."""
        rater, pair = self._named(request)
        taken = self.store.take_back(rater, pair)
        return {**self.next(rater), "pair": self._pair_data(pair, rater, taken)}

    def _named(self, request: dict[str, Any]) -> tuple[str, str]:
        rater, pair = request.get("rater"), request.get("pair")
        if not isinstance(rater, str):
            raise ConfigError(f"rater is {rater!r} and must be a name")
        return checked_rater(rater), one_of(pair, tuple(self.store.pairs), field="pair")

    def _pair_data(self, pair_id: str, rater: str, answer: Judgement | None = None) -> dict[str, Any]:
        pair = self.store.pairs[pair_id]
        texts = [pair.pseudolabel, pair.asr]
        if left_of(pair_id, seed=self.store.seed, rater=rater) == "asr":
            texts.reverse()
        data = {"id": pair_id, "start": pair.start, "end": pair.end, "left": texts[0], "right": texts[1]}
        return {**data, "answer": sides_of_judgement(answer) if answer else None}


class AuditServer(ThreadingHTTPServer):
    """Serve one audit on 127.0.0.1; `port` 0 takes any free one. Run `serve_forever`, stop it with `shutdown`."""

    daemon_threads = True

    def __init__(self, store: AuditStore, *, rater: str, port: int) -> None:
        self.audit = Audit(store, rater=rater)
        page = files("pseudocap.label.audit").joinpath("page.html").read_text(encoding="utf-8")
        self.page = page.encode()
        self.policy = POLICY.format(script=_hash_of("script", page), style=_hash_of("style", page))
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


class _Handler(BaseHTTPRequestHandler):
    server: AuditServer
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
            return "answers are application/json"
        return None

    def _read(self) -> None:
        area, _, name = self._route.removeprefix("/").partition("/")
        audit = self.server.audit
        if self._route == "/":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif self._route == "/api/next":
            rater = parse_qs(self._query).get("rater", [audit.rater])[0]
            self._json(audit.next(checked_rater(rater)))
        elif area in ("clip", "frame") and name in audit.store.pairs:
            pair = audit.store.pairs[name]
            if area == "clip":
                self._clip(pair.source)
            else:
                self._send(HTTPStatus.OK, centre_jpeg(pair.source, pair.start, pair.end), "image/jpeg")
        else:
            self._text(HTTPStatus.NOT_FOUND, "there is no such page")

    def _write(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            self.close_connection = True  # what follows on the line is not a request
            return self._text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an answer has at most {LONGEST_BODY} bytes")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except ValueError:
            request = None
        if not isinstance(request, dict):
            return self._text(HTTPStatus.BAD_REQUEST, "an answer is one JSON object")
        calls = {"/api/answer": self.server.audit.answer, "/api/undo": self.server.audit.undo}
        if call := calls.get(self._route):
            return self._json(call(request))
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

    def _json(self, value: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), "application/json")

    def _text(self, status: HTTPStatus, text: str) -> None:
        if status == HTTPStatus.FORBIDDEN:
            self.close_connection = True  # its body was not read
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

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
