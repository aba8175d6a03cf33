"""Decode files and long videos to tensors for an encoder, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from pseudocap.errors import InputError
from pseudocap.types import Clip, Preprocess
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import open_video
from pseudocap.video.reader import Frames, VideoInfo, VideoReader
from pseudocap.video.shots import CutDetector, shot_clips
from pseudocap.video.transforms import eval_pixels, eval_tensor

Item = TypeVar("Item")


def decode_file(path: str | os.PathLike[str], preprocess: Preprocess) -> torch.Tensor:
    """Decode an entire file, [T,3,H,W], at the centres of T equal segments; an image is a video of one frame."""
    return eval_tensor(read_file(path, preprocess.frames)[0].pixels, preprocess)


def read_file(
    path: str | os.PathLike[str], count: int, *, start: float = 0.0, end: float | None = None
) -> tuple[Frames, VideoInfo]:
    """Return the frames at the centres of `count` equal segments of a file, or of these seconds of it, one of a still,
    and its VideoInfo."""
    with open_video(path) as video:
        return distinct_frames(video.frames_evenly(count, start=start, end=end)), video.info


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFrames:
    """Hold a file as encoder input, [T,3,H,W], and the same frames for people, uint8 [T,H,W,3], with times; and how
    long it is."""

    frames: torch.Tensor
    pixels: np.ndarray
    times: np.ndarray
    duration: float


def decode_for_display(path: str | os.PathLike[str], preprocess: Preprocess) -> FileFrames:
    """Decode the very frames of `decode_file`, and keep their pixels for display."""
    found, info = read_file(path, preprocess.frames)
    return FileFrames(
        frames=eval_tensor(found.pixels, preprocess),
        pixels=eval_pixels(found.pixels, preprocess),
        times=found.times,
        duration=info.duration,
    )


def read_clips(
    path: str | os.PathLike[str],
    count: int,
    *,
    clip_seconds: float,
    min_seconds: float,
    cuts: CutDetector | None = None,
) -> Iterator[tuple[Clip, Frames]]:
    """Yield every clip of a long video with `count` frames, within its shots where `cuts` are detected; raise
    DecodeError after the last where its header claims more."""
    lengths = {"clip_seconds": clip_seconds, "min_seconds": min_seconds}
    with open_video(path) as video:
        info = video.info
        clips: Iterable[Clip] = (
            plan_clips(info.path, info.duration, **lengths)
            if cuts is None
            else shot_clips(path, cuts, source=info.path, duration=info.duration, threads=0, **lengths)
        )
        for clip in clips:
            yield clip, distinct_frames(video.frames_evenly(count, start=clip.start, end=clip.end))
        if not info.complete:
            raise info.missing(info.duration)


def decode_clip(video: VideoReader, clip: Clip, preprocess: Preprocess) -> torch.Tensor:
    """Decode a clip of an open video for captioning and evaluation, [T,3,H,W]; a still one has one frame."""
    frames = video.frames_evenly(preprocess.frames, start=clip.start, end=clip.end)
    return eval_tensor(distinct_frames(frames).pixels, preprocess)


def distinct_frames(frames: Frames) -> Frames:
    """Return one frame of a still clip, which has no other."""
    if np.any(frames.times != frames.times[0]):
        return frames
    return Frames(pixels=frames.pixels[:1], times=frames.times[:1], exact=frames.exact)


def pad_clips(clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad clips of different lengths to one batch [B,T,3,H,W], with the mask [B,T] of the frames that are real."""
    longest = max(len(clip) for clip in clips)
    batch = clips[0].new_zeros(len(clips), longest, *clips[0].shape[1:])
    mask = torch.zeros(len(clips), longest, dtype=torch.bool)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, True
    return batch, mask


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of at most `size` items. An error among them comes after the items before it."""
    if size < 1:
        raise InputError(f"batch_size must be at least 1, not {size}")
    batch: list[Item] = []
    waiting = iter(items)
    while True:
        try:
            batch.append(next(waiting))
        except StopIteration:
            break
        except Exception:
            if batch:
                yield batch
            raise
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
