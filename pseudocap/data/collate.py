"""Collate samples into a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from pseudocap.audio.tensors import Sound, pad_sounds
from pseudocap.errors import DataError
from pseudocap.memory import AXES, Axis, Memory
from pseudocap.types import Batch, Sample
from pseudocap.video.tensors import pad_clips


def collate(samples: Sequence[Sample], captions: Sequence[str], *, step: int | None = None) -> Batch:
    """Collate samples of one modality, each with the captions that it learns, as many for each and side by side; what
    is shorter is padded."""
    modality = samples[0].modality
    if any(sample.modality != modality for sample in samples):
        raise DataError("a batch holds one modality, and images and videos were drawn together")
    frames, mask, memory = None, None, None
    if samples[0].memory is None:
        frames, mask = _frames(samples)
    else:
        memory = _memories(samples)
    sounds = [_sound(sample) for sample in samples]
    sound, sound_lengths = pad_sounds(sounds) or (None, None)
    return Batch(
        keys=tuple(sample.key for sample in samples),
        modality=modality,
        captions=tuple(captions),
        references=tuple(sample.captions for sample in samples),
        frames=frames,
        frame_mask=mask,
        memory=memory,
        step=step,
        prompts=_prompts(samples, len(captions) // len(samples)),
        sound=sound,
        sound_lengths=sound_lengths,
    )


def _prompts(samples: Sequence[Sample], each: int) -> tuple[str, ...]:
    if not any(sample.prompt for sample in samples):
        return ()
    return tuple(sample.prompt for sample in samples for _ in range(each))


def _frames(samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor | None]:
    clips = [sample.frames for sample in samples if sample.frames is not None]
    if len(clips) < len(samples):
        raise DataError("a batch holds frames or memories, and samples of both were drawn together")
    if len({len(clip) for clip in clips}) == 1:
        return torch.stack(clips), None
    return pad_clips(clips)


def _sound(sample: Sample) -> Sound | None:
    windows, lengths = sample.sound, sample.sound_lengths
    return None if windows is None or lengths is None else (windows, lengths)


def _memories(samples: Sequence[Sample]) -> Memory:
    memories = [sample.memory for sample in samples if sample.memory is not None]
    if len(memories) < len(samples):
        raise DataError("a batch holds frames or memories, and samples of both were drawn together")
    patches = [memory.patches for memory in memories if memory.patches is not None]
    if patches and len(patches) < len(memories):
        raise DataError("memories with patches and memories without were drawn together")
    each = {name: [memory.axes.get(name) for memory in memories] for name in AXES}
    memory = Memory({name: _padded(of_name) for name, of_name in each.items() if any(of_name)})
    if patches:  # [1,T,S,E] each; padding is zero, as the axes' masks mark it
        frames, size = memory.time.shape[1], memory.space.shape[1]
        padded = [F.pad(one, (0, 0, 0, size - one.shape[2], 0, frames - one.shape[1])) for one in patches]
        memory.patches = torch.cat(padded)
    return memory


def _padded(axes: Sequence[Axis | None]) -> Axis:
    """Pad one axis of memories of one row each, [1,N,E] and [1,N], to the longest; padding is zero, and a memory
    without this axis is all padding."""
    none = next(axis for axis in axes if axis is not None).each(lambda tensor: tensor[:, :0])
    rows = [axis or none for axis in axes]
    return Axis(
        pad_sequence([row.vectors[0] for row in rows], batch_first=True),
        pad_sequence([row.mask[0] for row in rows], batch_first=True),
    )
