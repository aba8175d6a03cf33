"""`pseudocap finetune --retrieval` as a user runs it: from caption rows, resumed, and with wrong input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.retrievers import build_retriever
from helpers.small_worlds import write_world
from helpers.sounding_world import write_sounding_world
from helpers.tiny_ast import write_ast

from pseudocap.cli.main import main
from pseudocap.retriever import Retriever


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), takes=2)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, backbones: Path) -> Path:
    folder = tmp_path_factory.mktemp("start") / "retriever"
    build_retriever(backbones, num_frames=4, width=32, dim=16).save_pretrained(folder)
    return folder


def words(world: Path, start: Path, out: Path, *more: str) -> list[str]:
    data = ["--data", str(world / "captions.jsonl"), "--out", str(out), "--workers", "0", "--device", "cpu"]
    return ["finetune", "--retrieval", "--from", str(start), *data, "--lr", "3e-3", *more]


def test_a_retriever_learns_from_caption_rows_and_goes_on(
    world: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(words(world, start, out, "--max-epochs", "6", "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["retriever"] == str(out / "best")
    assert result["best"]["rsum"] > result["before"]["rsum"]
    results = json.loads((out / "best" / "results.json").read_text())
    assert results["scores"] == result["best"]
    assert results["videos"] == 4
    assert results["baseline"]["scores"] == result["before"]
    assert "finetune --retrieval --from retriever" in results["command"]
    assert Retriever.from_pretrained(out / "best", device="cpu").identity != build_identity(start)
    assert main(words(world, start, out)) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(words(world, start, out, "--max-epochs", "7", "--resume")) == 0
    printed = capsys.readouterr().out
    assert f"Retriever.from_pretrained('{out / 'best'}')" in printed
    assert "R@1" in printed
    assert main(words(world, start, out, "--lr", "1e-3", "--resume")) == 2
    assert "had --lr 0.003 and this one has 0.001" in capsys.readouterr().err


def test_a_retriever_that_hears_learns_by_groups_with_its_encoder_where_it_lies_now(
    backbones: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, hears = write_sounding_world(tmp_path / "world"), tmp_path / "hears"
    ast = write_ast(tmp_path / "ast")
    build_retriever(backbones, audio_encoder=ast, num_frames=4).save_pretrained(hears)
    now = str(ast.rename(tmp_path / "moved"))
    groups = ["--modality-groups", "a=1", "--max-epochs", "1"]
    assert main(words(world, hears, tmp_path / "run", *groups)) == 2
    assert "the audio_encoder was at" in capsys.readouterr().err
    assert main(words(world, hears, tmp_path / "run", "--audio-encoder", now, *groups)) == 0
    results = json.loads((tmp_path / "run" / "best" / "results.json").read_text())
    assert "--audio-encoder moved --modality-groups av=0,v=0,a=1" in results["command"]
    assert (
        Retriever.from_pretrained(tmp_path / "run" / "best", device="cpu").config.backbones["audio_encoder"].source
        == now
    )
    capsys.readouterr()
    for given, problem in (
        (["--audio-encoder", now], f"--audio-encoder {now}: {start} does not hear, and a retriever gains no ears"),
        (["--modality-groups", "v=0.5,a=0.5"], f"--modality-groups: {start} does not hear; leave it out\n"),
    ):
        assert main(words(world, start, tmp_path / "deaf", *given)) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "deaf").exists()


def build_identity(folder: Path) -> str:
    return Retriever.from_pretrained(folder, device="cpu").identity


def test_what_is_no_retriever_is_refused_in_one_line(
    world: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(world, tmp_path, tmp_path / "run")) == 2
    assert "has no config.json" in capsys.readouterr().err
    captioner = shutil.copytree(start, tmp_path / "captioner")
    (captioner / "config.json").write_text('{"model_type": "pseudocap", "format": 2}')
    assert main(words(world, captioner, tmp_path / "run")) == 2
    assert "is no retriever's config" in capsys.readouterr().err
    assert main(words(world, start, tmp_path / "run", "--decoder", "opt")) == 2
    assert "--decoder opt: a retriever has none; leave it out" in capsys.readouterr().err
    assert main([word for word in words(world, start, tmp_path / "run", "--text", "opt") if word != "--retrieval"]) == 2
    assert "--text opt: a captioner has none; leave it out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
