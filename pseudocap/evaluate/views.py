"""Encode held-out videos in several views: as they are, the centre frame, reversed, shuffled, blind, and deaf.

A captioner that scores as well on shuffled frames does not use time; what it scores blind, on zeros in place of what it
sees, is what its language and its hearing are worth. Deaf, it has zeros in place of what it hears; deaf and blind, of
both. Captioners that share encoders share the memories, so each video is encoded once a view and kept in
`views.safetensors`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pseudocap.captioner import PseudoCap
from pseudocap.data.videos import decode_files
from pseudocap.memory import AXES, SIGHT, SOUND, Axis, Memory
from pseudocap.types import Preprocess

BATCH = 50
FILE = "views.safetensors"
PLAIN, BLIND = "as it is", "blind"
DEAF, DEAF_AND_BLIND = "deaf", "deaf and blind"  # of captioners that hear
FRAMES_OF: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # frames [T,3,H,W] to the frames that are encoded
    PLAIN: lambda frames: frames,
    "centre frame": lambda frames: frames[[len(frames) // 2]],
    "reversed": lambda frames: frames.flip(0),
    "shuffled": lambda frames: frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))],
}
VIEWS = (*FRAMES_OF, BLIND)


def write_views(
    folder: Path, files: Sequence[Path], preprocess: Preprocess, encode: Callable[[torch.Tensor], Memory]
) -> dict[str, Any]:
    """Encode videos in every view, batch by batch. `encode` makes memories of frames [B,T,3,H,W] on the CPU; a still is
    repeated to T frames. Patches are kept in float16 where there are any, as memories to learn from are stored."""
    tensors: dict[str, list[torch.Tensor]] = {}
    waiting = (frames.expand(preprocess.frames, -1, -1, -1) for frames in decode_files(files, preprocess))
    while batch := list(islice(waiting, BATCH)):
        for view, frames_of in FRAMES_OF.items():
            memory = encode(torch.stack([frames_of(video) for video in batch])).to("cpu")
            parts = {name: axis.vectors for name, axis in memory.axes.items()}
            if memory.patches is not None:
                parts["patches"] = memory.patches.half()
            for part, tensor in parts.items():
                tensors.setdefault(f"{view}/{part}", []).append(tensor)
    save_file({name: torch.cat(parts) for name, parts in tensors.items()}, folder / FILE)
    return {"films": len(files), "shown": list(FRAMES_OF)}


def read_views(folder: Path) -> dict[str, Memory]:
    """Read the memories of all videos by view; blind, they are zeros."""
    tensors = load_file(folder / FILE)
    views = {}
    for view in FRAMES_OF:
        named = {part: tensors[f"{view}/{part}"] for part in (*AXES, "patches") if f"{view}/{part}" in tensors}
        patches = named.pop("patches", None)
        real = {part: torch.ones(vectors.shape[:2], dtype=torch.bool) for part, vectors in named.items()}
        views[view] = Memory({part: Axis(vectors, real[part]) for part, vectors in named.items()}, patches)
    return views | without_senses(views[PLAIN])


def without_senses(memory: Memory) -> dict[str, Memory]:
    """Return a memory blind and, where it hears, deaf, and both."""
    views = {BLIND: blank(memory, SIGHT)}
    if any(name in memory.axes for name in SOUND):
        views |= {DEAF: blank(memory, SOUND), DEAF_AND_BLIND: blank(memory, AXES)}
    return views


def blank(memory: Memory, axes: Collection[str]) -> Memory:
    """Return a memory with zeros in place of the vectors of these axes, and of the patches that sight has; masks are as
    they were."""
    vectors = {
        name: torch.zeros_like(axis.vectors) if name in axes else axis.vectors for name, axis in memory.axes.items()
    }
    patches = memory.patches
    if patches is not None and set(SIGHT) & set(axes):
        patches = torch.zeros_like(patches)
    return Memory({name: Axis(vectors[name], axis.mask) for name, axis in memory.axes.items()}, patches)


def caption_memory(model: PseudoCap, memory: Memory, *, max_new_tokens: int = 32) -> Iterator[str]:
    """Caption every video of a memory greedily, in order."""
    if not model.config.needs_patches:
        memory = Memory(memory.axes)
    for first in range(0, len(memory), BATCH):
        yield from model.decode(model.generate(memory[first : first + BATCH], max_new_tokens=max_new_tokens))
