"""`pseudocap bench regimes` and `ablation` from end to end, at a size that teaches nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pseudocap.cli.main import main


def bench(zoo: Path, out: Path, *words: str) -> list[str]:
    return ["bench", *words, "--smoke", "--build", str(zoo), "--out", str(out), "--workers", "0", "--json"]


REGIMES = ("regimes", "--regimes", "asr,none", "--seeds", "2", "--captions", "3")


def finished(zoo: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in zoo.glob("**/done.json")}


@pytest.mark.slow
def test_a_killed_benchmark_goes_on_keeps_its_cells_and_takes_the_zoos(
    smoke_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = bench(smoke_zoo, tmp_path / "out", *REGIMES)
    killed = subprocess.Popen([sys.executable, "-m", "pseudocap", *words], stdout=subprocess.DEVNULL)
    while killed.poll() is None and not list(smoke_zoo.glob("cells/measured-*/done.json")):
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = finished(smoke_zoo)
    assert main(words) == 0
    first: dict[str, Any] = json.loads(capsys.readouterr().out)
    made = finished(smoke_zoo)
    assert kept.items() <= made.items()
    assert not (smoke_zoo / "cells" / "trained-asr-s0").exists()  # the zoo's own
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert finished(smoke_zoo) == made

    text = (tmp_path / "out" / "results.json").read_text()
    assert json.loads(text) == first
    assert str(smoke_zoo) not in text
    assert first["seeds"] == [0, 1]
    for regime in ("asr", "none"):
        summary = first["regimes"][regime]
        assert [cell["seed"] for cell in summary["cells"]] == [0, 1]
        plain = summary["scores"]["as it is"]["CIDEr-D"]
        assert plain["each"] == [cell["scores"]["as it is"]["CIDEr-D"] for cell in summary["cells"]]
        assert plain["interval over seeds"][0] <= plain["mean"] <= plain["interval over seeds"][1]
        assert set(summary["by captions"]) == {"3", "all"}
        assert {"zero-shot", "blind", "reversed", "shuffled", "centre frame"} <= set(summary["scores"])
        assert summary["truth"]["as it is"]["made up of the things named"] >= 0
    assert first["claims"] == []  # both sides of a claim were not run
    assert first["claims by captions"] == {"3": []}
    assert first["duplicates"]["test videos"] == first["test films"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| asr | 4 |" in table
    assert "claimed, on MSR-VTT's validation, other backbones" in table
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in ("regimes.png", "captions.png", "time.png"))


@pytest.mark.slow
def test_an_ablation_is_one_table_and_one_figure(
    smoke_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(bench(smoke_zoo, tmp_path, "ablation", "fusion", "--seeds", "1")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [arm["settings"] for arm in printed["arms"]] == [{"fusion": "residual"}, {"fusion": "convex"}]
    assert all(arm["diverged"] == 0 for arm in printed["arms"])
    config = json.loads((smoke_zoo / "cells/tuned-mixed-fusion-fusionconvex-s0/run/best/config.json").read_text())
    assert config["fusion"] == "convex"
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert (tmp_path / "table.md").read_text().count(" over films) |") == 2  # a seed alone has no other interval


@pytest.mark.slow
def test_the_three_attentions_learn_from_the_same_patches(
    smoke_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(bench(smoke_zoo, tmp_path, "ablation", "attention", "--seeds", "1")) == 0
    printed = json.loads(capsys.readouterr().out)
    kinds = ["separable", "full", "resampler"]
    assert [arm["settings"]["attention"] for arm in printed["arms"]] == kinds
    assert all(arm["diverged"] == 0 for arm in printed["arms"])
    for kind in kinds:
        tuned = smoke_zoo / f"cells/tuned-mixed-attention-attention{kind}-s0/run/best"
        assert json.loads((tuned / "config.json").read_text()).get("attention", "separable") == kind
    for kind in ("memories", "memories-stills", "memories-msrvtt"):
        spec = json.loads((smoke_zoo / f"cells/{kind}-patches/store/memories.json").read_text())
        assert spec["patches"] is True
    assert "| resampler |" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_a_run_that_diverges_is_counted_and_the_others_go_on(
    smoke_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pseudocap.bench.claims import ablations
    from pseudocap.bench.claims.ablations import Ablation, Arm

    def arms(plan: object, size: int) -> list[Arm]:
        lrs = ("1e-3", "1e30")
        return [Arm(settings={"lr": lr}, training=("--model.optimisation.lr", lr), regime="asr") for lr in lrs]

    monkeypatch.setitem(ablations.ABLATIONS, "beta2", Ablation(question="?", claimed="nothing", arms=arms))
    assert main(bench(smoke_zoo, tmp_path, "ablation", "beta2", "--seeds", "1", "--steps", "4")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [arm["diverged"] for arm in printed["arms"]] == [0, 1]
    assert "| 1e30 | 4 | - | - | - | - | 1 of 1 |" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_a_real_corpus_goes_the_same_way(smoke_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The toy world's films stand in for MSR-VTT's: the files are the same, only fewer, and one is missing."""
    films = tmp_path / "videos"
    films.mkdir()
    for path in (smoke_zoo / "world" / "msrvtt" / "videos").glob("*.mp4"):
        (films / path.name).symlink_to(path)
    sorted(films.iterdir())[-1].unlink()  # of the test split, which comes last
    words = ["bench", "regimes", "--data", "msrvtt", "--regimes", "asr,none", "--seeds", "1", "--captions", "0"]
    words += ["--annotations", str(smoke_zoo / "world" / "msrvtt" / "annotations"), "--videos", str(films)]
    words += ["--decoder", str(smoke_zoo / "writer"), "--encoder", str(smoke_zoo / "watcher"), "--allow-partial"]
    words += ["--pretrained", f"asr={smoke_zoo / 'trained-asr' / 'run' / 'last'}", "--smoke", "--workers", "0"]
    assert main([*words, "--build", str(tmp_path / "build"), "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["data"]["corpus"] == "msrvtt"
    assert printed["data"]["coverage"] == {"test videos": 4, "present": 3, "missing": 1, "undecodable": {}}
    assert printed["test films"] == 3
    assert "truth" not in printed["regimes"]["asr"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "**Not all test videos could be decoded**" in table
    assert table.count(" over films) |") == 2  # of the one seed of each regime
    assert printed["regimes"]["asr"]["steps"] is None  # pre-trained elsewhere
    assert set(printed["files"]["asr, seed 0"]) == {"decoder", "encoder", "captioner"}
    assert printed["captioner"]["fusion"] == "residual"
    assert str(tmp_path) not in json.dumps(printed)
    assert printed["data"]["mismatches"]  # of the corpus itself, whose counts are not MSR-VTT's

    for path in (smoke_zoo / "world" / "msrvtt" / "videos").glob("*.mp4"):  # the missing one is placed
        if not (films / path.name).exists():
            (films / path.name).symlink_to(path)
    assert main([*words, "--build", str(tmp_path / "build"), "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "corpus, views, cells/measured" in captured.err
    assert json.loads(captured.out)["test films"] == 4
    assert "All 4 test videos are there" in (tmp_path / "out" / "table.md").read_text()
