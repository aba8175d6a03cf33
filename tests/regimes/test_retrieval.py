"""Retrieval under a real Trainer: it learns, resumes exactly, and two ranks learn what one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import retrieval_ranks
from helpers.retrievers import build_retriever
from helpers.running import Losses, Stop, StoppedError, saving, trainer
from lightning.pytorch.callbacks import Callback

from pseudocap.cli.main import main
from pseudocap.data import CaptionData, StreamData
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.model.retrieval_config import SIMILARITIES
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.regimes.retrieval import Retrieval
from pseudocap.regimes.retrieval_losses import Contrast
from pseudocap.retriever import Retriever
from pseudocap.types import Batch

FAST = Optimisation(lr=3e-3, warmup_steps=2)
Build = Callable[..., Retriever]


@pytest.fixture
def build(backbones: Path) -> Build:
    return lambda **settings: build_retriever(backbones, **{"num_frames": 4, "dropout": 0.0, **settings})


@pytest.fixture(scope="module")
def memories(world: Path, backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stored") / "memories"
    words = ["--encoder", str(backbones / "timesformer"), "--out", str(out), "--workers", "0"]
    assert main(["encode", str(world / "captions.jsonl"), *words, "--size", "16", "--frames", "4"]) == 0
    return out


class Rates(Callback):
    """The rate and the betas of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.group: dict[str, Any] = {}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.group = dict(optimizer.param_groups[0])
        self.rates.append(self.group["lr"])


