"""Labels of shots: the same rows for any workers and after an interruption, and one setting for a run."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.label_worlds import contents, rows, run
from helpers.shot_films import film_of, write_shots

from pseudocap.cli.main import main
from pseudocap.errors import DataError
from pseudocap.label.engines import LocalEngine
from pseudocap.label.framing import Framing
from pseudocap.label.shard import LabelSpec
from pseudocap.video.cut_detectors import ContentCuts

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("scenedetect") is None, reason="the extra `shots` is not installed"
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, lengths in enumerate(([12, 30, 6, 32], [40], [15, 15])):
        write_shots(folder / f"{number}.mp4", film_of(lengths, first=10 * number))
    return folder


@pytest.fixture(scope="module")
def spec() -> LabelSpec:
    return LabelSpec(framing=Framing(clip_seconds=2.0, min_seconds=1.0, cuts=ContentCuts()), shard_size=1)


def test_rows_of_shots_are_the_same_whatever_the_workers_and_after_an_interruption(
    films: Path, tmp_path: Path, spec: LabelSpec
) -> None:
    run(films, tmp_path / "none", spec)
    assert [(row.clip.source, round(row.clip.start, 2)) for row in rows(tmp_path / "none")] == [
        *(("0.mp4", start) for start in (0.0, 1.2, 2.7, 4.8, 6.4)),
        *(("1.mp4", start) for start in (0.0, 2.0)),
        *(("2.mp4", start) for start in (0.0, 1.5)),
    ]
    run(films, tmp_path / "two", spec, engine=LocalEngine(2))
    (tmp_path / "two" / "000001.parquet").unlink()
    run(films, tmp_path / "two", spec, engine=LocalEngine(2))
    assert contents(tmp_path / "two") == contents(tmp_path / "none")
    for other in (None, ContentCuts(threshold=2.0)):
        with pytest.raises(DataError, match=r"holds labels with frames.cuts"):
            run(films, tmp_path / "two", replace(spec, framing=replace(spec.framing, cuts=other)))


def test_shots_from_the_command_line(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["label", str(films), "--teacher", "null", "--workers", "0", "--clip-seconds", "2", "--clips", "shots"]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    assert "9 clips labelled" in capsys.readouterr().out
    assert main([*given, "--out", str(tmp_path / "out"), "--cut-threshold", "4"]) == 2
    assert "holds labels with frames.cuts" in capsys.readouterr().err
    again = ["--relabel", str(tmp_path / "out"), "--below", "0.5", "--out", str(tmp_path / "again")]
    fixed = ["label", "--teacher", "null", "--clip-seconds", "2", *again]
    assert main(fixed) == 2
    assert "--relabel takes the clips as they are: with --clips shots" in capsys.readouterr().err
    assert main([*fixed, "--clips", "shots", "--workers", "0"]) == 0
    assert len(rows(tmp_path / "again")) == 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cuts", "content"), "--cuts is of shots: add --clips shots"),
        (("--cut-threshold", "3"), "--cut-threshold is of shots"),
        (("--clips", "shots", "--cut-threshold", "0"), "threshold of content cuts is 0 and must be above 0"),
        (("--clips", "shots", "--min-seconds", "9"), "min_seconds is 9 and must be from 0 to clip_seconds (8)"),
    ],
)
def test_options_of_shots_that_contradict_are_one_line(
    options: tuple[str, ...], words: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(films), "--teacher", "null", "--out", str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_the_package_the_extra_is_named(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    given = ["label", str(films), "--teacher", "null", "--clips", "shots", "--out", str(tmp_path / "out")]
    assert main(given) == 2
    assert "pip install 'pseudocap[shots]'" in capsys.readouterr().err
