"""Memories of sound beside those of sight, or alone: what an audio encoder hears of the same seconds, after any end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.audio_models import write_audio_model
from helpers.sounding import Track, heard, write_sounding

from pseudocap.audio.clips import Windows, read_windows
from pseudocap.audio.spectrogram import sound_windows
from pseudocap.audio.waveform import read_sound
from pseudocap.cli.main import main
from pseudocap.data.memories.encode import hear
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import read_spec
from pseudocap.model.encoders import load_audio_encoder
from pseudocap.types import Sample

FLAC = Track(codec="flac", rate=16000)


@pytest.fixture(scope="module")
def audio_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio") / "ast"
    write_audio_model(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with sound, one of which ends early, one without a track, and a sound without pictures."""
    folder = tmp_path_factory.mktemp("films")
    write_sounding(folder / "a.mkv", FLAC, seconds=3.0)
    write_sounding(folder / "b.mp4", Track(end=0.8), seconds=2.0)
    write_sounding(folder / "mute.mp4", seconds=1.0)
    rows = [{"video": name, "caption": f"film {name}"} for name in ("a.mkv", "b.mp4", "mute.mp4")]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def encoded(source: Path, out: Path, *words: object) -> MemorySource:
    assert main(["encode", str(source), "--out", str(out), "--workers", "0", *map(str, words)]) == 0
    return MemorySource(out)


def heard_by(encoder: Path, path: Path, start: float, end: float) -> torch.Tensor:
    """What an encoder makes of these seconds, by itself."""
    network = load_audio_encoder(encoder)
    windows, lengths = sound_windows(read_sound(path, start=start, end=end), network.preprocess)
    axis = network.encode(torch.from_numpy(windows)[None], torch.from_numpy(lengths)[None]).axes["sound"]
    return axis.vectors[axis.mask]


def sound_of(source: MemorySource, key: str, view: int = 0) -> torch.Tensor | None:
    axis = source.memory(source.find(key), view).axes.get("sound")
    return None if axis is None else axis.vectors[0]


def test_sound_is_stored_beside_sight_and_a_film_without_a_track_has_none(
    films: Path, tmp_path: Path, backbones: Path, audio_encoder: Path
) -> None:
    sight = ("--encoder", backbones / "timesformer", "--crops", 1)
    both = encoded(films / "captions.jsonl", tmp_path / "both", *sight, "--audio-encoder", audio_encoder)
    spec = read_spec(tmp_path / "both")
    network = load_audio_encoder(audio_encoder)
    assert (spec.axes, spec.audio_encoder) == (("time", "space", "sound"), network.fingerprint)
    assert spec.sound == network.preprocess
    keys = [row.key for row in both.rows]
    for key, end in zip(keys, (3.0, 2.0, None), strict=True):
        for view in (0, 1):
            found = sound_of(both, key, view)
            if end is None:
                assert found is None
            else:
                assert found is not None
                wanted = heard_by(audio_encoder, films / key, 0.0, end)
                torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)  # as stored, in float16
    eyes = encoded(films / "captions.jsonl", tmp_path / "eyes", *sight)
    assert read_spec(tmp_path / "eyes").to_dict().keys().isdisjoint({"sound", "audio_encoder"})
    for key in keys:
        torch.testing.assert_close(both.memory(both.find(key)).time, eyes.memory(eyes.find(key)).time, rtol=0, atol=0)


def test_the_sound_of_a_clip_is_read_once_for_all_of_its_views(
    films: Path, tmp_path: Path, backbones: Path, audio_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: str, *words: Any, **options: Any) -> Windows | None:
        read.append(Path(path).suffix)
        return read_windows(path, *words, **options)

    monkeypatch.setattr("pseudocap.data.stream.sources.read_windows", counted)
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        tar.add(films / "a.mkv", "000.mkv")
        tar.add(films / "captions.jsonl", "000.txt")
    for source, suffixes in ((films / "captions.jsonl", [".mkv", ".mp4", ".mp4"]), (tmp_path / "00000.tar", [".mkv"])):
        words = ("--encoder", backbones / "timesformer", "--audio-encoder", audio_encoder, "--crops", 2)
        stored = encoded(source, tmp_path / source.stem, *words)
        assert read == suffixes
        first, *others = (sound_of(stored, stored.rows[0].key, view) for view in range(3))
        assert first is not None
        assert all(other is not None and torch.equal(first, other) for other in others)
        read.clear()


def test_clips_of_a_film_have_the_sound_of_their_seconds(tmp_path: Path, backbones: Path, audio_encoder: Path) -> None:
    (tmp_path / "films").mkdir()
    film = write_sounding(tmp_path / "films" / "a.mkv", FLAC, seconds=3.0)
    cut = encoded(
        tmp_path / "films",
        tmp_path / "out",
        *("--clip-seconds", 1, "--encoder", backbones / "timesformer", "--audio-encoder", audio_encoder),
    )
    assert len(cut) == 3
    for number, row in enumerate(cut.rows):
        found = sound_of(cut, row.key)
        assert found is not None
        wanted = heard_by(audio_encoder, film, number, number + 1.0)
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)


def test_sound_alone_needs_neither_an_encoder_of_sight_nor_pictures(
    tmp_path: Path, films: Path, audio_encoder: Path
) -> None:
    write_sounding(tmp_path / "a.wav", Track(codec="pcm_s16le", rate=8000, end=1.5), codec=None)
    (tmp_path / "b.mkv").symlink_to(films / "a.mkv")
    rows = [{"video": name, "caption": name} for name in ("a.wav", "b.mkv")]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone = encoded(
        tmp_path / "captions.jsonl",
        tmp_path / "out",
        *("--encoder", "none", "--audio-encoder", audio_encoder, "--moments", 8),
    )
    spec = read_spec(tmp_path / "out")
    assert (spec.encoder, spec.preprocess, spec.axes) == ("", None, ("sound",))
    assert spec.sound is not None
    assert spec.sound.moments == 8
    counts = {row.key: alone.memory(number).axes["sound"].vectors.shape[1] for number, row in enumerate(alone.rows)}
    assert counts == pytest.approx({"a.wav": 12, "b.mkv": 24}, abs=2)


