"""What came of looking through rows, as captions and as labels that the next verbs read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.audits import label
from helpers.browsing import ROWS, filled

from pseudocap.browse.export import caption_lines, export_labels
from pseudocap.browse.rows import label_rows
from pseudocap.browse.store import BrowseStore
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError
from pseudocap.label.rewrite import rewrite
from pseudocap.label.run_folder import Plan, write_json
from pseudocap.label.schema import identity, read_labels, shard_path, write_labels
from pseudocap.label.sources import Sources
from pseudocap.types import Pseudolabel

LABELS = (
    label("a.mp4", 0.0, 8.0, "a red dog runs", confidence=0.5, log_probs=(-1.0,), run="first"),
    label("a.mp4", 8.0, 16.0, "a cat", verdicts=("short",), run="first"),
    label("a.mp4", 16.0, 24.0, "a bird sings", run="first"),
    label("a.mp4", 24.0, 32.0, "", error="broken", run="first"),
    label("b.mp4", 0.0, 8.0, "a fish", run="first"),
)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A finished run of two shards."""
    folder = tmp_path / "labels"
    folder.mkdir()
    sources = Sources(root="/films", shards=(("a.mp4",), ("b.mp4",)))
    plan = Plan(sources=sources, settings={"teacher": "a test"})
    document = {"format": 1, "run": plan.run, "settings": plan.settings, "root": "/films", "shards": sources.shards}
    write_json(folder / "plan.json", document)
    write_labels(shard_path(folder, 0), LABELS[:4], root="/films")
    write_labels(shard_path(folder, 1), LABELS[4:], root="/films")
    return folder


@pytest.fixture
def store(tmp_path: Path, labels: Path) -> BrowseStore:
    """Its rows: the first edited, the second accepted, the third rejected, the fourth captioned by hand."""
    store = filled(tmp_path, list(label_rows(labels)))
    ids = [state.id for state in store.states()]
    store.change(ids[0], 0, editor="anna", caption="a brown dog runs")
    store.change(ids[1], 0, editor="anna", decision="accepted")
    store.change(ids[2], 0, editor="bert", decision="rejected")
    store.change(ids[3], 0, editor="bert", caption="a boat")
    return store


def exported(folder: Path) -> list[Pseudolabel]:
    return list(read_labels(folder, root=""))


def test_labels_are_exported_with_their_changes_as_a_run_that_names_where_each_came_from(
    tmp_path: Path, labels: Path, store: BrowseStore
) -> None:
    before = {path.name: path.read_bytes() for path in labels.iterdir()}
    stats = export_labels(labels, tmp_path / "out", store)
    edited, accepted, rejected, written, untouched = exported(tmp_path / "out")
    assert (edited.captions, edited.log_probs, edited.confidence) == (("a brown dog runs",), (), 1.0)
    assert (edited.teacher, json.loads(edited.settings)["editor"]) == ("person:anna", "anna")
    assert (edited.kept, edited.parent) == (True, identity(LABELS[0]))
    assert (accepted.caption, accepted.kept, accepted.teacher) == ("a cat", True, "a test")
    assert (rejected.caption, rejected.verdicts, rejected.kept) == ("a bird sings", ("rejected",), False)
    assert (written.caption, written.error, written.kept) == ("a boat", "", True)
    assert untouched == LABELS[4]
    assert len({each.run for each in (edited, accepted, rejected, written)} | {"first"}) == 2
    assert (stats["clips"], stats["kept"], stats["verdicts"]["rejected"]["clips"]) == (5, 4, 1)
    assert {path.name: path.read_bytes() for path in labels.iterdir()} == before


def test_with_accepted_whatever_nobody_decided_about_is_not_kept(
    tmp_path: Path, labels: Path, store: BrowseStore
) -> None:
    export_labels(labels, tmp_path / "out", store, accepted=True)
    assert [each.kept for each in exported(tmp_path / "out")] == [True, True, False, True, False]
    assert exported(tmp_path / "out")[4].verdicts == ("undecided",)
    lines = [json.loads(line)["caption"] for line in caption_lines(store, accepted=True)]
    assert lines == ["a brown dog runs", "a cat", "a boat"]


def test_an_export_goes_on_and_is_not_mixed_with_later_changes(
    tmp_path: Path, labels: Path, store: BrowseStore
) -> None:
    export_labels(labels, tmp_path / "out", store)
    (tmp_path / "out" / "000001.parquet").unlink()
    export_labels(labels, tmp_path / "out", store)
    assert exported(tmp_path / "out")[4] == LABELS[4]
    store.undo("anna")
    with pytest.raises(ConfigError, match="holds labels without these edits; name another folder"):
        export_labels(labels, tmp_path / "out", store)


def test_of_several_labels_of_one_each_has_its_own_changes(tmp_path: Path, labels: Path) -> None:
    class Twice:
        def __init__(self) -> None:
            self.settings = {"rewriter": "twice"}

        def rewrite(self, rows: list[Pseudolabel]) -> list[list[Pseudolabel]]:
            return [[replace(row, captions=(f"{row.caption} {k}",)) for k in (1, 2)] for row in rows]

    rewrite(labels, tmp_path / "twice", Twice())
    store = filled(tmp_path, list(label_rows(tmp_path / "twice")))
    second = next(state for state in store.states() if state.original == "a fish 2")
    store.change(second.id, 0, editor="anna", caption="two fishes")
    export_labels(tmp_path / "twice", tmp_path / "out", store)
    assert [each.caption for each in exported(tmp_path / "out")][-2:] == ["a fish 1", "two fishes"]


def test_captions_are_exported_as_rows_that_fine_tuning_reads(tmp_path: Path) -> None:
    store = filled(tmp_path, [replace(ROWS[0], rest={"checkpoint": "c", "split": "val"}), *ROWS[1:]])
    store.change("r1", 0, editor="anna", decision="accepted")
    store.change("r4", 0, editor="anna", caption="a street dog")
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(caption_lines(store)))
    times = {"start": 0.0, "end": 8.0}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "version": 1,
            "video": "film0.mp4",
            **times,
            "caption": "a red dog runs",
            "confidence": 0.5,
            "checkpoint": "c",
            "split": "val",
        },
        {"version": 1, "video": "film1.mp4", **times, "caption": "a cat sleeps in the sun", "confidence": 0.9},
        {"version": 1, "video": "film4.mp4", "caption": "a street dog", "split": "val"},
    ]
    assert [row.captions[0] for row in read_own(path).rows] == [
        "a red dog runs",
        "a cat sleeps in the sun",
        "a street dog",
    ]
