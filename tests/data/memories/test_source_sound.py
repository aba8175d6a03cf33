"""Folders with sound: what made it is part of the fingerprint, and a model that hears gets no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pseudocap.data.memories.shards import ShardVectors, create, write_shard
from pseudocap.data.memories.source import MemoryRow, MemorySource, ShardIndex
from pseudocap.data.memories.spec import MemorySpec, read_spec
from pseudocap.data.stream.sources import Described
from pseudocap.errors import ConfigError, DataError
from pseudocap.memory import Axis, Memory
from pseudocap.types import Modality, Preprocess, SoundPreprocess

SOUND = SoundPreprocess(bins=32, frames=128)
SPEC = MemorySpec(
    encoder="e" * 64,
    preprocess=Preprocess(size=16, frames=2),
    axes=("time", "space", "sound"),
    audio_encoder="a" * 64,
    sound=SOUND,
)
SIGHT = MemorySpec(encoder="e" * 64, preprocess=Preprocess(size=16, frames=2))


def stored(folder: Path, spec: MemorySpec, modality: Modality = "video") -> Path:
    """A folder of one clip."""
    create(folder, spec)
    vectors = ShardVectors(spec, 1)
    axis = Axis(torch.rand(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
    vectors.add(Memory(dict.fromkeys(spec.axes, axis)))
    row = MemoryRow(of=Described(key="a", content="c", modality=modality, captions=("a",)), place=0)
    write_shard(folder, 0, vectors.tensors(), ShardIndex(source="s", next=1, rows=(row,)))
    return folder


def test_settings_of_sound_come_back_and_those_without_are_as_they_were(tmp_path: Path) -> None:
    create(tmp_path / "heard", SPEC)
    assert read_spec(tmp_path / "heard") == SPEC
    alone = replace(SPEC, encoder="", preprocess=None, axes=("sound",))
    create(tmp_path / "alone", alone)
    assert read_spec(tmp_path / "alone") == alone
    assert not {"audio_encoder", "sound"} & SIGHT.to_dict().keys()
    found = [SPEC, alone, SIGHT, replace(SPEC, audio_encoder="b" * 64), replace(SPEC, sound=replace(SOUND, moments=2))]
    assert len({spec.fingerprint for spec in found}) == len(found)


def test_a_model_that_hears_gets_what_was_heard_by_its_own_encoder_alone(tmp_path: Path) -> None:
    folder = stored(tmp_path / "heard", SPEC)
    known = {"encoder": SPEC.encoder, "preprocess": SPEC.preprocess}
    source = MemorySource(folder, **known, audio_encoder=SPEC.audio_encoder, sound=SOUND)
    assert source.memory(0).axes["sound"].vectors.shape == (1, 2, 4)
    MemorySource(folder, **known)  # a model that only sees may read it
    with pytest.raises(DataError, match=r"was encoded by weights with fingerprint a{12}, .* has b{12}; encode again"):
        MemorySource(folder, **known, audio_encoder="b" * 64, sound=SOUND)
    with pytest.raises(DataError, match=r"from other sound \(.*moments 4.0\) than the model takes \(.*moments 2\)"):
        MemorySource(folder, **known, audio_encoder=SPEC.audio_encoder, sound=replace(SOUND, moments=2))


def test_videos_without_sound_are_refused_for_a_model_that_hears_and_pictures_are_not(tmp_path: Path) -> None:
    silent = stored(tmp_path / "silent", SIGHT)
    with pytest.raises(DataError, match=r"silent holds no sound, and the model hears; .* --audio-encoder"):
        MemorySource(silent, audio_encoder=SPEC.audio_encoder, sound=SOUND)
    MemorySource(stored(tmp_path / "pictures", SIGHT, "image"), audio_encoder=SPEC.audio_encoder, sound=SOUND)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"preprocess": None}, "time and space are of pictures: name preprocess"),
        ({"sound": None}, "audio_encoder and sound come together"),
        ({"audio_encoder": ""}, "audio_encoder and sound come together"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        replace(SPEC, **changes)  # type: ignore[arg-type]
