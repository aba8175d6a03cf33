"""`pseudocap bench`: mistakes are one line each, and nothing is made or thrown away before they are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.cli.main import main
from pseudocap.zoo.tiny import write_opt, write_timesformer


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["regimes", "--regimes", "asr,mixt"], "--regimes: there is no 'mixt' (did you mean 'mixed'?)"),
        (["regimes", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["regimes", "--captions", "10,x"], "--captions 10,x: write whole numbers"),
        (["regimes", "--captions=-1"], "a fine-tuning cannot have -1 captions"),
        (["regimes", "--steps", "9"], "--data toy has the zoo's films, networks and settings; --steps is for"),
        (
            ["regimes", "--decoder", "d", "--pretrained", "mixed=x"],
            "--decoder, --pretrained is for --data msrvtt",
        ),
        (["regimes", "--data", "msvd", "--pretrained", "mixt=x"], "--pretrained mixt=x: write REGIME=CHECKPOINT"),
        (["ablation", "gate"], "there is no ablation 'gate' (did you mean"),
        (["ablation", "beta2", "--steps", "0"], "--steps must be at least 1, not 0"),
        (["model", "x", "--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["model", "x", "--peers", "gitt=y"], "there is no kind 'gitt' (did you mean 'git'?)"),
        (["model", "x", "--data", "msrvtt"], "--data msrvtt: --annotations is missing"),
        (["model", "x", "--build", "nowhere"], "--build nowhere holds no toy films"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_real_corpus_that_is_not_here_is_told_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    assert main(["bench", "regimes", "--data", "msrvtt", "--videos", "videos", "--images", "gone"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for wanted in (
        "--annotations DIR (train_val_videodatainfo.json with test_videodatainfo.json",
        "--decoder DECODER (facebook/opt-1.3b",
        "--encoder ENCODER",
        "--asr DIR (tars of `pseudocap pack` after `pseudocap label --teacher asr`",
        "--images gone (tars of img2dataset",
        "--clips DIR",
    ):
        assert error.count(wanted) == 1
    assert "--videos videos" not in error


def test_a_pre_training_of_other_settings_is_not_thrown_away(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trained = tmp_path / "cells" / "trained-mixed-s1"
    trained.mkdir(parents=True)
    (trained / ".begun").write_text("the hash of other settings")
    (trained / "done.json").write_text(json.dumps({"command": "pseudocap train mixed"}))
    (trained / "weights").touch()
    assert main(["bench", "regimes", "--build", str(tmp_path), "--smoke"]) == 2
    told = capsys.readouterr().err
    assert "cells/trained-mixed-s1 was pre-trained by other settings" in told
    assert "name another --build, or delete" in told
    assert (trained / "weights").exists()
    (trained / "done.json").unlink()  # one that is under way, for days perhaps
    (trained / "run" / "checkpoints").mkdir(parents=True)
    assert main(["bench", "regimes", "--build", str(tmp_path), "--smoke"]) == 2
    assert (trained / "weights").exists()


def test_networks_that_are_nowhere_are_told_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["toyworld", "write", "world", "--scale", "tiny", "--corpus", "msrvtt"]) == 0
    write_opt("opt")
    write_timesformer("timesformer")
    corpus = ["--annotations", "world/msrvtt/annotations", "--videos", "world/msrvtt/videos", "--allow-partial"]
    words = ["bench", "regimes", "--data", "msrvtt", *corpus, "--regimes", "mixed", "--pretrained", "mixed=gone-{seed}"]
    capsys.readouterr()
    for decoder, told in (("optt", "optt is neither a directory nor a repo"), ("opt", "gone-0")):
        assert main([*words, "--decoder", decoder, "--encoder", "timesformer", "--build", "b"]) == 2
        assert told in capsys.readouterr().err
        assert not Path("b").exists()


def test_a_zoo_of_other_settings_is_neither_used_nor_thrown_away(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "watcher").mkdir()
    (tmp_path / "watcher" / ".begun").write_text("the hash of other settings")
    (tmp_path / "watcher" / "weights").touch()
    assert main(["bench", "regimes", "--build", str(tmp_path), "--smoke"]) == 2
    assert "watcher was made by other settings" in capsys.readouterr().err
    assert (tmp_path / "watcher" / "weights").exists()
