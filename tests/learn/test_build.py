"""Labels become captions to learn from and to measure on; the verbs that a run is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.label.schema import shard_path, write_labels
from pseudocap.learn.build import Machine, stages, teacher_words, train_words, write_captions
from pseudocap.learn.plan import FoundVideo, LearnPlan
from pseudocap.stages import Workshop, hashes_of
from pseudocap.types import Clip, Pseudolabel

PLAN = LearnPlan(
    root="/films",
    videos=tuple(FoundVideo(name=name, size=1, seconds=4.0) for name in ("a.mp4", "b/c.mp4", "d.mp4")),
    unreadable={},
    start="real-photos",
    teacher="real-photos",
    held_out=("d.mp4",),
)


def label(name: str, *captions: str, verdicts: tuple[str, ...] = ()) -> Pseudolabel:
    return Pseudolabel(
        clip=Clip(source=f"/films/{name}", start=0.0, end=4.0),
        captions=captions,
        log_probs=(),
        confidence=None,
        frame_times=(),
        teacher="t",
        revision=None,
        settings="{}",
        seed=0,
        verdicts=verdicts,
    )


def written(folder: Path, *labels: Pseudolabel) -> Path:
    (folder / "labels").mkdir()
    write_labels(shard_path(folder / "labels", 0), labels, root="")
    return folder / "labels"


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_kept_labels_are_split_by_file(tmp_path: Path) -> None:
    labels = written(
        tmp_path,
        label("a.mp4", "a dog runs"),
        label("b/c.mp4", "it", verdicts=("short",)),
        label("d.mp4", "a cat sits"),
    )
    counts = write_captions(tmp_path, labels, PLAN)
    times = {"start": 0.0, "end": 4.0}
    assert rows(tmp_path / "learned.jsonl") == [{"video": "a.mp4", "caption": "a dog runs", **times, "split": "train"}]
    assert rows(tmp_path / "held-out.jsonl") == [{"video": "d.mp4", "caption": "a cat sits", **times, "split": "val"}]
    assert counts == {"clips": 3, "learned from": 1, "held out": 1, "not kept": {"short": 1}}


def test_of_several_captions_the_one_is_learned_that_agrees_with_the_others(tmp_path: Path) -> None:
    several = ("six wet umbrellas", "a dog runs on grass", "a dog runs in grass")
    labels = written(tmp_path, label("a.mp4", *several), label("d.mp4", "one red bus", "a cat sits", "a cat sits"))
    write_captions(tmp_path, labels, PLAN)
    assert "a dog runs" in str(rows(tmp_path / "learned.jsonl")[0]["caption"])
    assert rows(tmp_path / "held-out.jsonl")[0]["caption"] == "a cat sits"


def test_a_teacher_of_whom_nothing_is_kept_is_refused_with_the_reasons(tmp_path: Path) -> None:
    labels = written(tmp_path, label("a.mp4", "a dog runs"), label("d.mp4", "it", verdicts=("short",)))
    with pytest.raises(DataError, match=r"videos held out was kept \(short 1\); name another --teacher"):
        write_captions(tmp_path, labels, PLAN)


def test_a_stage_is_made_anew_only_where_what_it_needs_has_changed(tmp_path: Path) -> None:
    def hashes(machine: Machine, **changes: object) -> dict[str, str]:
        shop = Workshop(root=tmp_path, main=lambda words: 0)
        return hashes_of(stages(shop, replace(PLAN, **changes), machine))

    def changed(**changes: object) -> list[str]:
        now = hashes(Machine(device="cpu"), **changes)
        return [name for name in now if now[name] != before[name]]

    before = hashes(Machine(device="cpu"))
    assert hashes(Machine(device="cpu", workers=7)) == before
    assert changed() == []
    assert changed(steps=9) == ["train", "captioner", "report"]
    assert changed(held_out=("a.mp4",)) == ["captions", "memories", "train", "captioner", "report"]
    assert changed(teacher="blip-large") == list(before)


def test_only_a_captioner_that_teaches_itself_samples_several_captions() -> None:
    own = teacher_words(PLAN, Machine(device="cpu"))
    assert own[own.index("--captions") + 1] == "5"
    assert "--captions" not in teacher_words(replace(PLAN, teacher="blip-large"), Machine(device="cuda"))


def test_a_gpu_changes_how_a_run_computes_and_who_teaches_and_nothing_else() -> None:
    gpu, cpu = Machine(device="cuda"), Machine(device="cpu")
    assert gpu.trainer_words() == ("--trainer.accelerator", "auto", "--trainer.precision", "bf16-mixed")
    assert cpu.trainer_words() == ("--trainer.accelerator", "cpu", "--trainer.precision", "32")
    on_gpu, on_cpu = (teacher_words(PLAN, machine) for machine in (gpu, cpu))
    assert on_gpu == tuple("32" if before == "--batch-size" else word for before, word in pairwise(("", *on_cpu)))


def test_pictures_make_the_regime_mixed() -> None:
    assert train_words(PLAN)[1] == "video-only"
    words = train_words(replace(PLAN, pictures="/photos/captions.jsonl"))
    assert words[1] == "mixed"
    assert words[words.index("--data.images") + 1] == "memories/pictures"
