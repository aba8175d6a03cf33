"""Learning to hear from films, under a real Trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.running import FAST, Losses, Stop, StoppedError, saving, trainer
from helpers.sounding_world import write_sounding_world
from helpers.tiny_ast import write_ast

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.data.collate import collate
from pseudocap.data.corpora.own import read_own
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.stream_data import StreamData
from pseudocap.data.videos import VideoFolder
from pseudocap.regimes import FineTune, VideoOnly
from pseudocap.regimes.base import compile_layers
from pseudocap.regimes.checkpointing import KeepCaptioner

Build = Callable[..., PseudoCap]
GROUPS = {"v": 0.25, "a": 0.25, "av": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounding_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ast(tmp_path_factory.mktemp("ast"))


@pytest.fixture
def hears(build: Build, ast: Path) -> PseudoCap:
    model = build()
    model.add_sound(ast)
    return model


def films(world: Path, kind: str = "captions", **options: Any) -> CaptionData | StreamData:
    settings = {"batch_size": 2, "workers": 0, **options}
    if kind == "captions":
        return CaptionData(world / "captions.jsonl", **settings)
    corpus = read_own(world / "captions.jsonl")
    return StreamData(videos=corpus, video_folder=world, epoch_steps=50, **settings)


@pytest.mark.parametrize("kind", ["captions", "stream"])
def test_what_is_gained_learns_from_the_sound_of_films(
    hears: PseudoCap, world: Path, kind: str, tmp_path: Path
) -> None:
    before = {name: parameter.detach().clone() for name, parameter in hears.named_parameters()}
    regime = FineTune if kind == "captions" else VideoOnly
    trainer(tmp_path, max_steps=4).fit(regime(hears, optimisation=FAST), films(world, kind))
    moved = {name for name, parameter in hears.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == hears.trainable_names
    assert any(".sound.value" in name for name in moved)


def test_a_silent_batch_gives_every_weight_a_gradient_that_ranks_can_average(hears: PseudoCap, world: Path) -> None:
    row = next(row for row in read_own(world / "captions.jsonl").rows if row.video == "film3-0.mp4")
    config = hears.config
    source = RowSource([row], VideoFolder(world), config.preprocess, sound=config.sound_preprocess)
    batch = collate([source.sample(0, None)], row.captions[:1])
    assert batch.sound is None
    FineTune(hears).caption_losses(batch, 0).total.backward()
    assert {name for name, each in hears.named_parameters() if each.grad is not None} == hears.trainable_names
    for adapter in hears.adapters.values():
        assert not adapter.attention.sound.value.weight.grad.any()


def test_steps_by_sound_encode_no_frames_where_everything_is_heard(hears: PseudoCap, world: Path) -> None:
    rows = {row.video: row for row in read_own(world / "captions.jsonl").rows}
    config, seen = hears.config, []
    hears.encoder.register_forward_hook(lambda *_: seen.append("frames"))
    for names, sighted in ((("film0-0.mp4", "film2-0.mp4"), False), (("film0-0.mp4", "film3-0.mp4"), True)):
        chosen = [rows[name] for name in names]
        source = RowSource(chosen, VideoFolder(world), config.preprocess, sound=config.sound_preprocess)
        batch = collate([source.sample(number, None) for number in range(2)], [row.captions[0] for row in chosen])
        seen.clear()
        found, group = FineTune(hears, modality_groups={"a": 1.0}).memory_to_learn(batch, 0)
        assert (bool(seen), group) == (sighted, "a")
        expected = FineTune(hears).memory_of(batch).only("a")
        assert found.axes.keys() == expected.axes.keys()
        for name, axis in expected.axes.items():
            torch.testing.assert_close(found.axes[name].vectors, axis.vectors, rtol=0, atol=0)
            assert torch.equal(found.axes[name].mask, axis.mask)


def test_a_resumed_run_that_hears_ends_as_an_uninterrupted_one(
    build: Build, ast: Path, world: Path, tmp_path: Path
) -> None:
    def module() -> FineTune:
        model = build()
        model.add_sound(ast)
        return FineTune(model, optimisation=FAST, modality_groups=GROUPS)

    whole, part, rest, complete = Losses(), Losses(), Losses(), module()
    trainer(tmp_path / "whole", whole, max_steps=6).fit(complete, films(world))
    stopped = trainer(tmp_path, part, saving(tmp_path / "part"), Stop(5), max_steps=6, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(module(), films(world))
    resumed = module()
    trainer(tmp_path / "rest", rest, max_steps=6).fit(
        resumed, films(world), ckpt_path=str(tmp_path / "part" / "last.ckpt")
    )
    assert {**part.by_step, **rest.by_step} == whole.by_step
    for name, weights in complete.model.adapter_state().items():
        assert torch.equal(weights, resumed.model.adapter_state()[name]), name


def test_what_was_learned_is_kept_with_its_audio_encoder_and_scored_by_group(
    hears: PseudoCap, world: Path, tmp_path: Path
) -> None:
    module = FineTune(hears, optimisation=FAST, modality_groups=GROUPS, validation_groups=["v", "a"])
    keep = KeepCaptioner(str(tmp_path / "kept"))
    run = trainer(tmp_path, keep, max_steps=2)
    run.fit(module, films(world))
    assert {"val/CIDEr-D", "val/CIDEr-D/v", "val/CIDEr-D/a"} <= run.callback_metrics.keys()
    again = PseudoCap.from_pretrained(tmp_path / "kept" / "last", device="cpu")
    files = [world / f"film{number}-1.mp4" for number in range(4)]
    for group in ("av", "v"):
        assert again.caption(files, modalities=group) == hears.caption(files, modalities=group)
    assert [each.caption for each in sorted(module.validation.captioned, key=lambda each: each.key)] == (
        hears.caption(files)
    )


def test_each_layer_of_every_encoder_is_compiled(hears: PseudoCap, world: Path) -> None:
    compile_layers(hears, "eager")
    assert all(layer._compiled_call_impl is not None for layer in hears.audio_encoder.layers)
