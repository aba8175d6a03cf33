"""Turn the frames of a clip into an encoder's input: float32 [T,3,H,W], normalised.

Evaluation takes the centres of T equal segments of the clip, resizes the short side and cuts out the centre.
Training takes a random moment of each segment and a random crop. The crop is one for all frames of a clip: a
camera that jumps from frame to frame is no motion. A clip with fewer frames than T repeats them, each segment
with the frame that is displayed at its moment.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from pseudocap.errors import InputError
from pseudocap.types import Clip, Preprocess
from pseudocap.video.reader import VideoReader, segment_centres


def sample_times(start: float, end: float, count: int, generator: torch.Generator | None = None) -> list[float]:
    """Return one moment in each of `count` equal segments: its centre or, with a generator, a random one."""
    centres = segment_centres(start, end, count)
    if generator is None:
        return centres
    width = (end - start) / count
    shifts = (torch.rand(count, generator=generator, dtype=torch.float64) - 0.5) * width
    return [centre + shift for centre, shift in zip(centres, shifts.tolist(), strict=True)]


def eval_tensor(pixels: np.ndarray, preprocess: Preprocess) -> torch.Tensor:
    """Transform frames uint8 [T,H,W,3] for evaluation: short side to `size`, centre cut out, normalised."""
    return _normalised(_centre(pixels, preprocess), preprocess)


def eval_pixels(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Return what `eval_tensor` normalises, uint8 [T,size,size,3]: the frames for people to look at."""
    return np.ascontiguousarray(_centre(pixels, preprocess).permute(0, 2, 3, 1).numpy())


def _centre(pixels: np.ndarray, preprocess: Preprocess) -> torch.Tensor:
    frames = F.resize(_planar(pixels), [preprocess.size], antialias=True)
    return F.center_crop(frames, [preprocess.size])


def train_tensor(
    pixels: np.ndarray,
    preprocess: Preprocess,
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.5, 1.0),
    flip: bool = False,
) -> torch.Tensor:
    """Transform frames uint8 [T,H,W,3] for training: one random crop of this share of the area, resized, normalised.

    `flip` mirrors half of the clips: off, because captions say left and right.
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise InputError(f"scale is {scale} and must be two rising shares of the area, above 0 and at most 1")
    frames = _planar(pixels)
    top, left, height, width = _random_crop(frames.shape[-2], frames.shape[-1], scale, generator)
    square = [preprocess.size, preprocess.size]
    frames = F.resized_crop(frames, top, left, height, width, square, antialias=True)
    if flip and torch.rand((), generator=generator) < 0.5:
        frames = frames.flip(-1)
    return _normalised(frames, preprocess)


def clip_tensor(
    video: VideoReader, clip: Clip, preprocess: Preprocess, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Decode a clip of an open video as encoder input: for training with a generator, else for evaluation."""
    times = sample_times(clip.start, clip.end, preprocess.frames, generator)
    pixels = video.frames_at(times).pixels
    if generator is None:
        return eval_tensor(pixels, preprocess)
    return train_tensor(pixels, preprocess, generator)


def _planar(pixels: np.ndarray) -> torch.Tensor:
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise InputError(f"frames are {pixels.dtype} {list(pixels.shape)} and must be uint8 [T,H,W,3]")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _random_crop(
    height: int, width: int, scale: tuple[float, float], generator: torch.Generator
) -> tuple[int, int, int, int]:
    """Draw top, left, height and width of a crop with sides between 3:4 and 4:3, as Inception was trained."""
    for _ in range(10):
        share, tilt, down, across = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        area = height * width * (scale[0] + share * (scale[1] - scale[0]))
        ratio = math.exp((2 * tilt - 1) * math.log(4 / 3))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(down * (height - h + 1)), int(across * (width - w + 1)), h, w
    side = min(height, width)  # a very long picture, in which no such crop fits: its centre
    return (height - side) // 2, (width - side) // 2, side, side


def _normalised(frames: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return ((frames.float() / 255 - mean) / std).contiguous()
