"""An index is what its files are: built once, kept up to date, never twice and never without one, also when killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.colour_retriever import ColourRetriever, index_colours, write_colours

from pseudocap.errors import DataError
from pseudocap.files.lock import locked
from pseudocap.search import build
from pseudocap.search.build import IndexReport, caption_of
from pseudocap.search.table import open_table
from pseudocap.types import TimedCaption
from pseudocap.video.picture import jpeg


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Three films of 3, 1 and 2 clips, and a picture."""
    folder = tmp_path / "films"
    folder.mkdir()
    write_colours(folder / "a.mp4", "red", "green", "blue")
    write_colours(folder / "b.mp4", "white")
    write_colours(folder / "it's.mkv", "green", "red")
    (folder / "still.jpg").write_bytes(jpeg(np.full((32, 48, 3), (30, 30, 200), np.uint8)))
    return folder


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def clips_of(out: Path | str) -> list[tuple[str, float, float]]:
    rows = open_table(Path(out)).search().limit(None).to_list()
    return sorted((Path(row["file"]).name, row["start"], row["end"]) for row in rows if row["vector"] is not None)


CLIPS = [
    *(("a.mp4", 0.0, 2.0), ("a.mp4", 2.0, 4.0), ("a.mp4", 4.0, 6.0), ("b.mp4", 0.0, 2.0)),
    *(("it's.mkv", 0.0, 2.0), ("it's.mkv", 2.0, 4.0), ("still.jpg", 0.0, 0.0)),
]


def test_every_clip_has_its_own_vector_and_a_second_run_does_nothing(films: Path, tmp_path: Path) -> None:
    retriever, out = ColourRetriever(), tmp_path / "index"
    report = index_colours(out, files_in(films), retriever, batch_size=2)
    assert (len(report.new), report.clips, report.files, report.failed) == (4, 7, 4, {})
    assert clips_of(out) == CLIPS
    rows = {(Path(row["file"]).name, row["start"]): row["vector"] for row in open_table(out).search().to_list()}
    named = {("a.mp4", 0.0): "red", ("a.mp4", 4.0): "blue", ("it's.mkv", 0.0): "green", ("still.jpg", 0.0): "blue"}
    for clip, colour in named.items():
        assert np.dot(rows[clip], retriever.embed_text([colour])[0].numpy()) > 0.99, clip
    again = ColourRetriever()
    report = index_colours(out, files_in(films), again)
    assert (report.unchanged, report.new, report.changed, again.embedded) == (4, (), (), 0)
    assert clips_of(out) == CLIPS


def test_only_what_is_new_changed_moved_or_gone_is_done(films: Path, tmp_path: Path) -> None:
    out, retriever = tmp_path / "index", ColourRetriever()
    index_colours(out, files_in(films))
    write_colours(films / "b.mp4", "red", "blue")
    write_colours(films / "new.mp4", "blue")
    (films / "still.jpg").unlink()
    (films / "a.mp4").rename(films / "moved.mp4")
    os.utime(films / "it's.mkv")
    report = index_colours(out, files_in(films), retriever)
    assert [Path(file).name for file in (*report.new, *report.changed)] == ["new.mp4", "b.mp4"]
    assert [(Path(old).name, Path(new).name) for old, new in report.moved.items()] == [("a.mp4", "moved.mp4")]
    assert [Path(file).name for file in report.gone] == ["still.jpg"]
    assert (report.unchanged, retriever.embedded) == (1, 3)
    assert [clip for clip in clips_of(out) if clip[0] in ("moved.mp4", "b.mp4", "new.mp4", "still.jpg")] == [
        *(("b.mp4", 0.0, 2.0), ("b.mp4", 2.0, 4.0), ("moved.mp4", 0.0, 2.0), ("moved.mp4", 2.0, 4.0)),
        *(("moved.mp4", 4.0, 6.0), ("new.mp4", 0.0, 2.0)),
    ]
    assert index_colours(out, files_in(films)).unchanged == 4


