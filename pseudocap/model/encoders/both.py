"""Encode clips by sight, by sound or by both, as one memory: what captioners and retrievers do with their encoders."""

from __future__ import annotations

import torch

from pseudocap.errors import InputError
from pseudocap.memory import Memory
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder


def encode_clips(
    encoder: Encoder,
    audio_encoder: AudioEncoder | None,
    frames: torch.Tensor | None = None,
    frame_mask: torch.Tensor | None = None,
    sound: torch.Tensor | None = None,
    sound_lengths: torch.Tensor | None = None,
    *,
    patches: bool,
) -> Memory:
    """Encode frames float [B,T,3,H,W], normalised, and windows of sound [B,W,F,M], of which so many frames are real
    [B,W]; either may be absent. With `patches` every patch of every frame is kept."""
    seen = heard = None
    if frames is not None:
        encoder.check_frames(frames, frame_mask)
        mask = None if frame_mask is None else frame_mask.to(encoder.device)
        seen = encoder.encode(frames.to(encoder.device), mask, patches=patches)
    if sound is not None:
        heard = _hear(audio_encoder, sound, sound_lengths)
    found = [memory for memory in (seen, heard) if memory is not None]
    if not found:
        raise InputError("there is nothing to encode: give frames, sound or both")
    if len({len(memory) for memory in found}) > 1:
        raise InputError(f"frames are of {len(found[0])} clips and sound of {len(found[1])}: give both of the same")
    axes = {name: axis for memory in found for name, axis in memory.axes.items()}
    return Memory(axes, None if seen is None else seen.patches)


def _hear(encoder: AudioEncoder | None, sound: torch.Tensor, lengths: torch.Tensor | None) -> Memory:
    if encoder is None:
        raise InputError("this model does not hear: it has no audio encoder; leave sound out")
    if lengths is None:
        raise InputError("sound_lengths must count the real frames of each window of sound: give them with sound")
    return encoder.encode(sound.to(encoder.device), lengths.to(encoder.device))
