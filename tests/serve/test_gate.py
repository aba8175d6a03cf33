"""Who is let in, and what whoever is not is answered: over real sockets, by clients that misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from helpers.serving import Serving, serving
from helpers.shaded_films import write_film

from pseudocap import PseudoCap
from pseudocap.errors import ConfigError
from pseudocap.serve.gate import Limits

FAST = {"max_new_tokens": "4"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 2)


@contextmanager
def connected(service: Serving, sent: bytes) -> Iterator[socket.socket]:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(sent)
        yield line


def begun(length: int, *, host: str = "localhost") -> bytes:
    """A request whose body is still to come."""
    head = f"POST /caption HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n"
    return (head + "Content-Type: multipart/form-data; boundary=x\r\n\r\n").encode()


def eventually(test) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not test() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert test()


def test_other_hosts_and_pages_of_other_sites_are_refused(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path / "scratch") as service:
        for headers in (
            {"Host": "rebound.example:8000"},
            {"Host": ""},
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        ):
            for answer in (
                service.client.get("/health", headers=headers),
                service.client.post("/caption", data={"path": "film.mp4"}, headers=headers),
            ):
                assert answer.status_code == 403, headers
                assert answer.json()["error"]
        ours = {"Origin": service.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        assert service.client.get("/health", headers=ours).status_code == 200
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert service.client.get("/docs", headers=link).status_code == 200
        service.gate.hosts |= {"captions.example"}
        assert service.client.get("/health", headers={"Host": "captions.example"}).status_code == 200


def test_too_large_an_upload_is_answered_though_it_is_still_being_sent(model: PseudoCap, tmp_path: Path) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(3 * 2**20))
    with serving(model, tmp_path / "scratch", limits=Limits(upload_bytes=2**20)) as service:
        declared = service.caption(tmp_path / "large.mp4")
        start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.mp4"\r\n\r\n'
        body = (start, *(bytes(2**16) for _ in range(48)))  # in chunks, of a length that nobody declares
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        chunked = service.client.post("/caption", content=iter(body), headers=kind)
        for answer in (declared, chunked):
            assert (answer.status_code, answer.json()) == (413, {"error": "an upload may have 1 MB"})
        eventually(lambda: service.gate.open == 0)


def test_a_full_queue_says_when_to_come_again(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path / "scratch", limits=Limits(queue=2)) as service:
        with connected(service, begun(100)), connected(service, begun(100)):
            eventually(lambda: service.gate.open == 2)
            answer = service.caption(film)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "2 requests are waiting" in answer.json()["error"]
            assert service.client.get("/health").json()["queue"] == {"open": 2, "limit": 2, "refused": 1}
        eventually(lambda: service.gate.open == 0)
        assert service.caption(film, **FAST).status_code == 200


def test_whoever_sends_too_slowly_is_answered_and_makes_room(model: PseudoCap, tmp_path: Path) -> None:
    limits = Limits(queue=1, request_seconds=0.2)
    with serving(model, tmp_path / "scratch", limits=limits) as service, connected(service, begun(100)) as line:
        answer = line.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 504")
        line.close()
        eventually(lambda: service.gate.open == 0)


def test_a_client_that_goes_costs_nothing(
    model: PseudoCap, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun_batch, captioned = threading.Event(), threading.Event(), model.caption_clips

    def held(*given: object) -> list[str]:
        begun_batch.set()
        assert go.wait(60)
        return captioned(*given)  # type: ignore[arg-type]

    with serving(model, tmp_path / "scratch") as service:
        monkeypatch.setattr(model, "caption_clips", held)
        request = httpx.Request("POST", service.url + "/caption", files={"file": film.read_bytes()})
        body = request.read()
        head = begun(len(body)).replace(b"multipart/form-data; boundary=x", request.headers["Content-Type"].encode())
        with connected(service, head + body):
            assert begun_batch.wait(60)
        eventually(lambda: service.gate.open == 0 and not list((tmp_path / "scratch").iterdir()))
        go.set()
        assert service.caption(film, **FAST).status_code == 200
        assert service.client.get("/health").json()["captioned"] == {"files": 1, "failed": 0, "clips": 2}


def test_an_end_answers_those_who_wait(
    model: PseudoCap, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, captioned = threading.Event(), model.caption_clips

    def held(*given: object) -> list[str]:
        assert go.wait(60)
        return captioned(*given)  # type: ignore[arg-type]

    answers: list[httpx.Response] = []
    with serving(model, tmp_path / "scratch") as service:
        monkeypatch.setattr(model, "caption_clips", held)
        clients = [threading.Thread(target=lambda: answers.append(service.caption(film, **FAST))) for _ in range(5)]
        for client in clients:
            client.start()
        eventually(lambda: service.gate.open == 5)
        service.server.stop()
        go.set()
        for client in clients:
            client.join()
    assert [answer.status_code for answer in answers] == [200] * 5


def test_limits_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="queue must be at least 1, not 0"):
        Limits(queue=0)
    with pytest.raises(ConfigError, match="request_seconds must be above 0, not 0"):
        Limits(request_seconds=0)