def test_files_of_other_folders_stay(films: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first = write_colours(other / "c.mp4", "red")
    out = tmp_path / "index"
    index_colours(out, [first])
    first.unlink()
    assert index_colours(out, files_in(films)).gone == ()
    assert len(clips_of(out)) == 8
    assert [Path(file).name for file in index_colours(out, files_in(films), below=[str(tmp_path)]).gone] == ["c.mp4"]


def test_a_broken_file_costs_itself_alone_and_is_named_until_it_is_mended(films: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / "index", films / "c.mp4"
    broken.write_bytes(b"no film")
    whole = (films / "a.mp4").read_bytes()
    report = index_colours(out, [*files_in(films), films / "absent.mp4"])
    assert sorted(Path(file).name for file in report.failed) == ["absent.mp4", "c.mp4"]
    assert all(file in reason for file, reason in report.failed.items())
    assert clips_of(out) == CLIPS
    retriever = ColourRetriever()
    report = index_colours(out, files_in(films), retriever)
    assert (list(report.failed), report.changed, retriever.embedded) == ([str(broken)], (), 0)
    assert index_colours(out, files_in(films), retry_failed=True).changed == (str(broken),)
    broken.write_bytes(whole)
    assert index_colours(out, files_in(films)).failed == {}
    assert len(clips_of(out)) == 10


def test_a_name_that_no_table_can_hold_and_vectors_that_are_no_numbers_are_failures(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path(os.fsdecode(os.fsencode(films) + b"/\xff.mp4"))
    odd.write_bytes((films / "a.mp4").read_bytes())
    retriever = ColourRetriever()
    monkeypatch.setattr(
        retriever,
        "prepare",
        lambda frames: torch.full((3,), torch.nan if len(frames) == 1 else 1.0, dtype=torch.double),
    )
    report = index_colours(tmp_path / "index", [films / "a.mp4", films / "still.jpg", odd], retriever)
    assert "its name is not UTF-8" in report.failed[str(odd)]
    assert "vectors of it that are not numbers" in report.failed[str(films / "still.jpg")]
    assert {name for name, _, _ in clips_of(tmp_path / "index")} <= {"a.mp4"}


def test_captions_are_those_of_the_stretch_and_change_without_a_film_being_read(films: Path, tmp_path: Path) -> None:
    out, retriever, film = tmp_path / "index", ColourRetriever(), str(films / "a.mp4")

    def captions() -> dict[float, str]:
        return {row["start"]: row["caption"] for row in open_table(out).search().to_list() if row["file"] == film}

    def given(text: str) -> dict[str, list[TimedCaption]]:
        return {film: [TimedCaption(start=0, end=2, text=text), TimedCaption(start=3, end=9, text="blue")]}

    index_colours(out, files_in(films), retriever, captions=given("red"))
    assert captions() == {0.0: "red", 2.0: "blue", 4.0: "blue"}
    index_colours(out, files_in(films), retriever)
    assert captions()[0.0] == "red"
    report = index_colours(out, files_in(films), retriever, captions=given("a red film"))
    assert captions() == {0.0: "a red film", 2.0: "blue", 4.0: "blue"}
    assert (report.recaptioned, retriever.embedded, len(clips_of(out))) == (1, 7, 7)


def test_a_file_that_is_read_again_keeps_captions_until_others_are_given(films: Path, tmp_path: Path) -> None:
    out, film, still = tmp_path / "index", str(films / "a.mp4"), str(films / "still.jpg")

    def captions(file: str = film) -> dict[float, str]:
        return {row["start"]: row["caption"] for row in open_table(out).search().to_list() if row["file"] == file}

    texts = {(0, 2): "red", (4, 6): "blue"}
    first = [TimedCaption(start=start, end=end, text=text) for (start, end), text in texts.items()]
    entire = [TimedCaption(start=0, end=float("inf"), text="a wall")]
    index_colours(out, [film, still], captions={film: first, still: entire})
    open_table(out).update(where=f"file IN ('{film}', '{still}')", values={"error": "its end is missing"})
    assert index_colours(out, [film, still], retry_failed=True).changed == (film, still)
    assert (captions(), captions(still)) == ({0.0: "red", 2.0: "", 4.0: "blue"}, {0.0: "a wall"})
    write_colours(films / "a.mp4", "green", "green")
    assert index_colours(out, [film, still]).changed == (film,)
    assert captions() == {0.0: "red", 2.0: ""}
    report = index_colours(out, [film, still], captions={still: entire})
    assert (report.recaptioned, captions(), captions(still)) == (2, {0.0: "", 2.0: ""}, {0.0: "a wall"})


def test_a_damaged_file_has_new_captions_as_well(films: Path, tmp_path: Path) -> None:
    out, cut, broken = tmp_path / "index", str(films / "b.mp4"), films / "broken.mp4"
    broken.write_bytes(b"no film")

    def index(text: str) -> IndexReport:
        captions = {file: [TimedCaption(start=0, end=2, text=text)] for file in (cut, str(broken))}
        return index_colours(out, [cut, broken], captions=captions)

    index("white")
    open_table(out).update(where=f"file = '{cut}'", values={"error": "its end is missing"})
    report = index("a white film")
    assert (report.recaptioned, set(report.failed)) == (2, {cut, str(broken)})
    captions = {row["file"]: row["caption"] for row in open_table(out).search().to_list()}
    assert captions == {cut: "a white film", str(broken): ""}


def test_a_caption_of_all_of_a_file_stands_where_no_stretch_has_one() -> None:
    entire = TimedCaption(start=0, end=float("inf"), text="a film")
    stretches = [TimedCaption(start=0, end=8, text="one"), TimedCaption(start=8, end=16, text="two"), entire]
    assert caption_of(0, 8, stretches) == "one"
    assert caption_of(4, 12, stretches) == "one; two"
    assert caption_of(5, 13, stretches) == "two"
    assert caption_of(16, 24, stretches) == "a film"
    assert caption_of(0, 0, [entire]) == "a film"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"clip_seconds": 3.0}, "clip_seconds 2.0, and this run has 3.0"),
        ({"num_frames": 5}, "frames 2, and this run has 5"),
        ({"retriever": ColourRetriever(salt="other")}, "was made by the retriever colours"),
    ],
)
def test_an_index_is_of_one_retriever_and_one_plan(options: dict, complaint: str, films: Path, tmp_path: Path) -> None:
    index_colours(tmp_path / "index", files_in(films)[:1])
    with pytest.raises(DataError, match=complaint):
        index_colours(tmp_path / "index", files_in(films), **options)