def test_sounds_are_found_in_a_folder_and_by_a_corpus_that_names_them_without_an_extension(
    tmp_path: Path, audio_encoder: Path
) -> None:
    (tmp_path / "sounds").mkdir()
    write_sounding(tmp_path / "sounds" / "aaaaaaaaaaa.wav", Track(codec="pcm_s16le", rate=16000, end=2.0), codec=None)
    alone = ("--encoder", "none", "--audio-encoder", audio_encoder)
    folder = encoded(tmp_path / "sounds", tmp_path / "folder", "--clip-seconds", 1, *alone)
    wanted = [heard_by(audio_encoder, tmp_path / "sounds" / "aaaaaaaaaaa.wav", n, n + 1.0) for n in range(2)]
    for row, expected in zip(folder.rows, wanted, strict=True):
        torch.testing.assert_close(sound_of(folder, row.key), expected, atol=2e-3, rtol=2e-3)
    (tmp_path / "test.csv").write_text("audiocap_id,youtube_id,start_time,caption\n9,aaaaaaaaaaa,30,A cat\n")
    named = ("--videos", tmp_path / "sounds", "--allow-partial", *alone)
    corpus = encoded(Path(f"audiocaps:{tmp_path}"), tmp_path / "corpus", *named)
    assert [row.key for row in corpus.rows] == ["aaaaaaaaaaa"]
    assert sound_of(corpus, "aaaaaaaaaaa") is not None


def test_videos_in_tars_are_heard(tmp_path: Path, films: Path, backbones: Path, audio_encoder: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for key, name in (("000", "a.mkv"), ("001", "mute.mp4")):
            tar.add(films / name, f"{key}.{name.rpartition('.')[2]}")
            (tmp_path / "text").write_text(name)
            tar.add(tmp_path / "text", f"{key}.txt")
    source = encoded(
        tmp_path / "00000.tar",
        tmp_path / "out",
        *("--encoder", backbones / "timesformer", "--audio-encoder", audio_encoder),
    )
    found = sound_of(source, "000")
    assert found is not None
    torch.testing.assert_close(found, heard_by(audio_encoder, films / "a.mkv", 0.0, 3.0), atol=2e-3, rtol=2e-3)
    assert sound_of(source, "001") is None


def test_the_sound_of_a_clip_is_encoded_once_for_all_of_its_views(audio_encoder: Path) -> None:
    network = load_audio_encoder(audio_encoder)
    windows, lengths = sound_windows(heard(1.0), network.preprocess)
    sound, real = torch.from_numpy(windows), torch.from_numpy(lengths)
    silent = Sample(key="clip", modality="video", captions=())
    views = [replace(silent, sound=sound, sound_lengths=real)] * 3
    views.insert(1, silent)
    calls: list[int] = []
    network.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    memory = hear(network, views)
    assert calls == [len(windows)]
    assert memory.axes["sound"].mask.any(dim=1).tolist() == [True, False, True, True]
    torch.testing.assert_close(memory.axes["sound"].vectors[0], memory.axes["sound"].vectors[3])
    assert not hear(network, [silent]).axes["sound"].mask.any()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(
    films: Path, tmp_path: Path, backbones: Path, audio_encoder: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "pseudocap",
        "encode",
        str(films / "captions.jsonl"),
        "--crops",
        "5",
        "--size",
        "16",
    ]
    command += ["--encoder", str(backbones / "timesformer"), "--audio-encoder", str(audio_encoder)]
    command += ["--shard-size", "1", "--batch-size", "3", "--device", "cpu"]
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, "--workers", "1", "--out", str(killed)], start_new_session=True)
    while not list(killed.glob("00000.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    words = [*command[3:], "--workers", "0"]
    assert main([*words, "--out", str(killed)]) == main([*words, "--out", str(tmp_path / "whole")]) == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir() if path.name[0] != "."}
    assert {path.name: path.read_bytes() for path in killed.iterdir() if path.name[0] != "."} == files
    assert len([name for name in files if name.endswith(".safetensors")]) == 3


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--encoder", "none"), "--encoder none is for the sound of videos alone: name what encodes it"),
        (("--encoder", "none", "--audio-encoder", "AUDIO", "--crops", 2), "--crops: of pictures, and --encoder none"),
        (("--encoder", "SIGHT", "--audio-encoder", "AUDIO", "--images"), "pictures have no sound"),
        (("--encoder", "SIGHT", "--audio-encoder", "SIGHT"), "which is no audio model; name an AST"),
        (("--encoder", "SIGHT", "--audio-encoder", "nowhere/at/all"), "nowhere/at/all"),
        (("--encoder", "AUDIO"), "hears and does not see"),
        (("--encoder", "SIGHT", "--moments", 2), "--moments is of sound: name what encodes it with --audio-encoder"),
        (("--encoder", "SIGHT", "--audio-encoder", "AUDIO", "--moments", 0), "--moments must be a number above 0"),
    ],
)
def test_mistakes_are_named_in_one_line(
    films: Path,
    tmp_path: Path,
    backbones: Path,
    audio_encoder: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    problem: str,
) -> None:
    known = {"SIGHT": str(backbones / "timesformer"), "AUDIO": str(audio_encoder)}
    given = [known.get(str(word), str(word)) for word in words]
    assert main(["encode", str(films / "captions.jsonl"), "--out", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
