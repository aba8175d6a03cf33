"""`pseudocap caption --modalities`, and captioners that learn to hear by `pseudocap finetune`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.sounding import Track, write_sounding
from helpers.sounding_world import write_sounding_world
from helpers.tiny_ast import write_ast

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.data.corpora.own import read_own
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.decoding import strip_unfinished

Build = Callable[..., PseudoCap]


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ast(tmp_path_factory.mktemp("ast"))


@pytest.fixture
def checkpoint(build: Build, ast: Path, tmp_path: Path) -> Path:
    model = build()
    model.add_sound(ast)
    for adapter in model.adapters.values():
        adapter.attention.mix.weight.data.normal_(std=0.6)
    model.save_pretrained(tmp_path / "hears")
    return tmp_path / "hears"


def caption(*words: object) -> int:
    return main(["caption", *map(str, words), "--device", "cpu", "--max-new-tokens", "6"])


def test_files_are_captioned_by_the_modalities_that_are_named(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = write_sounding(tmp_path / "loud.mp4", Track(end=1.0), seconds=1.0)
    mute = write_sounding(tmp_path / "mute.mp4", seconds=1.0)
    model = PseudoCap.from_pretrained(checkpoint, device="cpu")
    for group in ("av", "v", "a"):
        assert caption(loud, "--checkpoint", checkpoint, "--modalities", group) == 0
        text = model.caption(loud, modalities=group, max_new_tokens=6)
        assert capsys.readouterr().out == f"{strip_unfinished(text)}\n"
    assert caption(loud, mute, "--checkpoint", checkpoint, "--modalities", "av", "--format", "json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[1]["captions"][0]["text"] == strip_unfinished(model.caption(mute, modalities="v", max_new_tokens=6))
    assert caption(loud, mute, "--checkpoint", checkpoint, "--modalities", "a", "--format", "json") == 1
    printed = capsys.readouterr()
    assert [len(json.loads(line)["captions"]) for line in printed.out.splitlines()] == [1, 0]
    (failed,) = [line for line in printed.err.splitlines() if line.startswith("failed")]
    assert failed == f"failed: {mute}: the file has no sound track, and modalities is 'a'"


def test_sounds_are_captioned_where_sound_alone_is_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    track = write_sounding(folder / "track.wav", Track(codec="pcm_s16le", end=1.0), codec=None)
    assert caption(folder, "--checkpoint", checkpoint, "--modalities", "a", "--format", "json") == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    model = PseudoCap.from_pretrained(checkpoint, device="cpu")
    text = strip_unfinished(model.caption(track, modalities="a", max_new_tokens=6))
    assert (row["file"], row["captions"][0]["text"]) == (str(track), text)
    assert caption(track, "--checkpoint", checkpoint) == 1
    assert "a captioner that hears takes sound alone (modalities 'a')" in capsys.readouterr().err
    (folder / "noise.wav").write_bytes(b"no sound")
    assert caption(folder / "noise.wav", "--checkpoint", checkpoint, "--modalities", "a") == 1
    assert "FFmpeg cannot open it" in capsys.readouterr().err


def test_captions_by_other_modalities_are_made_anew(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud, out = write_sounding(tmp_path / "loud.mp4", Track(end=1.0), seconds=1.0), tmp_path / "said"
    words = (loud, "--checkpoint", checkpoint, "--out", out, "--format", "json")
    assert caption(*words) == 0
    assert caption(*words) == 0
    assert "skipped: 1 file" in capsys.readouterr().err
    assert caption(*words, "--modalities", "a", "--overwrite") == 0
    assert "skipped" not in capsys.readouterr().err


def test_a_captioner_gains_its_ears_in_finetuning_and_resumes_with_them(
    build: Build, ast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = write_sounding_world(tmp_path / "world")
    build().save_pretrained(tmp_path / "deaf")
    words = ["finetune", "--from", str(tmp_path / "deaf"), "--data", str(world / "captions.jsonl")]
    words += ["--audio-encoder", str(ast), "--modality-groups", "av=0.5,v=0.25,a=0.25", "--validation-groups", "v,a"]
    words += ["--out", str(tmp_path / "run"), "--workers", "0", "--batch-size", "2", "--device", "cpu"]
    assert main([*words, "--max-epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "--audio-encoder OWNER/AUDIO_ENCODER" in printed
    document, report = json.loads((tmp_path / "run" / "results.json").read_text()), tmp_path / "run" / "report.md"
    for name in ("baseline", "last"):
        assert set(document[name]["groups"]) == {"v", "a"}
        assert set(document[name]["taken"]) == {"time", "space", "sound"}
    assert document["baseline"]["taken"]["sound"] == 0 < document["last"]["taken"]["sound"]
    for name in ("CIDEr-D by v", "CIDEr-D by a", "taken of space", "taken of sound"):
        assert any(line.startswith(name) and line.endswith("last") for line in printed.splitlines())
        assert f"| {name} |" in report.read_text()
    results = json.loads((tmp_path / "run" / "last" / "results.json").read_text())
    assert set(results["scores_by_group"]) == {"v", "a"}
    assert "--audio-encoder ast" in results["command"].replace(ast.name, "ast")
    assert "--modality-groups av=0.5,v=0.25,a=0.25 --validation-groups v,a" in results["command"]
    again = PseudoCap.from_pretrained(tmp_path / "run" / "last", device="cpu")
    assert again.config.hears
    (tmp_path / "ears").symlink_to(ast)
    others = write_ast(tmp_path / "others", seed=1)
    for other, refused in (
        ([word.replace(str(ast), str(tmp_path / "ears")) for word in words], ""),
        ([word.replace(str(ast), str(others)) for word in words], "the audio_encoder"),
        ([*words[:5], *words[11:]], "--modality-groups"),  # without ears
        ([word.replace("av=0.5,v=0.25", "av=0.25,v=0.5") for word in words], "--modality-groups"),
        ([word.replace("v,a", "v") for word in words], "--validation-groups v,a and this one has v"),
        ([word for word in words if word not in ("--validation-groups", "v,a")], "--validation-groups v,a and this"),
    ):
        assert main([*other, "--max-epochs", "2", "--resume"]) == (2 if refused else 0)
        assert (f"the run to resume had {refused}" in capsys.readouterr().err) == bool(refused)
    page = (tmp_path / "run" / "last" / "README.md").read_text()
    assert "It hears sounds, not words" in page
    assert "| encoder (audio), frozen |" in page
    assert "| hears | windows of 0.32 s at 16,000 samples a second |" in page
    assert "It hears nothing" in (tmp_path / "deaf" / "README.md").read_text()


def test_a_captioner_that_cannot_gain_ears_is_refused_before_anything_is_written(
    build: Build, ast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = write_sounding_world(tmp_path / "world")
    build(attention="full").save_pretrained(tmp_path / "full")
    words = ["finetune", "--from", str(tmp_path / "full"), "--data", str(world / "captions.jsonl")]
    assert main([*words, "--audio-encoder", str(ast), "--out", str(tmp_path / "run")]) == 2
    assert "cannot gain sound: start from one with attention 'separable'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_captioner_that_hears_learns_from_stored_memories(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, model = write_sounding_world(tmp_path / "world"), PseudoCap.from_pretrained(checkpoint, device="cpu")
    config, audio = model.config, model.audio_encoder
    source = RowSource(
        read_own(world / "captions.jsonl").rows, VideoFolder(world), config.preprocess, sound=config.sound_preprocess
    )
    spec = MemorySpec(
        encoder=model.encoder.fingerprint,
        preprocess=config.preprocess,
        axes=config.axes,
        audio_encoder=audio.fingerprint,
        sound=config.sound_preprocess,
    )
    encode(source, model.encoder, tmp_path / "memories", spec, audio_encoder=audio)
    words = ["finetune", "--from", str(checkpoint), "--data", str(world / "captions.jsonl"), "--workers", "0"]
    words += ["--batch-size", "2", "--max-epochs", "1", "--device", "cpu", "--json"]
    losses = []
    for out, stored in (("stored", ["--memories", str(tmp_path / "memories")]), ("decoded", [])):
        assert main([*words, *stored, "--out", str(tmp_path / out)]) == 0
        losses.append(json.loads(capsys.readouterr().out)["baseline"]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3), "what is stored is what is decoded, in 16 bits"