def test_a_second_run_on_one_index_is_refused(films: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "index", "indexing"), pytest.raises(DataError, match="is indexing into"):
        index_colours(tmp_path / "index", files_in(films))


def test_a_changed_file_is_replaced_in_one_transaction(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no version of the table is the file absent, doubled or mixed."""
    out = tmp_path / "index"
    index_colours(out, files_in(films))
    write_colours(films / "a.mp4", "white", "white")
    monkeypatch.setattr(build, "PATIENCE", 0.0)
    before = open_table(out).version
    index_colours(out, files_in(films))
    table, seen = open_table(out), set()
    for version in range(before, table.version + 1):
        table.checkout(version)
        rows = [row for row in table.search().to_list() if row["file"].endswith("a.mp4")]
        seen.add((len(rows), len({row["content"] for row in rows})))
    assert seen == {(3, 1), (2, 1)}


def test_names_times_and_captions_of_many_files_change_in_one_transaction(films: Path, tmp_path: Path) -> None:
    out, retriever = tmp_path / "index", ColourRetriever()
    index_colours(out, files_in(films), retriever)

    def state() -> frozenset[tuple[str, str, str, str]]:
        columns = ("mark", "caption", "captioned")
        return frozenset((Path(row["file"]).name, *(row[name] for name in columns)) for row in table.search().to_list())

    for name in ("a.mp4", "b.mp4"):
        (films / name).rename(films / f"moved {name}")
    for name in ("it's.mkv", "still.jpg"):
        os.utime(films / name)
    captions = {str(films / f"{name}.mp4"): [TimedCaption(start=0, end=9, text=name)] for name in ("moved a", "still")}
    before = open_table(out).version
    report = index_colours(out, files_in(films), retriever, captions=captions)
    assert (len(report.moved), report.recaptioned, report.unchanged, retriever.embedded) == (2, 1, 2, 7)
    table, seen = open_table(out), set()
    last = table.version
    for version in range(before, last + 1):
        table.checkout(version)
        seen.add(state())
    assert len(seen) == 2
    assert {(name, caption) for name, _, caption, _ in state()} == {
        *(("moved a.mp4", "moved a"), ("moved b.mp4", ""), ("it's.mkv", ""), ("still.jpg", ""))
    }
    assert clips_of(out) == sorted((name if name[0] in "is" else f"moved {name}", *times) for name, *times in CLIPS)


@pytest.mark.slow
def test_killed_at_any_moment_an_index_loses_and_doubles_nothing(films: Path, tmp_path: Path) -> None:
    for number in range(12):
        write_colours(films / f"{number}.mp4", "red", "blue", "green")
    out, files = tmp_path / "index", files_in(films)
    command = [sys.executable, "-m", "helpers.colour_retriever", str(out), *map(str, files)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    states = []
    for kill in range(5):
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = versions(out)
        while run.poll() is None and versions(out) <= before + kill:
            time.sleep(0.001)
        time.sleep(0.004 * kill)  # at various moments of the next transaction
        run.send_signal(signal.SIGKILL)
        run.wait()
        found = clips_of(out) if (out / "clips.lance").is_dir() and versions(out) else []
        assert len(found) == len(set(found))
        counts = {name: sum(clip[0] == name for clip in found) for name, _, _ in found}
        assert all(count == sum(clip[0] == name for clip in expected(files)) for name, count in counts.items())
        states.append(len(counts))
        if kill == 3:
            write_colours(films / "0.mp4", "white")  # is replaced by what follows
    assert len(set(states)) > 1, "the kills all came before the first transaction"
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert clips_of(out) == sorted(expected(files))
    assert '"failed": {}' in last.stdout
    assert index_colours(out, files).unchanged == len(files)


def versions(out: Path) -> int:
    return len(list((out / "clips.lance" / "_versions").glob("*.manifest")))


def expected(files: list[Path]) -> list[tuple[str, float, float]]:
    """The clips of the films as they are now, by a build from nothing."""
    folder = files[0].parent.parent / "expected"
    shutil.rmtree(folder, ignore_errors=True)
    index_colours(folder, files)
    return clips_of(folder)
