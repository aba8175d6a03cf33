"""Memories that keep every patch: as the encoder gave them, read only by models that need them, else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import lightning
import pytest
import torch
from helpers.films import write_film

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.data import CaptionData, StreamData
from pseudocap.data.collate import collate
from pseudocap.data.corpora.own import read_own
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec, read_spec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError
from pseudocap.regimes import FineTune
from pseudocap.types import Batch, Preprocess
from pseudocap.video.tensors import pad_clips

PREPROCESS = Preprocess(size=16, frames=4)
LENGTHS = (30, 1, 8, 3)
Store = Callable[..., Path]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of different lengths, one of a single frame, with captions beside them."""
    folder = tmp_path_factory.mktemp("films")
    for number, frames in enumerate(LENGTHS):
        write_film(folder / f"{number}.mp4", frames=frames, size=(96, 64))
    rows = [{"video": f"{number}.mp4", "caption": f"film {number}"} for number in range(len(LENGTHS))]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def source(films: Path) -> RowSource:
    return RowSource(read_own(films / "captions.jsonl").rows, VideoFolder(films), PREPROCESS)


@pytest.fixture
def store(model: PseudoCap, source: RowSource, tmp_path: Path) -> Store:
    def encoded(name: str, **settings: object) -> Path:
        values = {"encoder": model.config.encoder.fingerprint, "preprocess": PREPROCESS, "patches": True, **settings}
        encode(source, model.encoder, tmp_path / name, MemorySpec(**values), batch_size=3, shard_size=3)
        return tmp_path / name

    return encoded


@pytest.mark.parametrize(("storage", "near"), [("float16", 2e-3), ("int8", 3e-2)])
def test_what_is_stored_is_what_the_encoder_sees_of_every_patch(
    store: Store, source: RowSource, model: PseudoCap, storage: str, near: float
) -> None:
    stored = MemorySource(store("m", storage=storage), patches=True)
    for index in range(len(LENGTHS)):
        kept, seen = stored.memory(index), model.encoder.encode(source.sample(index, None).frames[None], patches=True)
        assert kept.patches.shape == (1, *kept.time.shape[1:2], *kept.space.shape[1:])
        for name in ("time", "space", "patches"):
            torch.testing.assert_close(getattr(kept, name), getattr(seen, name), atol=near, rtol=near)


def test_random_views_keep_their_own_patches(store: Store) -> None:
    stored = MemorySource(store("m", crops=2), patches=True)
    for index in range(len(LENGTHS)):
        for view in range(3):
            memory = stored.memory(index, view)
            torch.testing.assert_close(memory.patches.amax(dim=2), memory.time, atol=0, rtol=0)
            torch.testing.assert_close(memory.patches.amax(dim=1), memory.space, atol=0, rtol=0)


def test_training_draws_each_random_view_and_never_that_of_evaluation(store: Store) -> None:
    stored = MemorySource(store("m", crops=3, patches=False))
    views = [stored.memory(1, view).space for view in range(4)]
    assert all(not torch.equal(one, other) for one, other in combinations(views, 2))
    generator = torch.Generator().manual_seed(0)
    drawn = [stored.sample(1, generator).memory.space for _ in range(60)]
    counts = [sum(torch.equal(view, each) for each in drawn) for view in views]
    assert counts[0] == 0
    assert min(counts[1:]) > 8
    assert sum(counts) == 60
    assert torch.equal(stored.sample(1, None).memory.space, views[0])


@pytest.mark.parametrize("other", [{"size": 32}, {"frames": 5}, {"mean": (0.4, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.4)}])
def test_memories_of_pictures_that_were_made_otherwise_are_refused(store: Store, other: dict[str, object]) -> None:
    folder = store("m", patches=False)
    assert len(MemorySource(folder, preprocess=PREPROCESS)) == len(LENGTHS)
    with pytest.raises(DataError, match="other pictures"):
        MemorySource(folder, preprocess=replace(PREPROCESS, **other))


@pytest.mark.parametrize("attention", ["full", "resampler"])
def test_losses_from_memories_are_those_from_frames(
    store: Store, source: RowSource, build: Callable[..., PseudoCap], attention: str
) -> None:
    model, stored = build(attention=attention), MemorySource(store("m"), patches=True)
    rows = range(len(LENGTHS))
    tokens = model.tokenize([source.rows[row].captions[0] for row in rows])
    clips = [source.sample(row, None).frames for row in rows]
    batch = collate([stored.sample(row, None) for row in rows], [""] * len(rows)).memory
    losses = [
        model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
        for memory in (model.encode(*pad_clips(clips)), batch)
    ]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-3, rtol=1e-3)