def test_the_loss_falls_and_recall_rises_on_a_small_world(
    build: Build, world: Path, memories: Path, tmp_path: Path
) -> None:
    # Validated on what it learns: eight films with a colour and a side each, which vectors of before cannot tell.
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    everything = tmp_path / "all.jsonl"
    everything.write_text("".join(json.dumps({**row, "split": "val"}) + "\n" for row in rows))
    validation = CaptionData(everything, memories=memories, batch_size=3, workers=0)
    module = Retrieval(build(width=32, dim=16), optimisation=Optimisation(lr=5e-3, warmup_steps=5))
    run = trainer(tmp_path, losses := Losses(), KeepCaptioner(str(tmp_path), module.monitor), max_steps=80)
    run.validate(module, validation, verbose=False)
    before = dict(module.scores or {})
    run.fit(module, StreamData(videos=memories, batch_size=8, workers=0, epoch_steps=80, validation=validation))
    assert module.scores is not None
    assert before["R@1"] < 40
    assert module.scores["R@1"] > before["R@1"] + 40
    assert module.scores["text R@1"] > before["text R@1"]
    assert list(module.scores) == ["R@1", "R@5", "R@10", "MedR", "MnR", "text R@1", "text R@5", "text R@10", "rsum"]
    assert losses.by_step[79] < losses.by_step[0] / 3
    results = json.loads((tmp_path / "last" / "results.json").read_text())
    assert results["regime"] == "Retrieval"
    assert (results["videos"], results["step"]) == (8, 80)
    assert results["scores"]["rsum"] == module.scores["rsum"]
    films = [world / row["video"] for row in rows]
    again = Retriever.from_pretrained(tmp_path / "last", device="cpu")
    torch.testing.assert_close(again.embed_text(["a red"]), module.model.cpu().eval().embed_text(["a red"]))
    found = again.similarity([row["caption"][0] for row in rows], films).argmax(dim=1)
    assert [int(film) // 2 for film in found] == [number // 2 for number in range(8)], "the colours at least"


def test_three_steps_have_the_rates_the_betas_and_the_losses_that_were_set(
    build: Build, memories: Path, tmp_path: Path
) -> None:
    optimisation = Optimisation(lr=3e-3, beta1=0.7, beta2=0.9, warmup_steps=2)
    module = Retrieval(build(learn_temperature=True), optimisation=optimisation, contrast=Contrast(mask=0.0))
    start = {name: tensor.clone() for name, tensor in module.model.named_parameters()}
    seen: list[Batch] = []

    class Keep(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            seen.append(batch)

    fit = trainer(tmp_path, rates := Rates(), losses := Losses(), Keep(), max_steps=3)
    fit.fit(module, StreamData(videos=memories, batch_size=6, workers=0))
    assert rates.rates == pytest.approx([1.5e-3, 3e-3, 3e-3])
    assert rates.group["betas"] == (0.7, 0.9)
    moved = {name for name, tensor in module.model.named_parameters() if not torch.equal(tensor, start[name])}
    assert moved == module.model.trainable_names
    fresh = build(learn_temperature=True).eval()
    assert seen[0].memory is not None
    with torch.no_grad():
        scores = fresh.score(fresh.embed_states(fresh.read(seen[0].captions)), fresh.embed_memory(seen[0].memory))
    right = torch.arange(6)
    both = [torch.nn.functional.cross_entropy(each / 0.05, right) for each in (scores, scores.T)]
    assert losses.by_step[0] == pytest.approx(float(sum(both)), rel=1e-4)


def test_sgd_has_its_momentum(build: Build, memories: Path, tmp_path: Path) -> None:
    settings = Optimisation(lr=1e-2, beta1=0.8, warmup_steps=1, method="sgd")
    module = Retrieval(build(), optimisation=settings)
    trainer(tmp_path, rates := Rates(), max_steps=2).fit(module, StreamData(videos=memories, batch_size=4, workers=0))
    assert rates.group["momentum"] == 0.8
    assert "betas" not in rates.group
    with pytest.raises(ConfigError, match="method must be one of adamw, sgd"):
        Optimisation(method="adam")


def test_captions_of_one_video_are_no_negatives(build: Build, memories: Path, tmp_path: Path) -> None:
    """Of a batch of one video drawn several times, or of its several captions, there is nothing to tell apart."""
    module = Retrieval(build())
    module.log_losses = lambda *_: None  # type: ignore[method-assign]
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    memory = module.model.encode(torch.randn(2, 4, 3, 16, 16))
    captions = ("a red square", "two dogs", "a blue square", "guitar")
    options = {"modality": "video", "captions": captions, "references": (captions, captions), "memory": memory}
    one = Batch(keys=("same", "same"), **options)
    two = Batch(keys=("one", "two"), **options)
    assert float(module.training_step(one, 0).detach()) == 0
    assert float(module.training_step(two, 0).detach()) > 0


def test_a_bottleneck_learns_from_frames(build: Build, world: Path, tmp_path: Path) -> None:
    module = Retrieval(build(media="bottleneck", media_layers=2, fusion_layer=1), optimisation=FAST)
    start = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    data = CaptionData(world / "captions.jsonl", batch_size=4, workers=0)
    trainer(tmp_path, losses := Losses(), max_steps=3).fit(module, data)
    assert all(loss > 0 for loss in losses.by_step.values())
    still = {name for name, tensor in module.model.state_dict().items() if torch.equal(tensor, start[name])}
    assert still == set()


@pytest.mark.parametrize("similarity", ["dot", "fine"])
def test_a_resumed_run_draws_and_learns_the_same(build: Build, memories: Path, tmp_path: Path, similarity: str) -> None:
    def parts() -> tuple[Retrieval, StreamData]:
        contrast = Contrast(loss="joint", mask=0.2, intra=0.5, cross=0.5)
        model = build(similarity=similarity, dropout=0.2, cross=True)
        module = Retrieval(model, optimisation=FAST, contrast=contrast, seed=1)
        return module, StreamData(videos=memories, batch_size=7, captions=2, workers=0, seed=0)

    complete, data = parts()
    trainer(tmp_path / "complete", losses := Losses(), max_steps=4).fit(complete, data)
    stopped = trainer(tmp_path, saving(tmp_path), Stop(3), max_steps=4, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(*parts())
    other = Retrieval(build(similarity=similarity, dim=16, cross=True), optimisation=FAST, seed=1)
    with pytest.raises(CheckpointError, match=r"of another retriever: .* weights differ"):
        trainer(tmp_path / "other", max_steps=4).fit(other, data, ckpt_path=str(tmp_path / "last.ckpt"))
    resumed, data = parts()
    torch.manual_seed(5)  # nothing hangs on torch's own state
    trainer(tmp_path / "rest", rest := Losses(), max_steps=4).fit(resumed, data, ckpt_path=str(tmp_path / "last.ckpt"))
    assert rest.by_step[3] == losses.by_step[3]
    for name, tensor in complete.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_what_joins_captions_and_clips_learns_from_the_cross_term_alone(build: Build) -> None:
    with pytest.raises(ConfigError, match="cross: true"):
        Retrieval(build(), contrast=Contrast(cross=0.5))
    idle = Retrieval(build(cross=True)).model.join
    assert idle is not None
    assert not any(parameter.requires_grad for parameter in idle.parameters())
    module = Retrieval(build(cross=True), contrast=Contrast(cross=0.5))
    memory = module.model.encode(torch.randn(2, 4, 3, 16, 16))
    batch = Batch(keys=("a", "b"), modality="video", captions=("a dog", "two"), references=(), memory=memory)
    with pytest.raises(InputError, match="captions: 2"):
        module.training_step(batch, 0)
    assert module.model.join is not None
    assert all(parameter.requires_grad for parameter in module.model.join.parameters())


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_does(backbones: Path, memories: Path, tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, retrieval_ranks.__file__, str(backbones), str(memories), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for similarity in SIMILARITIES:
        retrieval_ranks.learn(backbones, memories, tmp_path, devices=1, similarity=similarity)
        one, *two = (
            torch.load(tmp_path / f"{similarity}-{run}.pt", weights_only=False) for run in ("1-0", "2-0", "2-1")
        )
        for rank in two:
            assert rank["loss"] == pytest.approx(one["loss"], rel=1e-5)
            assert rank["scores"] == one["scores"]
            assert rank["gradients"].keys() == one["gradients"].keys()
            for name, gradient in one["gradients"].items():
                close = 1e-6 + 1e-6 * float(gradient.norm())
                torch.testing.assert_close(rank["gradients"][name], gradient, atol=close, rtol=1e-4)
        assert any(gradient.abs().max() > 0.1 for gradient in one["gradients"].values())
