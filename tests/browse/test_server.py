"""The page's server over real sockets: pages of rows, changes of a version, clips, and what it keeps to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.audits import write_colours
from helpers.browsing import ROWS, browse_row, browsing
from helpers.local_pages import ask, post

from pseudocap.browse.server import BrowseServer
from pseudocap.errors import InputError

MARKUP = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BrowseServer]:
    with browsing(tmp_path) as running:
        yield running


def read(server: BrowseServer, query: str = "") -> dict:
    response, body = ask(server, f"/api/rows?{query}")
    assert response.status == 200, body
    return json.loads(body)


def test_a_page_of_rows_comes_with_the_counts_of_all(server: BrowseServer) -> None:
    page = read(server, "text=dog&sort=-confidence&low=0.05")
    assert [row["id"] for row in page["rows"]] == ["r0", "r2"]
    assert {name: page[name] for name in ("editor", "found", "total", "page", "pages", "accepted", "edited")} == {
        "editor": "anna",
        "found": 2,
        "total": 5,
        "page": 1,
        "pages": 1,
        "accepted": 0,
        "edited": 0,
    }
    assert dict(page["verdicts"]) == {"kept": 2, "failed": 1, "long": 1, "short": 1, "word:100%_'x'": 1}
    assert "path" not in page["rows"][0]  # where the files lie is nobody's business


def test_a_change_and_its_undo_answer_with_the_row(server: BrowseServer) -> None:
    change = {"editor": "bert", "row": "r0", "version": 0, "caption": "a brown dog"}
    status, answer = post(server, "/api/change", change)
    assert (status, answer["row"]["caption"], answer["row"]["editor"]) == (200, "a brown dog", "bert")
    assert read(server, "editor=carl")["editor"] == "carl"
    status, answer = post(server, "/api/change", {**change, "editor": "anna", "caption": "a black dog"})
    assert status == 409
    assert "bert has changed this row meanwhile" in answer["problem"]
    assert (answer["row"]["caption"], answer["row"]["version"]) == ("a brown dog", 1)
    assert post(server, "/api/undo", {"editor": "anna"})[0] == 400
    status, answer = post(server, "/api/undo", {"editor": "bert"})
    assert (status, answer["row"]["caption"], answer["row"]["decision"]) == (200, "a red dog runs", "")


def test_a_request_that_cannot_be_is_refused_and_changes_nothing(tmp_path: Path, server: BrowseServer) -> None:
    good = {"editor": "anna", "row": "r0", "version": 0, "decision": "accepted"}
    for changes, complaint in (
        ({"editor": ""}, "editor is ''"),
        ({"editor": None}, "editor is None"),
        ({"row": 7}, "row is 7"),
        ({"row": "../rows.sqlite"}, "there is no row"),
        ({"version": "0"}, "version is '0'"),
        ({"version": None}, "version is None"),
        ({"version": True}, "version is True"),
        ({"decision": "acepted"}, "did you mean 'accepted'"),
        ({"decision": ["accepted"]}, "decision is ["),
        ({"caption": {"a": 1}}, "at least one word"),
    ):
        status, answer = post(server, "/api/change", {**good, **changes})
        assert status == 400, changes
        assert complaint in answer["problem"]
    assert ask(server, "/api/rows?sort=x")[0].status == 400
    assert ask(server, "/api/rows?page=x")[0].status == 400
    assert (tmp_path / "edits.jsonl").read_text() == ""


def test_another_site_can_neither_read_nor_change(server: BrowseServer) -> None:
    good = {"editor": "anna", "row": "r0", "version": 0, "decision": "accepted"}
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Content_Type": "text/plain"}):
        assert post(server, "/api/change", good, **headers)[0] == 403
        assert post(server, "/api/undo", {"editor": "anna"}, **headers)[0] == 403
    for path in ("/api/rows", "/captions.jsonl", "/clip/r0", "/frame/r0", "/poster/r0"):
        assert ask(server, path, Sec_Fetch_Site="cross-site")[0].status == 403
        assert ask(server, path, Host="evil.example")[0].status == 403
    assert read(server)["accepted"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/clip/../edits.jsonl",
        "/clip//etc/passwd",
        "/clip//films/film0.mp4",
        "/poster/..",
        "/edits.jsonl",
        "/clip/r9",
        "/x",
    ],
)
def test_no_path_leads_to_a_file(server: BrowseServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


def test_clips_frames_and_posters_are_those_of_the_rows_file(tmp_path: Path) -> None:
    film = write_colours(tmp_path / "film.mp4", seconds=2)
    rows = [
        browse_row(0, "a dog", path=str(film), start=1.0, end=2.0),
        browse_row(1, "all", path=str(film), start=None, end=None),
    ]
    with browsing(tmp_path, rows) as server:
        response, body = ask(server, "/clip/r0", Range="bytes=100-199")
        assert (response.status, body) == (206, film.read_bytes()[100:200])
        frames = {path: ask(server, path) for path in ("/frame/r0", "/poster/r0", "/frame/r1")}
        assert {response.headers["Content-Type"] for response, _ in frames.values()} == {"image/jpeg"}
        assert len({body for _, body in frames.values()}) == 3
        film.unlink()
        assert ask(server, "/clip/r0")[0].status == 404


def test_captions_are_downloaded_as_they_are_by_then(server: BrowseServer) -> None:
    post(server, "/api/change", {"editor": "anna", "row": "r0", "version": 0, "caption": "é"})
    response, body = ask(server, "/captions.jsonl")
    assert response.headers["Content-Disposition"] == 'attachment; filename="captions.jsonl"'
    assert [json.loads(line)["caption"] for line in body.decode().splitlines()] == ["é", "ein Straßenhund"]


def test_the_page_is_complete_in_itself_and_no_text_of_a_row_is_in_it(tmp_path: Path) -> None:
    with browsing(tmp_path, [browse_row(0, MARKUP, video=MARKUP, verdicts=(MARKUP,))]) as server:
        response, body = ask(server, "/")
        page = body.decode()
        assert "onerror" not in page
        assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+", page)
        assert "innerHTML" not in page
        assert "page.css" not in page
        assert "<!-- " not in page
        assert "// page.js" not in page
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert ask(server, "/api/rows")[0].headers["Content-Type"] == "application/json"


def test_a_name_that_cannot_be_is_refused_before_anything_is_served(server: BrowseServer) -> None:
    with pytest.raises(InputError, match="editor is"):
        BrowseServer(server.store, editor="\n", port=0)
    assert len(ROWS) == server.store.count()
