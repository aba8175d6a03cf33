"""Steps by sight, by hearing and by both: how they are drawn, what each learns, what is logged and scored of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.hearing import TEXTS, HeardSource, hearing
from helpers.running import FAST, Losses, Stop, StoppedError, saving, trainer

from pseudocap import PseudoCap
from pseudocap.data import StreamData
from pseudocap.data.collate import collate
from pseudocap.data.stream.batches import EvaluationBatches
from pseudocap.data.stream.loaders import EvaluationLoader, Loading
from pseudocap.errors import ConfigError
from pseudocap.regimes import AsrBaseline, FineTune, ImageOnly, Mixed, MixedExtended, SelfCritical, VideoOnly
from pseudocap.regimes.base import Regime
from pseudocap.regimes.logs import gate_statistics
from pseudocap.regimes.modality_groups import checked_probabilities, draw_group
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]
EVENLY = {"v": 0.34, "a": 0.33, "av": 0.33}


def heard(*kinds: str, moments: tuple[int, ...] = (3, 0, 5, 2), **options: Any) -> StreamData:
    sources = {f"{kind}s": HeardSource(*moments, modality=kind) for kind in kinds}
    if len(kinds) > 1:
        options = {"probabilities": dict.fromkeys(kinds, 0.5), "image_batch_factor": 1, **options}
    return StreamData(**sources, **{"batch_size": 2, "workers": 0, "epoch_steps": 100, **options})


def batch_of(*moments: int, step: int | None = None) -> Batch:
    source = HeardSource(*moments)
    return collate([source.sample(index, None) for index in range(len(moments))], TEXTS[: len(moments)], step=step)


def test_groups_are_drawn_as_often_as_they_should_be_and_alike_for_a_seed_a_rank_and_a_step() -> None:
    probabilities = checked_probabilities({"v": 0.2, "av": 0.7, "a": 0.1})
    drawn = [draw_group(probabilities, seed=3, rank=1, step=step) for step in range(4000)]
    assert {name: drawn.count(name) / 4000 for name in probabilities} == pytest.approx(probabilities, abs=0.02)
    assert drawn[:50] == [draw_group(probabilities, seed=3, rank=1, step=step) for step in range(50)]
    others = [draw_group(probabilities, seed=seed, rank=rank, step=0) for seed in range(9) for rank in range(9)]
    assert set(others) == {"av", "v", "a"}
    assert {draw_group(checked_probabilities({"a": 1}), seed=0, rank=0, step=step) for step in range(99)} == {"a"}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"va": 1.0}, r"modality_groups are of av, v, a, not 'va' \(did you mean"),
        ({"v": 1.5, "a": -0.5}, r"modality_groups.v is a probability, from 0 to 1, not 1.5"),
        ({"v": 0.5, "a": 0.1}, r"modality_groups sum to 0.6 and must sum to 1"),
    ],
)
def test_impossible_groups_are_refused(build: Build, groups: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VideoOnly(hearing(build()), modality_groups=groups)


def test_a_captioner_that_hears_nothing_has_no_groups(model: PseudoCap) -> None:
    for options in ({"modality_groups": EVENLY}, {"validation_groups": ["v"]}):
        with pytest.raises(ConfigError, match="is for a model that hears, and this one attends to time, space"):
            VideoOnly(model, **options)


def test_a_step_learns_from_the_group_that_is_drawn_for_it(build: Build) -> None:
    model = hearing(build())
    module = VideoOnly(model, modality_groups=EVENLY)
    groups = {}
    for step in range(40):
        batch = batch_of(3, 5, step=step)
        memory, group = module.memory_to_learn(batch, 0)
        groups[group] = list(memory.axes)
        assert group == draw_group(module.modality_groups, seed=0, rank=0, step=step)
    assert groups == {"v": ["time", "space"], "a": ["sound"], "av": ["time", "space", "sound"]}


@pytest.mark.parametrize("group", ["a", "av", "v"])
def test_what_is_silent_is_learned_by_sight_whatever_is_drawn(build: Build, group: str) -> None:
    module = VideoOnly(hearing(build()), modality_groups={group: 1.0})
    silent, named = module.memory_to_learn(batch_of(0, 0), 0)
    assert (list(silent.axes), named) == (["time", "space"], "v")
    mixed, named = module.memory_to_learn(batch_of(0, 4), 0)
    assert named == group
    assert mixed.time_mask.any(dim=1).tolist() == ([True, False] if group == "a" else [True, True])
    loss = module.caption_losses(batch_of(0, 4), 0)
    assert loss.group == group
    assert torch.isfinite(loss.total)


def test_without_groups_a_step_draws_and_learns_what_it_did(build: Build) -> None:
    model, batch = hearing(build()), batch_of(3, 0, 5, step=2)
    plain, both = VideoOnly(model), VideoOnly(model, modality_groups={"av": 1.0})
    assert plain.memory_to_learn(batch, 0)[0] is batch.memory
    losses = [module.caption_losses(batch, 0) for module in (plain, both)]
    assert torch.equal(losses[0].total, losses[1].total)
    assert [each.group for each in losses] == ["", "av"]


@pytest.mark.parametrize(
    ("regime", "kinds"),
    [
        (AsrBaseline, ["video"]),
        (ImageOnly, ["image"]),
        (VideoOnly, ["video"]),
        (Mixed, ["image", "video"]),
        (MixedExtended, ["image", "video"]),
        (FineTune, ["video"]),
        (SelfCritical, ["video"]),
    ],
)
def test_every_regime_learns_by_groups_and_logs_their_losses(
    regime: type[Regime], kinds: list[str], build: Build, tmp_path: Path
) -> None:
    model = hearing(build())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    module, losses = regime(model, optimisation=FAST, modality_groups=EVENLY), Losses()
    run = trainer(tmp_path, losses, max_steps=8)
    run.fit(module, heard(*kinds))
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == model.trainable_names
    groups = {name.rpartition("/")[2] for name in run.logged_metrics if name.startswith("train/loss/")}
    assert groups == {draw_group(module.modality_groups, seed=0, rank=0, step=step) for step in range(8)}
    stem = "train/reward/" if regime is SelfCritical else "train/caption/"
    assert {name.rpartition("/")[2] for name in run.logged_metrics if name.startswith(stem)} - {*kinds} == groups


def test_a_resumed_run_by_groups_has_the_losses_of_an_uninterrupted_one(build: Build, tmp_path: Path) -> None:
    def module(**options: Any) -> Regime:
        return VideoOnly(hearing(build()), optimisation=FAST, **{"modality_groups": EVENLY, **options})

    whole, part, rest = Losses(), Losses(), Losses()
    trainer(tmp_path / "whole", whole, max_steps=7).fit(module(), heard("video"))
    stopped = trainer(tmp_path, part, saving(tmp_path / "part"), Stop(5), max_steps=7, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(module(), heard("video"))
    last = str(tmp_path / "part" / "last.ckpt")
    resumed = module()
    trainer(tmp_path / "rest", rest, max_steps=7).fit(resumed, heard("video"), ckpt_path=last)
    assert {**part.by_step, **rest.by_step} == whole.by_step
    for other in (None, {"v": 0.5, "a": 0.2, "av": 0.3}):
        with pytest.raises(ConfigError, match=r"the run to resume had model.modality_groups \{'av': 0.33"):
            trainer(tmp_path, max_steps=7).fit(module(modality_groups=other), heard("video"), ckpt_path=last)


def test_groups_cannot_join_a_run_that_had_none(build: Build, tmp_path: Path) -> None:
    plain = VideoOnly(hearing(build()), optimisation=FAST)
    trainer(tmp_path, saving(tmp_path / "run"), max_steps=2, enable_checkpointing=True).fit(plain, heard("video"))
    grouped = VideoOnly(hearing(build()), optimisation=FAST, modality_groups=EVENLY)
    with pytest.raises(ConfigError, match=r"the run to resume had model\.modality_groups None"):
        trainer(tmp_path, max_steps=4).fit(grouped, heard("video"), ckpt_path=str(tmp_path / "run" / "last.ckpt"))


def test_validation_scores_each_group_on_the_videos_that_have_it(build: Build, tmp_path: Path) -> None:
    model = hearing(build())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for adapter in model.adapters.values():
            adapter.attention.mix.weight.normal_(std=0.5, generator=generator)
    module = FineTune(model, validation_groups=["v", "a"])
    source = HeardSource(3, 0, 5, 2, 0)
    run = trainer(tmp_path)
    batches = EvaluationBatches(source, batch_size=3)
    run.validate(
        module, EvaluationLoader(batches, max_failure_rate=0.0, reasons={}, loading=Loading(workers=0)), verbose=False
    )
    assert set(module.validation.group_scores) == {"v", "a"}
    by_hand = FineTune(model)
    for group, rows in (("v", range(5)), ("a", (0, 2, 3))):
        samples = [source.sample(index, None) for index in rows]
        batch = collate(samples, [sample.captions[0] for sample in samples])
        captions = by_hand.captions_of(batch_with(batch, group))
        found = {each.key: each.caption for each in module.validation._by_group[group]}
        assert found == dict(zip(batch.keys, captions, strict=True))
        assert run.callback_metrics[f"val/CIDEr-D/{group}"] == module.validation.group_scores[group]["CIDEr-D"]
    assert run.callback_metrics["val/CIDEr-D"] == module.scores["CIDEr-D"]


def batch_with(batch: Batch, group: str) -> Batch:
    assert batch.memory is not None
    batch.memory = batch.memory.only(group)
    return batch


def test_how_much_is_taken_of_each_axis_is_logged_with_the_gates(build: Build) -> None:
    model = build()
    assert not any("mix" in name for name in gate_statistics(model))
    hearing(model)
    (layer,) = model.adapters
    found = gate_statistics(model)
    assert found[f"gates/{layer}/mix/sound"] == 0
    weight = model.adapters[layer].attention.mix.weight
    assert found[f"gates/{layer}/mix/space"] == pytest.approx(float(weight[:, 16:32].norm()))
