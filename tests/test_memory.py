from __future__ import annotations

import copy
import pickle

import pytest
import torch
from lightning.pytorch.utilities import move_data_to_device

import pseudocap
import pseudocap.types
from pseudocap.errors import InputError
from pseudocap.memory import AXES, GROUPS, Axis, Memory, VideoMemory
from pseudocap.types import Batch


def axis(videos: int, vectors: int, width: int = 3) -> Axis:
    return Axis(torch.randn(videos, vectors, width), torch.rand(videos, vectors) > 0.3)


def heard_and_seen(videos: int = 2) -> Memory:
    """Axes in another order than theirs, of unequal lengths and widths, with patches."""
    axes = {"sound": axis(videos, 5, 7), "space": axis(videos, 4), "time": axis(videos, 2)}
    return Memory(axes, patches=torch.randn(videos, 2, 4, 3))


def same(one: Memory, other: Memory) -> bool:
    pairs = [(one.patches, other.patches)]
    for name in one.axes:
        pairs += [(getattr(one.axes[name], part), getattr(other.axes[name], part)) for part in ("vectors", "mask")]
    return list(one.axes) == list(other.axes) and all(torch.equal(a, b) for a, b in pairs)


def test_axes_stand_in_one_order_whatever_order_they_are_given_in() -> None:
    memory = heard_and_seen()
    assert list(memory.axes) == ["time", "space", "sound"]
    assert list(Memory({name: axis(1, 1) for name in reversed(AXES)}).axes) == list(AXES)
    assert memory.time is memory.axes["time"].vectors
    assert memory.space_mask is memory.axes["space"].mask


def test_an_unknown_axis_and_a_memory_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"no axis 'tima' \(did you mean 'time'\?\)"):
        Memory({"tima": axis(1, 1)})
    with pytest.raises(InputError, match="at least one axis"):
        Memory({})


def test_every_tensor_is_moved_cast_and_cut() -> None:
    memory = heard_and_seen()
    half = memory.to(dtype=torch.float16)
    assert half.patches is not None
    assert {half.patches.dtype} | {each.vectors.dtype for each in half.axes.values()} == {torch.float16}
    assert {each.mask.dtype for each in half.axes.values()} == {torch.bool}
    assert {each.vectors.device.type for each in memory.to("meta").axes.values()} == {"meta"}
    second = memory[1:]
    assert len(second) == 1
    assert torch.equal(second.axes["sound"].vectors, memory.axes["sound"].vectors[1:])
    assert torch.equal(second.axes["sound"].mask, memory.axes["sound"].mask[1:])
    with pytest.raises(TypeError, match=r"memory\[1 : 2\]"):
        memory[1]  # type: ignore[index]


def test_lightning_rebuilds_a_batch_of_memories_on_its_way_to_a_device() -> None:
    memory = heard_and_seen()
    batch = Batch(keys=("a", "b"), modality="video", captions=("x", "y"), references=(("x",), ("y",)), memory=memory)
    moved = move_data_to_device(batch, torch.device("meta")).memory
    assert type(moved) is Memory
    assert list(moved.axes) == list(memory.axes)
    for each in moved.axes.values():
        assert type(each) is Axis
        assert each.vectors.device.type == each.mask.device.type == "meta"
    assert moved.patches.device.type == "meta"
    assert memory.time.device.type == "cpu", "the batch itself stays where it is"


def test_a_memory_travels_between_processes_and_is_copied_whole() -> None:
    memory = heard_and_seen()
    assert same(pickle.loads(pickle.dumps(memory)), memory)
    assert same(copy.deepcopy(memory), memory)


def test_the_earlier_name_builds_a_memory_from_the_earlier_fields() -> None:
    assert pseudocap.VideoMemory is pseudocap.types.VideoMemory is VideoMemory
    new = Memory({"time": axis(2, 3), "space": axis(2, 4)})
    old = VideoMemory(time=new.time, space=new.space, time_mask=new.time_mask, space_mask=new.space_mask)
    assert type(old) is Memory
    assert all(getattr(old, name) is getattr(new, name) for name in ("time", "space", "time_mask", "space_mask"))
    assert isinstance(new, VideoMemory)
    assert not isinstance(new.time, VideoMemory)


def of_modalities() -> Memory:
    """A video that is seen and heard, a silent one, and one that is heard alone; with padding on each axis."""
    real = {"time": [[1, 1], [1, 0], [0, 0]], "space": [[1], [1], [0]], "sound": [[1, 1, 1], [0, 0, 0], [1, 0, 0]]}
    return Memory({name: Axis(torch.randn(3, len(mask[0]), 4), torch.tensor(mask) > 0) for name, mask in real.items()})


@pytest.mark.parametrize(("group", "rows"), [("av", (0, 1, 2)), ("v", (0, 1)), ("a", (0, 2))])
def test_a_memory_of_some_modalities_has_nothing_else_but_of_videos_that_lack_them(
    group: str, rows: tuple[int, ...]
) -> None:
    memory = of_modalities()
    kept = memory.only(group)
    for name, axis in memory.axes.items():
        expected = axis.mask.clone()
        if name not in GROUPS[group]:
            expected[list(rows)] = False
        assert torch.equal(kept.axes[name].mask, expected), name
        assert kept.axes[name].vectors is axis.vectors
    assert torch.stack([axis.mask.any(dim=1) for axis in kept.axes.values()]).any(dim=0).all(), "none is empty"


def test_an_axis_that_no_video_keeps_is_left_out() -> None:
    memory = of_modalities()
    assert list(memory[:2].only("v").axes) == ["time", "space"]
    assert list(memory[::2].only("a").axes) == ["sound"]
    sight = Memory({name: axis for name, axis in memory[:2].axes.items() if name != "sound"})
    assert sight.only("a") is sight
    with pytest.raises(InputError, match=r"one of av, v, a, not 'va'"):
        memory.only("va")
