"""What POST /caption takes and answers: as `pseudocap caption` does, and nothing that is not to be read."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Serving, serving
from helpers.shaded_films import write_film
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.caption_files import caption_densely, caption_files
from pseudocap.cli.main import main
from pseudocap.decoding import FileDecoding
from pseudocap.rows import read_rows
from pseudocap.serve.api import CaptionForm, _header
from pseudocap.serve.batching import STOPPED
from pseudocap.serve.gate import Limits
from pseudocap.serve.parts import ClipLengths

TOKENS = 6
FILES = ("film.mp4", "cut.mkv", "still.png")
GREEDY = FileDecoding(max_new_tokens=TOKENS, finish=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that requests may name, and beside them one that none may."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "films").mkdir()
    write_film(folder / "films" / "film.mp4", 9)
    write_film(folder / "films" / "long.mp4", 21)
    write_film(folder / "films" / "cut.mkv", 9, cut_at=0.7)
    Image.new("RGB", (60, 40), "teal").save(folder / "films" / "still.png")
    (folder / "films" / "notes.txt").write_text("no film")
    write_film(folder / "secret.mp4", 2)
    (folder / "films" / "way.mp4").symlink_to(folder / "secret.mp4")
    (folder / "films" / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder / 'secret.mp4'}\n#EXT-X-ENDLIST\n"
    )
    (folder / "films" / "join.txt").write_text(f"ffconcat version 1.0\nfile '{folder / 'secret.mp4'}'\n")
    return folder / "films"


@pytest.fixture
def service(model: PseudoCap, root: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(model, tmp_path / "scratch", root=root, limits=Limits(video_seconds=20)) as running:
        yield running


def test_every_format_is_that_of_the_command(
    model: PseudoCap, service: Serving, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save_pretrained(tmp_path / "saved")
    command = ["caption", str(root / "film.mp4"), "--checkpoint", str(tmp_path / "saved"), "--device", "cpu"]
    for form, dense in (("text", False), ("text", True), ("srt", True), ("vtt", True), ("json", False), ("json", True)):
        flags = {} if form in ("srt", "vtt") else {"dense": dense}
        assert main([*command, "--format", form, "--max-new-tokens", "6", *(["--dense"] if dense else [])]) == 0
        written = capsys.readouterr().out
        fields = {"format": form, "max_new_tokens": TOKENS, **flags}
        uploaded, named = service.caption(root / "film.mp4", **fields), service.caption(path="film.mp4", **fields)
        assert uploaded.status_code == 200, uploaded.text
        assert uploaded.text == named.text
        if form == "json":
            document = uploaded.json()
            assert document["captions"] == json.loads(written)["captions"]
            assert (document["file"], document["version"], document["checkpoint"]) == ("film.mp4", 1, "tiny")
        else:
            assert uploaded.text == written
    kinds = [service.caption(path="still.png", format=form).headers["content-type"] for form in ("json", "srt", "vtt")]
    assert [kind.partition(";")[0] for kind in kinds] == ["application/json", "application/x-subrip", "text/vtt"]


def test_rows_are_what_every_verb_reads(model: PseudoCap, service: Serving, root: Path, tmp_path: Path) -> None:
    answers = [
        service.caption(path=name, format="jsonl", dense=dense, max_new_tokens=TOKENS).text
        for name, dense in (("film.mp4", True), ("film.mp4", False), ("cut.mkv", False), ("still.png", True))
    ]
    (tmp_path / "captions.jsonl").write_text("".join(answers))
    rows = list(read_rows(tmp_path / "captions.jsonl"))
    (dense,) = caption_densely(model, [root / "film.mp4"], GREEDY)
    clips = [("film.mp4", each.start, each.end, (each.text,)) for each in dense.captions]
    whole = [(name, None, None, (model.caption(root / name, max_new_tokens=TOKENS),)) for name in FILES]
    assert [(row.video, row.start, row.end, row.captions) for row in rows if not row.error] == [*clips, *whole]
    assert [(row.video, "truncated" in row.error) for row in rows if row.error] == [("cut.mkv", True)]


def test_options_are_those_of_the_command(model: PseudoCap, service: Serving, root: Path) -> None:
    fields = {"beams": 2, "max_new_tokens": 5, "num_frames": 3, "prompt": "a"}
    answer = service.caption(root / "film.mp4", **fields).json()
    assert answer["captions"][0]["text"] == model.caption(root / "film.mp4", **fields)  # type: ignore[arg-type]
    sampled = {"top_p": 0.9, "seed": 4, "max_new_tokens": 5}
    texts = [service.caption(path="film.mp4", **sampled).json()["captions"][0]["text"] for _ in range(2)]
    assert texts == [model.caption(root / "film.mp4", **sampled)] * 2  # type: ignore[arg-type]
    short = service.caption(path="film.mp4", dense=True, clip_seconds=0.9, max_new_tokens=2).json()
    assert short["captions"][-1]["end"] == pytest.approx(9)


def test_a_truncated_file_gives_its_captions_and_what_is_missing(
    model: PseudoCap, service: Serving, root: Path
) -> None:
    answer = service.caption(root / "cut.mkv", max_new_tokens=TOKENS)
    (found,) = caption_files(model, [root / "cut.mkv"], GREEDY)
    assert [each["text"] for each in answer.json()["captions"]] == [each.text for each in found.captions]
    assert answer.json()["error"] == found.error.replace(str(root / "cut.mkv"), "cut.mkv")
    assert "truncated" in service.caption(path="cut.mkv", format="srt").headers["Pseudocap-Incomplete"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"path": "../secret.mp4"}, 403, "../secret.mp4 is not below the root"),
        ({"path": "way.mp4"}, 403, "way.mp4 is not below the root"),
        ({"path": "/etc/hostname"}, 403, "/etc/hostname is not below the root"),
        ({"path": "gone.mp4"}, 404, "gone.mp4: there is no such file"),
        ({"path": "."}, 404, ".: there is no such file"),
        ({"path": "a\0b"}, 404, "there is no such file"),
        ({"path": "x" * 5000}, 404, "there is no such file"),
        ({"path": "notes.txt"}, 422, "notes.txt: FFmpeg cannot open it as a video"),
        ({"path": "long.mp4"}, 422, "long.mp4: it lasts 21.0 s, and this service takes at most 20"),
        ({"path": "film.mp4", "beams": 0}, 400, "beams must be a whole number, at least 1"),
        ({"path": "film.mp4", "beams": "x"}, 422, "beams: Input should be a valid integer"),
        (
            {"path": "film.mp4", "beems": 2},
            422,
            "beems: there is no such field (did you mean 'beams'?); there are file, path,",
        ),
        (
            {"path": "film.mp4", "format": "parquet"},
            422,
            "format: Input should be 'json', 'jsonl', 'text', 'srt' or 'vtt'",
        ),
        ({"path": "film.mp4", "num_frames": 97}, 400, "num_frames must be 1 to 96"),
        ({"path": "film.mp4", "beams": 2, "top_p": 0.5}, 400, "exclude one another"),
        ({"path": "film.mp4", "dense": True, "clip_seconds": 0}, 400, "clip_seconds must be at least 0.1"),
        ({"path": "film.mp4", "min_seconds": 2}, 400, "min_seconds is of clips: add dense=true"),
        ({}, 400, "name one of file and path"),
    ],
)
def test_a_mistake_is_answered_with_what_is_wrong(
    service: Serving, fields: dict[str, object], status: int, message: str
) -> None:
    answer = service.caption(**fields)  # type: ignore[arg-type]
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_without_a_root_no_path_is_taken(model: PseudoCap, root: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path / "other") as service:
        answer = service.caption(path=str(root / "film.mp4"))
    assert (answer.status_code, "takes no paths" in answer.json()["error"]) == (403, True)


def test_an_upload_cannot_make_the_service_open_another_file(service: Serving, root: Path) -> None:
    for file in ("list.m3u8", "join.txt"):
        for name in (file, "film.mp4", "../../film.mp4"):
            answer = service.caption(root / file, name=name)
            assert (answer.status_code, list(answer.json())) == (422, ["error"]), (file, name, answer.text)
            assert "scratch" not in answer.text


def test_a_failure_of_the_captioner_is_a_500_without_its_reason(
    model: PseudoCap, service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> list[str]:
        raise RuntimeError("private")

    monkeypatch.setattr(model, "caption_clips", fail)
    answer = service.caption(path="film.mp4")
    assert (answer.status_code, list(answer.json()), "private" in answer.text) == (500, ["error"], False)


def test_a_captioner_that_is_killed_answers_all_requests_at_once_and_health_reports_it(
    model: PseudoCap, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    captioned, began, go = model.caption_clips, threading.Event(), threading.Event()

    def wait(*given: Any) -> list[str]:
        began.set()
        assert go.wait(30)
        return captioned(*given)

    with serving(model, tmp_path / "own", root=root, limits=Limits(request_seconds=600)) as service:
        assert service.client.get("/health").status_code == 200
        monkeypatch.setattr(model, "caption_clips", wait)
        with ThreadPoolExecutor(3) as clients:
            answers = [clients.submit(service.caption, path=name) for name in ("film.mp4", "still.png", "film.mp4")]
            assert began.wait(30)
            identity = ctypes.c_ulong(service.captioner._thread.ident or 0)
            assert ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(SystemExit)) == 1
            go.set()
            found = [answer.result(30) for answer in answers]
        service.captioner._thread.join(30)
        found.append(service.caption(path="film.mp4"))
        assert {(answer.status_code, answer.json()["error"]) for answer in found} == {(503, STOPPED)}
        health = service.client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "stopped")
    assert "SystemExit" in caplog.text


def test_the_form_is_the_command_without_options() -> None:
    form = CaptionForm()
    assert form.decoding(8) == FileDecoding(batch_size=8, finish=True)
    assert (form.lengths(), CaptionForm(dense=True).lengths()) == (None, ClipLengths())
    assert CaptionForm(format="srt", clip_seconds=0.5).lengths() == ClipLengths(clip_seconds=0.5, min_seconds=0.5)


def test_headers_hold_any_name_of_a_file() -> None:
    assert _header(" a\x01\r\nb\u20ac.mp4: broken\x7f\n") == "a? b?.mp4: broken?"


def test_health_and_the_pages_of_the_api(service: Serving) -> None:
    service.caption(path="still.png")
    health = service.client.get("/health").json()
    assert health["status"] == "ok"
    assert (health["checkpoint"], health["captioned"]) == ("tiny", {"files": 1, "failed": 0, "clips": 1})
    assert health["queue"] == {"open": 0, "limit": 64, "refused": 0}
    schema = service.client.get("/openapi.json").json()
    form = schema["components"]["schemas"]["CaptionForm"]
    assert {"file", "path", "format", "dense", "beams", "top_p", "prompt"} <= set(form["properties"])
    assert list(schema["paths"]["/caption"]["post"]["requestBody"]["content"]) == ["multipart/form-data"]
    page = service.client.get("/", follow_redirects=True).text
    assert "swagger-ui" in page
    assert "https://" not in page  # nothing from another machine
