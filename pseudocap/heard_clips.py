"""Hold clips with their sound, as captioners and retrievers take them, and make batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pseudocap.audio.clips import Windows
from pseudocap.audio.tensors import pad_sounds
from pseudocap.errors import InputError
from pseudocap.video.tensors import pad_clips


@dataclass(frozen=True, kw_only=True, slots=True)
class HeardClip:
    """Hold a clip with sound: its frames [T,3,H,W], None where it is known by sound alone, and its windows [W,F,M] with
    the real frames of each [W]."""

    frames: torch.Tensor | None
    windows: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, frames: torch.Tensor | None, sound: Windows) -> HeardClip:
        """Join frames, if any, with the sound that was read."""
        windows, lengths = map(torch.from_numpy, sound)
        return cls(frames=frames, windows=windows, lengths=lengths)


def encoder_input(clips: Sequence[torch.Tensor | HeardClip]) -> dict[str, torch.Tensor | None]:
    """Return what `encode` takes of clips of any lengths, frames [T,3,H,W] each or with their sound; either all have
    frames or none."""
    frames = [clip.frames if isinstance(clip, HeardClip) else clip for clip in clips]
    seen = [each for each in frames if each is not None]
    if seen and len(seen) < len(clips):
        raise InputError("clips are known by sound alone all together, or none of them is")
    frames_BT3HW, mask_BT = pad_clips(seen) if seen else (None, None)
    sounds = [(clip.windows, clip.lengths) if isinstance(clip, HeardClip) else None for clip in clips]
    windows, lengths = pad_sounds(sounds) or (None, None)
    return {"frames": frames_BT3HW, "frame_mask": mask_BT, "sound": windows, "sound_lengths": lengths}
