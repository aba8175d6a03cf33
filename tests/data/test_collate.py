"""Samples with and without sound, padded to one batch."""

from __future__ import annotations

import torch

from pseudocap.data.collate import collate
from pseudocap.types import Sample


def clip(key: str, *lengths: int) -> Sample:
    windows = len(lengths)
    sound = torch.full((windows, 8, 3), float(windows)) if windows else None
    frames = torch.zeros(2, 3, 4, 4)
    real = torch.tensor(lengths) if windows else None
    return Sample(key=key, modality="video", captions=("x",), frames=frames, sound=sound, sound_lengths=real)


def test_sounds_are_padded_to_the_most_windows_and_those_that_are_padding_have_length_zero() -> None:
    batch = collate([clip("a", 8, 3), clip("b"), clip("c", 8, 8, 8)], ["x"] * 3)
    assert batch.sound is not None
    assert batch.sound_lengths is not None
    assert batch.sound.shape == (3, 3, 8, 3)
    assert batch.sound_lengths.tolist() == [[8, 3, 0], [0, 0, 0], [8, 8, 8]]
    assert batch.sound.flatten(1).sum(dim=1).tolist() == [2 * 2 * 24.0, 0.0, 3 * 3 * 24.0]
    assert not batch.sound[0, 2].any()


def test_a_batch_of_silent_clips_has_no_sound() -> None:
    batch = collate([clip("a"), clip("b")], ["x"] * 2)
    assert (batch.sound, batch.sound_lengths) == (None, None)
