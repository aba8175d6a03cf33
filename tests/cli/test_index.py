"""`pseudocap index` and `pseudocap search` as a user runs them, with a tiny CLIP of transformers."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from helpers.clip_models import write_image_text
from helpers.colour_retriever import write_colours

from pseudocap.cli.index import _retriever_name, find_files, read_captions
from pseudocap.cli.main import main
from pseudocap.cli.search import near
from pseudocap.rows import row_line

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a retriever, three films, their captions, and an index of them."""
    folder = tmp_path_factory.mktemp("world")
    write_image_text(folder / "clip")
    (folder / "films" / "more").mkdir(parents=True)
    for name, colours in {"a": COLOURS, "b": ("white",), "more/c": ("green", "red")}.items():
        write_colours(folder / f"films/{name}.mp4", *colours)
    rows = [
        row_line(video="films/a.mp4", start=0.0, end=2.0, caption="a dog runs"),
        row_line(video="films/more/c.mp4", caption="a cat sleeps"),
        row_line(video="films/b.mp4", caption="filtered", verdicts=("short",)),
    ]
    (folder / "captions.jsonl").write_text("".join(rows))
    assert (
        run_in(
            folder, "index films --retriever clip --out index --captions captions.jsonl --clip-seconds 2 --workers 1"
        )
        == 0
    )
    return folder


def run_in(folder: Path, words: str | list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(words.split() if isinstance(words, str) else words)


def search(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    capsys.readouterr()
    assert run_in(folder, ["search", *words, "--index", "index", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["hits"]


def test_a_folder_is_indexed_and_searched(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hits = search(world, capsys, "a dog runs", "--top", "4")
    assert len(hits) == 4
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert {hit["end"] - hit["start"] for hit in hits} == {2.0}
    captions = {(Path(hit["file"]).name, hit["start"]): hit["caption"] for hit in search(world, capsys, "dog")}
    assert captions == {
        ("a.mp4", 0.0): "a dog runs", ("a.mp4", 2.0): "", ("a.mp4", 4.0): "", ("b.mp4", 0.0): "",
        ("c.mp4", 0.0): "a cat sleeps", ("c.mp4", 2.0): "a cat sleeps",
    }  # fmt: skip
    assert [hit["caption"] for hit in search(world, capsys, "dogs", "--hybrid", "--caption", "DOG")] == ["a dog runs"]
    assert {Path(hit["file"]).name for hit in search(world, capsys, "x", "--file", "films/more/*")} == {"c.mp4"}
    assert {hit["start"] for hit in search(world, capsys, "x", "--after", "2.5")} == {2.0, 4.0}


def test_like_a_second_of_a_file_finds_its_look(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (first, *_) = search(world, capsys, "--like", "films/more/c.mp4@3", "--top", "2")
    assert (Path(first["file"]).name, first["start"]) == ("a.mp4", 0.0)
    assert first["score"] == pytest.approx(1.0, abs=0.02)


def test_hits_are_printed_as_a_table_and_written_as_a_page(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_in(world, ["search", "a dog runs", "--index", "index", "--top", "6"]) == 0
    out = capsys.readouterr().out
    assert "films/more/c.mp4" in out
    assert str(world) not in out
    assert run_in(world, ["search", "a dog", "--index", "index", "--out", "hits.html"]) == 0
    assert (world / "hits.html").read_text().count("<video") == 6


def test_the_same_command_again_does_what_is_new_with_the_settings_of_the_index(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world, tmp_path / "world")
    here = tmp_path / "world"
    shutil.rmtree(here / "index")
    assert run_in(here, "index films --retriever clip --out index --clip-seconds 2 --num-frames 3 --workers 0") == 0
    write_colours(here / "films" / "d.mp4", "blue")
    (here / "films" / "e.mp4").write_bytes(b"no film")
    (here / "films" / "b.mp4").unlink()
    capsys.readouterr()
    assert run_in(here, "index films --out index --workers 0") == 1
    out = capsys.readouterr().out
    assert out.startswith("index: 2 new, 1 gone, 2 unchanged; 6 clips of 4 files, in ")
    assert f"failed: {here / 'films' / 'e.mp4'}: " in out
    (here / "films" / "e.mp4").unlink()
    assert run_in(here, "index films --out index --json --workers 0") == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] == 3


def test_a_new_index_embeds_by_the_shipped_retriever_unless_another_is_named(world: Path, tmp_path: Path) -> None:
    words = ["index", "films/a.mp4", "--out", str(tmp_path / "own"), "--workers", "0"]
    assert run_in(world, words) == 0
    assert json.loads((tmp_path / "own" / "index.json").read_text())["retriever"] == "real-search"
    assert run_in(world, ["search", "a dog", "--index", str(tmp_path / "own")]) == 0


def test_clips_of_shots_go_on_as_they_began(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "shots")
    words = ["index", "films/a.mp4", "--out", out, "--workers", "0"]
    assert run_in(world, [*words, "--retriever", "clip", "--clips", "shots", "--cut-threshold", "2.5"]) == 0
    assert run_in(world, words) == 0
    assert run_in(world, [*words, "--clips", "shots"]) == 0
    capsys.readouterr()
    assert run_in(world, [*words, "--clips", "fixed"]) == 2
    assert "was indexed with cuts {'detector': 'content', 'threshold': 2.5" in capsys.readouterr().err


def test_a_retriever_whose_folder_moved_is_named_anew_and_another_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image_text(tmp_path / "other", "siglip")
    capsys.readouterr()
    assert run_in(world, ["search", "x", "--index", "index", "--retriever", str(tmp_path / "other")]) == 2
    assert "another or has changed since" in capsys.readouterr().err
    shutil.copytree(world / "clip", tmp_path / "moved")
    assert run_in(world, ["search", "x", "--index", "index", "--retriever", str(tmp_path / "moved")]) == 0


def test_words_name_files_and_the_folders_below_which_others_are_gone(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    films = world / "films"
    a, b, c = (str(films / name) for name in ("a.mp4", "b.mp4", "more/c.mp4"))
    assert find_files(["films"]) == ([a, b, c], [str(films)])
    assert find_files(["films/*.mp4", "films/b.mp4"]) == ([a, b], [str(films), b])
    named = Namespace(retriever="clip+clip", out="new")
    assert _retriever_name(named, None) == f"{world / 'clip'}+{world / 'clip'}"
    assert read_captions(world / "captions.jsonl").keys() == {a, c}
    assert (near(a), near("/elsewhere/a.mp4"), near("s3://b/a.mp4")) == (
        "films/a.mp4", "/elsewhere/a.mp4", "s3://b/a.mp4"
    )  # fmt: skip
