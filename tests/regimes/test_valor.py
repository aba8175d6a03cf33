"""VALOR under a real Trainer: its losses, that it learns and resumes exactly, and two ranks learn what one does."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import valor_ranks
from helpers.hearing import HeardSource
from helpers.running import Losses, Stop, StoppedError, saving, trainer
from helpers.valors import HEARD_WIDTH, build_valor, random_memory, write_valor_backbones
from lightning.pytorch.callbacks import Callback

from pseudocap.cli.main import main
from pseudocap.data import StreamData
from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Axis, Memory
from pseudocap.model.valor import parse_group
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.regimes.valor import Valor, ValorObjective
from pseudocap.types import Batch, Preprocess, Sample
from pseudocap.valor import ValorModel

FAST = Optimisation(lr=3e-3, warmup_share=0.1, decay="linear")
Build = Callable[..., ValorModel]
CAPTIONS = ("a red square moves left", "two dogs", "a blue square moves up")
ALL = ("T-V", "T-A", "T-AV", "V-A", "A-TV", "V-TA")


class Source(HeardSource):
    """Stored memories of this width of sound."""

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        sample = super().sample(index, generator)
        assert sample.memory is not None
        if (sound := sample.memory.axes.get("sound")) is not None:
            wide = F.pad(sound.vectors, (0, HEARD_WIDTH - sound.vectors.shape[2]))
            sample.memory.axes["sound"] = Axis(wide, sound.mask)
        return sample


@pytest.fixture(scope="module")
def build(backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    own = write_valor_backbones(tmp_path_factory.mktemp("valor"))
    built = functools.cache(lambda **settings: build_valor(backbones, own, **settings))
    return lambda **settings: copy.deepcopy(built(**{"sight": "pooled", "sound": "moments", **settings}))


def batch_of(memory: Memory, captions: tuple[str, ...] = CAPTIONS, **options: Any) -> Batch:
    keys = tuple(f"clip {number}" for number in range(len(memory)))
    return Batch(keys=keys, modality="video", captions=captions, references=(), memory=memory, step=0, **options)


def losses_of(module: Valor, batch: Batch) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    module.model.eval()
    memory = module.memory_of(batch)
    with torch.no_grad():
        return module.align(batch, memory), module.describe(batch, 0, memory)


def test_the_alignment_is_a_cross_entropy_both_ways_over_clips_that_have_the_group(build: Build) -> None:
    module = Valor(build(), objective=ValorObjective(align=ALL))
    model, memory = module.model, random_memory(3, silent=(1,))
    found, _ = losses_of(module, batch_of(memory))
    assert list(found) == [*ALL]
    with torch.no_grad():
        texts, media = model.embed_states(model.read(CAPTIONS)), model.embed_media(memory)
        parts = {"T": texts, **media}
        for group in ALL:
            one, other = parse_group(group)
            rows = torch.tensor([0, 1, 2] if "A" not in group else [0, 2])
            scores = model.score(parts[one], model.joined({letter: parts[letter] for letter in other}))
            scores = scores[rows][:, rows] / 0.07
            right = torch.arange(len(rows))
            expected = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
            torch.testing.assert_close(found[group], expected, msg=group)


def test_captions_of_one_clip_are_no_negatives_of_each_other(build: Build) -> None:
    module = Valor(build(), objective=ValorObjective(align=("T-V", "A-TV")))
    memory = random_memory(1)
    found, _ = losses_of(module, batch_of(memory, CAPTIONS[:2]))
    assert [float(loss) for loss in found.values()] == [0, 0]
    both, _ = losses_of(module, batch_of(random_memory(2), (*CAPTIONS, "two dogs play")))
    assert all(float(loss) > 0.01 for loss in both.values())


def test_covered_tokens_are_learned_from_those_before_them_and_the_group(build: Build) -> None:
    module = Valor(build(), objective=ValorObjective(align=()))
    model, memory = module.model, random_memory(3, silent=(1,))
    batch = batch_of(memory)
    _, found = losses_of(module, batch)
    tokens = model.tokens_to_learn(CAPTIONS)
    covered = module.covered(tokens.learned_NL, batch, 0)
    assert not covered[:, 0].any(), "[CLS] is given"
    assert covered.any(dim=1).all()
    ids = tokens.ids_NL.masked_fill(covered, model.mask_id)
    for group, name in (("T-V", "v"), ("T-A", "a"), ("T-AV", "av")):
        rows = torch.tensor([0, 1, 2] if name == "v" else [0, 2])
        with torch.no_grad():
            sees = tokens.real_NL[rows][:, None] & torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
            media = model.project(memory[rows], name)
            logits = model.bert.logits(model.bert.write(ids[rows], sees | torch.eye(ids.shape[1]).bool(), media))
        expected = F.cross_entropy(logits[covered[rows]], tokens.ids_NL[rows][covered[rows]])
        torch.testing.assert_close(found[group], expected)


def test_the_share_that_is_covered_is_a_function_of_seed_step_and_row(build: Build) -> None:
    module = Valor(build(max_tokens=30), objective=ValorObjective(mask=0.6))
    learned = torch.ones(200, 30, dtype=torch.bool)
    batch = batch_of(random_memory(2))
    first = module.covered(learned, batch, 0)
    assert float(first.float().mean()) == pytest.approx(0.6, abs=0.03)
    assert torch.equal(first, module.covered(learned, batch, 0))
    assert torch.equal(first[:50, :20], module.covered(learned[:50, :20], batch, 0)), "not of what stands beside it"
    other = Batch(**{**_fields(batch), "step": 1})
    assert not torch.equal(first, module.covered(learned, other, 0))
    none = Valor(build(max_tokens=30), objective=ValorObjective(mask=1e-9))
    assert none.covered(learned, batch, 0).sum(dim=1).tolist() == [1] * 200
    asked = Batch(**{**_fields(batch), "prompts": ("what",) * 2})
    assert float(module.covered(learned, asked, 0).float().mean()) == pytest.approx(0.99, abs=0.01)


def _fields(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in batch.__slots__}


def test_of_a_question_its_answer_alone_is_covered(build: Build) -> None:
    model = build()
    module = Valor(model, objective=ValorObjective(align=()))
    tokens = model.tokens_to_learn(("dogs", "two"), ("what plays guitar?", "a stage?"))
    assert tokens.given_N.tolist() == [5, 4]
    assert tokens.learned_NL.sum(dim=1).tolist() == [2, 2], "an answer and its [SEP]"
    sees = tokens.sees_NLL[0].long().tolist()
    assert sees[0] == [1, 1, 1, 1, 1, 0, 0]
    assert sees[5] == [1, 1, 1, 1, 1, 1, 0]
    _, found = losses_of(
        module, batch_of(random_memory(2), ("dogs", "two"), prompts=("what plays guitar?", "a stage?"))
    )
    assert all(float(loss) > 0 for loss in found.values())


def test_alpha_weighs_the_means_of_the_groups(build: Build) -> None:
    module = Valor(build(), objective=ValorObjective(alpha=3.0))
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    module.log_losses = lambda *_: None  # type: ignore[method-assign]
    batch = batch_of(random_memory(3, silent=(1,)))
    aligned, described = losses_of(module, batch)
    total = module.training_step(batch, 0)
    expected = 3 * torch.stack([*aligned.values()]).mean() + torch.stack([*described.values()]).mean()
    torch.testing.assert_close(total, expected)
    sight = random_memory(3, moments=0)
    aligned, described = losses_of(module, batch_of(sight))
    assert [*aligned] == [*described] == ["T-V"]
    torch.testing.assert_close(module.training_step(batch_of(sight), 0), 3 * aligned["T-V"] + described["T-V"])


def test_only_what_a_loss_reaches_learns(build: Build) -> None:
    for settings, objective in (
        ({}, ValorObjective(align=("T-V",), describe=())),
        ({"fusion": "visual-audio", "share_weights": False}, ValorObjective(align=(), describe=("T-A",))),
        ({"fusion": "merge"}, ValorObjective()),
    ):
        module = Valor(build(**settings), objective=objective)
        module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
        module.log_losses = lambda *_: None  # type: ignore[method-assign]
        module.training_step(batch_of(random_memory(3)), 0).backward()
        learning = {name for name, each in module.model.named_parameters() if each.requires_grad}
        reached = {name for name, each in module.model.named_parameters() if each.grad is not None}
        assert learning == reached, objective


def stream(moments: tuple[int, ...] = (3, 3, 2, 0, 4), **options: Any) -> StreamData:
    preprocess = Preprocess(size=16, frames=4)
    return StreamData(videos=Source(*moments), batch_size=4, workers=0, preprocess=preprocess, **options)


class Rates(Callback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.betas = optimizer.param_groups[0]["betas"]
        self.modes = [module for module in pl_module.model.bert.modules() if isinstance(module, torch.nn.Dropout)]
        assert self.modes
        assert all(module.training for module in self.modes)


def test_a_run_learns_with_the_schedule_of_the_paper(build: Build, tmp_path: Path) -> None:
    optimisation = Optimisation(lr=5e-3, beta2=0.98, warmup_share=0.2, decay="linear")
    module = Valor(build(loud=False), optimisation=optimisation)
    trainer(tmp_path, losses := Losses(), rates := Rates(), max_steps=10).fit(module, stream())
    assert rates.rates[:4] == pytest.approx([2.5e-3, 5e-3, 5e-3, 5e-3 * 7 / 8])
    assert rates.rates[9] == pytest.approx(5e-3 / 8)
    assert rates.betas == (0.9, 0.98)
    assert losses.by_step[9] < losses.by_step[0]


def test_streams_with_sight_alone_learn_beside_those_with_both(build: Build, tmp_path: Path) -> None:
    """Datasets are drawn by their weights; one without sound learns T-V."""
    module, groups = Valor(build(), optimisation=FAST), []
    align = module.align

    def spy(batch: Batch, memory: Memory) -> dict[str, torch.Tensor]:
        found = align(batch, memory)
        groups.append((batch.stream, tuple(found)))
        return found

    module.align = spy  # type: ignore[method-assign]
    streams = {"heard": Source(3, 3, 2, 4), "mute": Source(0, 0, 0, 0)}
    data = StreamData(
        streams=streams, probabilities={"heard": 0.5, "mute": 0.5}, batch_size=3, workers=0,
        preprocess=Preprocess(size=16, frames=4),
    )  # fmt: skip
    trainer(tmp_path, max_steps=5).fit(module, data)
    assert {*groups} == {("heard", ("T-V", "T-A", "T-AV")), ("mute", ("T-V",))}


def test_a_resumed_run_learns_the_same(build: Build, tmp_path: Path) -> None:
    def parts() -> tuple[Valor, StreamData]:
        return Valor(build(), optimisation=FAST, seed=1), stream(captions=2, seed=0)

    complete, data = parts()
    trainer(tmp_path / "complete", losses := Losses(), max_steps=4).fit(complete, data)
    stopped = trainer(tmp_path, saving(tmp_path), Stop(3), max_steps=4, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(*parts())
    other = Valor(build(), optimisation=FAST, seed=1, objective=ValorObjective(alpha=2))
    with pytest.raises(ConfigError, match=r"the run to resume had model\.objective"):
        trainer(tmp_path / "other", max_steps=4).fit(other, data, ckpt_path=str(tmp_path / "last.ckpt"))
    resumed, data = parts()
    torch.manual_seed(5)  # nothing hangs on torch's own state
    trainer(tmp_path / "rest", rest := Losses(), max_steps=4).fit(resumed, data, ckpt_path=str(tmp_path / "last.ckpt"))
    assert rest.by_step[3] == losses.by_step[3]
    for name, tensor in complete.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_windows_are_drawn_one_from_each_part_of_a_clips_sound(build: Build) -> None:
    module = Valor(build(), objective=ValorObjective(sound_clips=2))
    sound = torch.arange(5.0)[None, :, None, None].expand(2, 5, 1, 1)
    lengths = torch.tensor([[9, 9, 9, 9, 0], [9, 0, 0, 0, 0]])
    seen = set()
    for seed in range(20):
        batch = Batch(keys=("a", "b"), modality="video", captions=(), references=(), sound=sound, sound_lengths=lengths)
        drawn = module.heard_in_part(batch, torch.Generator().manual_seed(seed))
        assert drawn.sound is not None
        first, second = drawn.sound[0, :, 0, 0].tolist()
        seen |= {first, second}
        assert first in (0, 1)
        assert second in (2, 3)
        assert drawn.sound[1, :, 0, 0].tolist() == [0, 0]
    assert seen == {0, 1, 2, 3}


def test_mistakes_name_the_way_out(build: Build) -> None:
    for wrong, message in (
        ({"align": (), "describe": ()}, "both empty"),
        ({"align": ("TA",)}, "a group is like"),
        ({"describe": ("V-A",)}, "objective.describe is of T-V, T-A, T-AV, not 'V-A'"),
        ({"mask": 0.0}, "objective.mask must be above 0"),
        ({"alpha": -1}, "objective.alpha must be 0 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            ValorObjective(**wrong)
    with pytest.raises(ConfigError, match=r"T-A, T-AV are of a model that hears"):
        Valor(build(audio_encoder=None))
    with pytest.raises(ConfigError, match="need alignment: fine"):
        Valor(build(alignment="coarse"), objective=ValorObjective(align=("A-TV",)))
    module = Valor(build(), objective=ValorObjective(align=("T-A",), describe=("T-A",)))
    with pytest.raises(InputError, match="no clip of a batch has all of a group of T-A"):
        module.training_step(batch_of(random_memory(3, moments=0)), 0)
    learns = Valor(build(learn_encoders=True))
    with pytest.raises(InputError, match="learn_encoders needs frames"):
        learns.training_step(batch_of(random_memory(3)), 0)


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_does(backbones: Path, tmp_path: Path) -> None:
    own = write_valor_backbones(tmp_path / "own")
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, valor_ranks.__file__, str(backbones), str(own), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for silent in valor_ranks.SILENT:
        valor_ranks.learn(backbones, own, tmp_path, devices=1, silent=silent)
        one, *two = (torch.load(tmp_path / f"{silent}-{run}.pt", weights_only=False) for run in ("1-0", "2-0", "2-1"))
        assert sum(rank["loss"] for rank in two) / 2 == pytest.approx(one["loss"], rel=1e-5)
        for rank in two:
            assert rank["scores"] == pytest.approx(one["scores"])
            assert rank["gradients"].keys() == one["gradients"].keys()
            for name, gradient in one["gradients"].items():
                close = 1e-6 + 1e-6 * float(gradient.norm())
                torch.testing.assert_close(rank["gradients"][name], gradient, atol=close, rtol=1e-4)
        assert any(gradient.abs().max() > 0.1 for gradient in one["gradients"].values())


@pytest.mark.parametrize(
    ("name", "text"), [("toy", "pseudocap://toy-bert"), ("paper", "google-bert/bert-base-uncased")]
)
def test_the_shipped_configs_are_read(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["train", "valor", "--config", name, "--print_config"])
    assert f"text: {text}\n" in capsys.readouterr().out
