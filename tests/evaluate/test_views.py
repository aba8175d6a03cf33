"""Held-out videos in several views: what each shows, and that captions come from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.evaluate.views import (
    BLIND,
    DEAF,
    DEAF_AND_BLIND,
    FRAMES_OF,
    PLAIN,
    VIEWS,
    caption_memory,
    read_views,
    without_senses,
    write_views,
)
from pseudocap.memory import SIGHT, Axis, Memory
from pseudocap.video.tensors import decode_file

NAMES = ("a.mp4", "b.mkv", "c.avi")


def write(folder: Path, films: Path, model: PseudoCap, *, patches: bool = False) -> dict[str, Memory]:
    files = [films / name for name in NAMES]
    encode = partial(model.encoder.encode, patches=patches)
    assert write_views(folder, files, model.config.preprocess, encode)["films"] == 3
    return read_views(folder)


def test_a_view_reorders_or_drops_frames_and_invents_none() -> None:
    frames = torch.arange(7.0)[:, None, None, None].expand(7, 3, 2, 2)
    shown = {view: frames_of(frames)[:, 0, 0, 0].tolist() for view, frames_of in FRAMES_OF.items()}
    assert shown[PLAIN] == list(range(7))
    assert shown["centre frame"] == [3]
    assert shown["reversed"] == list(range(6, -1, -1))
    assert sorted(shown["shuffled"]) == list(range(7)) != shown["shuffled"]
    torch.manual_seed(5)  # the order is one for all videos and runs
    assert torch.equal(FRAMES_OF["shuffled"](frames)[:, 0, 0, 0], torch.tensor(shown["shuffled"]))


def test_memories_are_those_of_the_frames_of_each_view(model: PseudoCap, films: Path, tmp_path: Path) -> None:
    views = write(tmp_path, films, model)
    frames = torch.stack([decode_file(films / name, model.config.preprocess) for name in NAMES])
    for view, chosen in ((PLAIN, frames), ("reversed", frames.flip(1)), ("centre frame", frames[:, [2]])):
        memory = model.encoder.encode(chosen)
        assert torch.allclose(views[view].time, memory.time, atol=1e-5)
        assert torch.allclose(views[view].space, memory.space, atol=1e-5)
    assert all(memory.patches is None for memory in views.values())


def test_a_still_is_as_long_as_a_film(model: PseudoCap, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24), "red").save(tmp_path / "still.png")
    write_views(tmp_path, [tmp_path / "still.png"], replace(model.config.preprocess, frames=3), model.encoder.encode)
    lengths = {view: memory.time.shape[1] for view, memory in read_views(tmp_path).items()}
    assert lengths == {view: 1 if view == "centre frame" else 3 for view in VIEWS}


@pytest.mark.parametrize("attention", ["separable", "full"])
def test_captions_of_a_view_are_those_of_its_frames_and_blind_ones_of_none(
    attention: str, build: Callable[..., PseudoCap], films: Path, tmp_path: Path
) -> None:
    model = build(attention=attention, num_frames=4)
    views = write(tmp_path, films, model, patches=attention == "full")
    captions = {view: list(caption_memory(model, views[view], max_new_tokens=8)) for view in VIEWS}
    files = [films / name for name in NAMES]
    assert captions[PLAIN] == model.caption(files, max_new_tokens=8)
    assert len(set(captions[PLAIN])) > 1
    assert len(set(captions[BLIND])) == 1
    assert not any(each.vectors.any() for each in views[BLIND].axes.values())


def test_deaf_a_memory_has_no_sound_and_blind_it_has_nothing_else() -> None:
    mask = torch.tensor([[True] * 5, [False] * 5])  # the second is silent
    memory = Memory({name: Axis(torch.randn(2, 5, 8), mask) for name in (*SIGHT, "sound")}, torch.randn(2, 5, 4, 8))
    views = without_senses(memory)
    assert set(views) == {BLIND, DEAF, DEAF_AND_BLIND}
    for view, gone in ((BLIND, SIGHT), (DEAF, ("sound",)), (DEAF_AND_BLIND, memory.axes)):
        for name, axis in views[view].axes.items():
            assert torch.equal(axis.mask, mask)
            expected = memory.axes[name].vectors
            assert torch.equal(axis.vectors, torch.zeros_like(expected) if name in gone else expected)
        patches = views[view].patches
        assert patches is not None
        assert patches.any() == (view == DEAF)
    assert set(without_senses(Memory({name: memory.axes[name] for name in SIGHT}))) == {BLIND}