def test_nobody_gets_patches_who_does_not_ask(store: Store) -> None:
    plain, rich = store("plain", patches=False), store("rich")
    pooled, offered = MemorySource(plain), MemorySource(rich)
    for index in range(len(LENGTHS)):
        one, other = pooled.memory(index), offered.memory(index)
        assert one.patches is None
        assert other.patches is None
        assert torch.equal(one.time, other.time)
        assert torch.equal(one.space, other.space)
    assert "patches" not in read_spec(plain).to_dict(), "or every older folder would count as edited"
    assert read_spec(rich) == replace(read_spec(plain), patches=True)


def test_memories_with_and_without_patches_are_no_batch(store: Store) -> None:
    folder = store("m")
    mixed = [MemorySource(folder, patches=patches).sample(0, None) for patches in (True, False)]
    for samples in (mixed, mixed[::-1]):
        with pytest.raises(DataError, match="with patches and memories without were drawn together"):
            collate(samples, ["", ""])


@pytest.mark.parametrize("attention", ["separable", "full"])
def test_the_data_modules_hand_patches_to_a_model_that_looks_at_them(
    store: Store, films: Path, build: Callable[..., PseudoCap], attention: str
) -> None:
    seen = []

    class Shows(FineTune):
        def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
            seen.append(batch.memory.patches)
            return super().training_step(batch, batch_index)

    module, folder = Shows(build(attention=attention)), store("m")
    options = {"preprocess": PREPROCESS, "batch_size": 2, "workers": 0}
    for data in (
        CaptionData(films / "captions.jsonl", memories=folder, val_share=0, **options),
        StreamData(videos=folder, **options),
        StreamData(videos=MemorySource(folder, patches=attention == "full"), **options),
    ):
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        lightning.Trainer(
            accelerator="cpu", max_steps=1, max_epochs=1, limit_train_batches=1, limit_val_batches=0, **quiet
        ).fit(module, datamodule=data)
    assert len(seen) == 3
    assert all((patches is not None) is (attention == "full") for patches in seen)


def test_memories_without_patches_are_refused_with_the_command_that_makes_them(store: Store) -> None:
    plain, rich = store("plain", patches=False), store("rich")
    with pytest.raises(DataError, match=r"plain holds pooled vectors alone.*`pseudocap encode --patches`"):
        MemorySource(plain, patches=True)
    with pytest.raises(DataError, match=r"opened without its patches.*MemorySource\(\.\.\., patches=True\)"):
        MemorySource(rich).refuse_mismatches(None, None, patches=True)
    with pytest.raises(DataError, match="patches is False there and True here"):
        store("plain")


def test_the_verb_keeps_patches_where_they_are_asked_for_or_needed(
    films: Path, build: Callable[..., PseudoCap], tmp_path: Path
) -> None:
    for attention in ("separable", "full"):
        build(attention=attention).save_pretrained(tmp_path / attention)
    for encoder, more, kept in (("separable", [], False), ("separable", ["--patches"], True), ("full", [], True)):
        out = tmp_path / f"memories-{encoder}-{kept}"
        words = ["encode", str(films / "captions.jsonl"), "--encoder", str(tmp_path / encoder), "--out", str(out)]
        assert main([*words, "--workers", "0", "--device", "cpu", *more]) == 0
        assert read_spec(out).patches is kept


@pytest.mark.slow
def test_finetune_learns_from_memories_with_patches_and_tells_their_lack(
    films: Path,
    build: Callable[..., PseudoCap],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build(attention="full", num_frames=4).save_pretrained(tmp_path / "full")
    own = build(num_frames=4).config.preprocess
    tune = ["finetune", "--from", str(tmp_path / "full"), "--data", str(films / "captions.jsonl"), "--workers", "0"]
    tune += ["--val-share", "0.5", "--device", "cpu", "--max-epochs", "1", "--batch-size", "2"]
    plain, rich = (str(store(name, patches=name == "rich", preprocess=own)) for name in ("plain", "rich"))
    assert main([*tune, "--memories", plain, "--out", str(tmp_path / "run")]) == 2
    assert "`pseudocap encode --patches`" in capsys.readouterr().err.splitlines()[-1]
    assert main([*tune, "--memories", rich, "--out", str(tmp_path / "tuned")]) == 0
    assert PseudoCap.from_pretrained(tmp_path / "tuned" / "best", device="cpu").config.attention == "full"
