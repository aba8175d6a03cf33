"""The page's server over real sockets: what it serves, and what it keeps to itself."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest
from helpers.audits import serving, some_pairs, write_colours
from helpers.local_pages import ask, post

from pseudocap.errors import ConfigError
from pseudocap.label.audit.judgement import left_of
from pseudocap.label.audit.report import report_of
from pseudocap.label.audit.server import AuditServer


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_colours(tmp_path / "film.mp4", seconds=2)


@pytest.fixture
def server(tmp_path: Path, film: Path) -> Iterator[AuditServer]:
    with serving(tmp_path, some_pairs(2, source=str(film))) as running:
        yield running


def answer_to(state: dict, **changes: object) -> dict:
    given = {
        "rater": state["rater"],
        "pair": state["pair"]["id"],
        "better": "left",
        "left": "correct",
        "right": "intro",
    }
    return {**given, **changes}


def test_answers_lead_from_pair_to_pair_and_undo_leads_back(server: AuditServer) -> None:
    first = json.loads(ask(server, "/api/next")[1])
    assert (first["rater"], first["judged"], first["total"], first["last"]) == ("anna", 0, 2, None)
    status, second = post(server, "/api/answer", answer_to(first))
    assert (status, second["judged"], second["last"]) == (200, 1, first["pair"]["id"])
    assert second["pair"]["id"] != first["pair"]["id"]
    _, done = post(server, "/api/answer", answer_to(second, better="tie"))
    assert (done["judged"], done["pair"]) == (2, None)
    _, back = post(server, "/api/undo", {"rater": "anna", "pair": done["last"]})
    assert back["pair"]["answer"] == {"better": "tie", "left": "correct", "right": "intro"}
    assert (back["judged"], back["last"]) == (1, first["pair"]["id"])


def test_the_texts_stand_on_the_sides_that_the_seed_says_and_nothing_else_tells_them_apart(server: AuditServer) -> None:
    sides = set()
    for rater in ("anna", "bert", "carl", "dora"):
        displayed = json.loads(ask(server, f"/api/next?rater={rater}")[1])["pair"]
        pair = server.audit.store.pairs[displayed["id"]]
        left = left_of(pair.id, seed=0, rater=rater)
        sides.add(left)
        assert [displayed["left"], displayed["right"]] == (
            [pair.pseudolabel, pair.asr] if left == "pseudolabel" else [pair.asr, pair.pseudolabel]
        )
        assert set(displayed) == {"id", "start", "end", "left", "right", "answer"}
    assert sides == {"pseudolabel", "asr"}


def test_texts_alone_are_asked_for_one_aligned_frame(tmp_path: Path, film: Path) -> None:
    pairs = [replace(pair, asr="") for pair in some_pairs(2, source=str(film))]
    with serving(tmp_path, pairs) as server:
        first = json.loads(ask(server, "/api/next?rater=bert")[1])
        assert first["alone"] is True
        assert first["pair"]["left"].startswith("label ")  # on whichever side it would stand beside another
        given = {"rater": "bert", "pair": first["pair"]["id"]}
        status, answer = post(server, "/api/answer", {**given, "kind": "intro"})
        assert status == 400
        assert "kind is 'intro' and must be one of correct, wrong" in answer["problem"]
        _, second = post(server, "/api/answer", {**given, "kind": "correct"})
        assert second["pair"]["left"].startswith("label ")
        post(server, "/api/answer", {"rater": "bert", "pair": second["pair"]["id"], "kind": "wrong"})
        report = report_of(server.audit.store)
    (aligned,) = report.figures
    assert (aligned.name, aligned.share, aligned.papers, report.left) == ("aligned", 50.0, 91, None)
    assert report.judged_by == {"bert": 2}


def test_an_answer_that_cannot_be_is_reported_and_not_kept(server: AuditServer) -> None:
    state = json.loads(ask(server, "/api/next")[1])
    for change, complaint in (
        ({"better": "both"}, "better is 'both'"),
        ({"left": "corect"}, "did you mean 'correct'"),
        ({"right": None}, "right is None"),
        ({"pair": "../../etc/passwd"}, "pair is"),
        ({"rater": "\n"}, "rater is"),
        ({"rater": 7}, "rater is 7"),
    ):
        status, answer = post(server, "/api/answer", answer_to(state, **change))
        assert status == 400
        assert complaint in answer["problem"]
    assert post(server, "/api/answer", [1])[0] == 400
    assert post(server, "/api/answer", "x" * 20_000)[0] == 413
    assert post(server, "/api/else", {})[0] == 404
    assert server.audit.store.judgements() == []


def test_a_clip_is_served_in_ranges_that_make_up_the_file(server: AuditServer, film: Path) -> None:
    path, content = f"/clip/{some_pairs(1)[0].id}", film.read_bytes()
    response, body = ask(server, path)
    assert (response.status, body, response.headers["Accept-Ranges"]) == (200, content, "bytes")
    assert response.headers["Content-Type"] == "video/mp4"
    response, first = ask(server, path, Range="bytes=0-999")
    assert (response.status, response.headers["Content-Range"]) == (206, f"bytes 0-999/{len(content)}")
    response, rest = ask(server, path, Range="bytes=1000-")
    assert response.status == 206
    assert first + rest == content
    response, body = ask(server, path, Range=f"bytes={len(content)}-")
    assert (response.status, response.headers["Content-Range"], body) == (416, f"bytes */{len(content)}", b"")
    response, body = ask(server, path, method="HEAD")
    assert (response.status, int(response.headers["Content-Length"]), body) == (200, len(content), b"")


def test_one_connection_serves_many_requests(server: AuditServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    pair = some_pairs(1)[0].id
    for path, status in (
        ("/", 200),
        ("/nothing", 404),
        (f"/clip/{pair}", 200),
        ("/api/next?rater=%0A", 400),
        ("/", 200),
    ):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_a_browser_that_goes_away_midway_leaves_the_server_well(
    server: AuditServer, film: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with film.open("ab") as file:
        file.truncate(50_000_000)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port)) as line:
            line.sendall(f"GET /clip/{some_pairs(1)[0].id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            line.recv(1000)
    assert ask(server, "/api/next")[0].status == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "path",
    [
        "/clip/../audit.sqlite",
        "/clip/%2e%2e/audit.sqlite",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/clip//etc/passwd",
        "/clip/film.mp4",
        "/clip/",
        "/frame/x",
        "/page.html",
        "/clip/0000000000000000/",
        "//[",
    ],
)
def test_no_path_leads_to_a_file(server: AuditServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


def test_only_this_machine_can_connect_and_only_under_its_own_names(server: AuditServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for host in ("127.0.0.1:1", "localhost", "[::1]:8765"):
        assert ask(server, "/", Host=host)[0].status == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8765", "", "evil.example:localhost"):
        response, body = ask(server, "/api/next", Host=host)
        assert response.status == 403
        assert b"label" not in body


def test_another_site_can_neither_write_nor_read(server: AuditServer) -> None:
    state = json.loads(ask(server, "/api/next")[1])
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{server.server_port + 1}"},  # another program's page on this machine
        {"Content_Type": "text/plain"},  # what a form of another site may send without asking
    ):
        assert post(server, "/api/answer", answer_to(state), **headers)[0] == 403
    response, _ = ask(server, "/api/answer", method="POST", body=b"{}", Content_Type="application/json")
    assert response.status == 403
    assert server.audit.store.judgements() == []
    for path in ("/api/next", f"/clip/{state['pair']['id']}", f"/frame/{state['pair']['id']}"):
        assert ask(server, path, Sec_Fetch_Site="cross-site")[0].status == 403
        response, _ = ask(server, path, Sec_Fetch_Site="same-origin")
        assert (response.status, response.headers["Cross-Origin-Resource-Policy"]) == (200, "same-origin")
    assert ask(server, "/", Sec_Fetch_Site="cross-site")[0].status == 200  # a link to the page


def test_the_page_names_no_other_place_and_may_run_only_its_own_script(server: AuditServer) -> None:
    response, body = ask(server, "/")
    page = body.decode()
    assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+", page)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_a_port_that_is_taken_or_impossible_is_told(server: AuditServer) -> None:
    for port in (server.server_port, 70_000):
        with pytest.raises(ConfigError, match=str(port)):
            AuditServer(server.audit.store, rater="anna", port=port)


def test_the_frame_is_the_one_at_the_centre_of_the_clip(server: AuditServer, film: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    response, body = ask(server, f"/frame/{some_pairs(2)[1].id}")
    assert response.headers["Content-Type"] == "image/jpeg"
    brightness = np.asarray(Image.open(io.BytesIO(body))).mean()
    assert abs(brightness - (40 + 180 * 15 // 20)) < 6  # the film grows brighter: frame 15 of 20, at 1.5 s of 2

    film.unlink()
    assert ask(server, f"/clip/{some_pairs(1)[0].id}")[0].status == 404
