"""Axes on disk: folders from before they had names, and sound, of which a clip may have any length or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pseudocap.data.collate import collate
from pseudocap.data.memories.shards import ShardVectors, create, write_shard
from pseudocap.data.memories.source import Described, MemoryRow, MemorySource, ShardIndex
from pseudocap.data.memories.spec import MemorySpec, differences, read_spec
from pseudocap.errors import ConfigError, DataError
from pseudocap.memory import Axis, Memory, quantise
from pseudocap.types import Preprocess, Sample

FRAMES = [[3, 2], [1, 1], [2, 3]]  # of both views of three clips
PATCHES, WIDTH, SOUND = 4, 6, 5
SPEC = MemorySpec(encoder="e" * 64, preprocess=Preprocess(size=32, frames=3), crops=1)
# As version 0.1 wrote it.
OLD_SPEC = {
    "format": 1,
    "encoder": "e" * 64,
    "preprocess": {"size": 32, "mean": [0.45, 0.45, 0.45], "std": [0.225, 0.225, 0.225], "frames": 3},
    "crops": 1,
    "seed": 0,
    "storage": "float16",
}
OLD_FINGERPRINT = "0709c579828e48a6e2036ccb0d12c010fcef4250fc1bd593987fd8e3b68049a6"


def rows(count: int) -> tuple[MemoryRow, ...]:
    return tuple(
        MemoryRow(of=Described(key=f"{n}", content=f"c{n}", modality="video", captions=(f"clip {n}",)), place=n)
        for n in range(count)
    )


def pooled() -> tuple[dict[str, torch.Tensor], list[Memory]]:
    """Return what an old shard holds in float32, and the memory of every view."""
    counts = [count for clip in FRAMES for count in clip]
    time, space = torch.randn(sum(counts), WIDTH), torch.randn(3, 2, PATCHES, WIDTH)
    patches = torch.randn(sum(counts), PATCHES, WIDTH)
    views = [
        Memory.of_sight(time=one[None], space=other[None], patches=patch[None])
        for one, other, patch in zip(time.split(counts), space.flatten(0, 1), patches.split(counts), strict=True)
    ]
    return {"time": time, "space": space, "patches": patches}, views


def as_stored(vectors: dict[str, torch.Tensor], storage: str) -> dict[str, torch.Tensor]:
    tensors = {"frames": torch.tensor(FRAMES, dtype=torch.int32)}
    for name, values in vectors.items():
        if storage == "float16":
            tensors[name] = values.half()
        else:
            tensors[name], tensors[f"{name}_scale"] = quantise(values)
    return tensors


def write_old_folder(folder: Path, tensors: dict[str, torch.Tensor], *, storage: str, patches: bool) -> None:
    """The very files of version 0.1, written without its code."""
    folder.mkdir()
    document = {**OLD_SPEC, "storage": storage, **({"patches": True} if patches else {})}
    fingerprint = replace(SPEC, storage=storage, patches=patches).fingerprint
    (folder / "memories.json").write_text(json.dumps({**document, "fingerprint": fingerprint}, indent=2) + "\n")
    save_file(tensors, folder / "00000.safetensors")
    of = [{"key": f"{n}", "content": f"c{n}", "modality": "video", "captions": [f"clip {n}"]} for n in range(3)]
    index = {"format": 1, "source": "s", "next": 3, "rows": [{"of": one, "place": n} for n, one in enumerate(of)]}
    (folder / "00000.json").write_text(json.dumps({**index, "failed": [], "mended": []}) + "\n")


def test_settings_without_other_axes_have_the_fingerprint_that_they_had() -> None:
    assert SPEC.fingerprint == OLD_FINGERPRINT
    assert json.loads(json.dumps(SPEC.to_dict())) == OLD_SPEC


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_a_folder_from_before_axes_had_names_is_read_as_it_was(tmp_path: Path, storage: str, patches: bool) -> None:
    vectors, views = pooled()
    if not patches:
        del vectors["patches"]
    tensors = as_stored(vectors, storage)
    write_old_folder(tmp_path / "old", tensors, storage=storage, patches=patches)
    source = MemorySource(tmp_path / "old", patches=patches)
    assert source.spec == replace(SPEC, storage=storage, patches=patches)
    near = 2e-3 if storage == "float16" else 2e-2
    for clip in range(3):
        for view in range(2):
            read, given = source.memory(clip, view), views[2 * clip + view]
            assert list(read.axes) == ["time", "space"]
            for name in ("time", "space", "patches")[: 3 if patches else 2]:
                torch.testing.assert_close(getattr(read, name), getattr(given, name), atol=near, rtol=near)
            assert read.time_mask.all()
            assert read.space_mask.all()
            assert patches or read.patches is None
    batch = collate([source.sample(clip, None) for clip in range(3)], [""] * 3).memory
    assert batch.time_mask.sum(dim=1).tolist() == [3, 1, 2]


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_sight_is_written_to_the_byte_as_it_was(tmp_path: Path, storage: str, patches: bool) -> None:
    vectors, views = pooled()
    if not patches:
        del vectors["patches"]
        views = [replace(view, patches=None) for view in views]
    shard = ShardVectors(replace(SPEC, storage=storage, patches=patches), samples=3)
    for pair in (views[:2], views[2:4], views[4:]):
        shard.add(side_by_side(pair))
    save_file(as_stored(vectors, storage), tmp_path / "old")
    save_file(shard.tensors(), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == (tmp_path / "old").read_bytes()


def side_by_side(memories: list[Memory]) -> Memory:
    """As an encoder hands a padded batch on."""
    samples = [Sample(key="", modality="video", captions=(), memory=memory) for memory in memories]
    memory = collate(samples, [""] * len(samples)).memory
    assert memory is not None
    return memory


def heard(moments: int, frames: int = 2) -> Memory:
    """One clip with so many moments of sound; none for a silent one."""
    sight = Memory.of_sight(time=torch.randn(1, frames, WIDTH), space=torch.randn(1, PATCHES, WIDTH))
    if not moments:
        return sight
    return Memory(
        {**sight.axes, "sound": Axis(torch.randn(1, moments, SOUND), torch.ones(1, moments, dtype=torch.bool))}
    )


HEARING = replace(SPEC, crops=0, axes=("time", "space", "sound"))


def store(folder: Path, spec: MemorySpec, shards: list[list[Memory]]) -> MemorySource:
    create(folder, spec)
    first = 0
    for number, clips in enumerate(shards):
        vectors = ShardVectors(spec, samples=len(clips))
        for at in range(0, len(clips), 2):
            vectors.add(side_by_side(clips[at : at + 2]))
        mine = tuple(replace(row, place=n) for n, row in enumerate(rows(first + len(clips))[first:]))
        first += len(clips)
        write_shard(folder, number, vectors.tensors(), ShardIndex(source="s", next=first, rows=mine))
    return MemorySource(folder)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_sound_of_any_length_and_none_comes_back_as_it_was(tmp_path: Path, storage: str) -> None:
    clips = [heard(1), heard(0), heard(2, frames=3), heard(40), heard(7, frames=1), heard(0), heard(0), heard(0)]
    source = store(tmp_path / "m", replace(HEARING, storage=storage), [clips[:5], clips[5:]])
    for clip, given in enumerate(clips):
        read = source.memory(clip)
        assert list(read.axes) == list(given.axes)
        for name, axis in given.axes.items():
            near = 2e-3 if storage == "float16" else 2e-2
            torch.testing.assert_close(read.axes[name].vectors, axis.vectors, atol=near, rtol=near)
            assert read.axes[name].mask.all()
    names = set(MemorySource(tmp_path / "m").spec.axes)
    assert names == {"time", "space", "sound"}


def test_a_batch_pads_each_axis_and_hides_the_sound_that_is_not_there(tmp_path: Path) -> None:
    clips = [heard(3), heard(0, frames=1), heard(5)]
    source = store(tmp_path / "m", HEARING, [clips])
    batch = collate([source.sample(clip, None) for clip in range(3)], [""] * 3).memory
    assert list(batch.axes) == ["time", "space", "sound"]
    assert batch.axes["sound"].vectors.shape == (3, 5, SOUND)
    assert batch.axes["sound"].mask.sum(dim=1).tolist() == [3, 0, 5]
    assert not batch.axes["sound"].vectors[~batch.axes["sound"].mask].any()
    assert batch.time_mask.sum(dim=1).tolist() == [2, 1, 2]
    assert "sound" not in collate([source.sample(1, None)], [""]).memory.axes


def test_sound_alone_is_stored_without_frames(tmp_path: Path) -> None:
    spec = replace(HEARING, axes=("sound",))
    clips = [Memory({"sound": heard(moments).axes["sound"]}) for moments in (4, 2)]
    source = store(tmp_path / "m", spec, [clips])
    assert list(source.memory(1).axes) == ["sound"]
    torch.testing.assert_close(
        source.memory(1).axes["sound"].vectors, clips[1].axes["sound"].vectors, atol=2e-3, rtol=2e-3
    )


def test_axes_are_part_of_what_made_a_folder(tmp_path: Path) -> None:
    create(tmp_path / "m", HEARING)
    assert read_spec(tmp_path / "m") == HEARING
    assert HEARING.fingerprint != replace(HEARING, axes=SPEC.axes).fingerprint
    with pytest.raises(DataError, match=r"axes is \('time', 'space', 'sound'\) there and \('time', 'space'\) here"):
        create(tmp_path / "m", replace(HEARING, axes=SPEC.axes))
    assert differences(HEARING, HEARING) == ""


@pytest.mark.parametrize("axes", [(), ("sound", "time"), ("smell",)])
def test_axes_out_of_order_and_unknown_ones_are_refused(axes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="must be some of time, space, sound, pitch, in this order"):
        replace(SPEC, axes=axes)
    with pytest.raises(ConfigError, match="patches are of time and space, and axes are sound"):
        replace(SPEC, axes=("sound",), patches=True)
