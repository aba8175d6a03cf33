"""`pseudocap train retrieval` as a user runs it: from memories, from tars, resumed, and with wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.small_worlds import write_world
from helpers.tars import video_tars

from pseudocap.cli.main import main
from pseudocap.retriever import Retriever


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, backbones: Path) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    video_tars(folder / "pseudolabels")
    words = ["--encoder", str(backbones / "timesformer"), "--out", str(folder / "memories"), "--workers", "0"]
    assert main(["encode", str(folder / "captions.jsonl"), *words, "--size", "16", "--frames", "4"]) == 0
    return folder


def words(backbones: Path, videos: Path, out: Path, *more: str) -> list[str]:
    model = {"text": backbones / "opt", "encoder": backbones / "timesformer", "dim": 16, "width": 16}
    settings = {f"--model.model.init_args.{name}": str(value) for name, value in model.items()}
    settings |= {"--data.videos": str(videos), "--data.batch_size": "4", "--data.workers": "0", "--out": str(out)}
    settings |= {"--trainer.accelerator": "cpu", "--trainer.enable_progress_bar": "false"}
    return ["train", "retrieval", "--config", "toy", *(word for pair in settings.items() for word in pair), *more]


@pytest.mark.parametrize("source", ["memories", "pseudolabels"])
def test_a_run_leaves_a_retriever_that_loads(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    out = tmp_path / "run"
    more = ["--trainer.max_steps", "2", "--checkpoint_every", "2"]
    assert main(words(backbones, world / source, out, *more)) == 0
    assert f"2 steps; the retriever is {out / 'last'}" in capsys.readouterr().out
    retriever = Retriever.from_pretrained(out / "last", device="cpu")
    assert retriever.embed_text(["a red square"]).shape == (1, 16)
    if source == "memories":
        assert main(words(backbones, world / source, out, "--trainer.max_steps", "3", "--resume")) == 0
        assert json.loads((out / "last" / "results.json").read_text())["step"] == 3
        assert Retriever.from_pretrained(out / "last", device="cpu").identity != retriever.identity


def test_wrong_input_is_one_line(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for setting, value, expected in (
        ("--model.contrast.loss", "tripled", "contrast.loss must be one of nce, joint, triplet"),
        ("--model.model.init_args.similarity", "cosine", "similarity must be one of dot, fine"),
        ("--model.optimisation.method", "adam", "optimisation.method must be one of adamw, sgd"),
        ("--model.model.init_args.text", str(tmp_path / "absent"), "absent"),
    ):
        assert main(words(backbones, world / "memories", tmp_path / "run", setting, value)) != 0
        assert expected in capsys.readouterr().err
    without = words(backbones, world / "memories", tmp_path / "run")
    at = without.index("--data.videos")
    assert main([*without[:at], *without[at + 2 :]]) == 2
    assert "give images=, videos= or both" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
