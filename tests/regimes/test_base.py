"""The regimes under a real Trainer: what moves, what is saved, and that a run which was killed ends the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from helpers.image_models import VIT, write_timm
from helpers.running import FAST, Losses, Stop, StoppedError, saving, streams, trainer
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData, StreamData
from pseudocap.data.collate import collate
from pseudocap.data.corpora.own import read_own
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.hub.checkpoint import read_config
from pseudocap.model.config import GateSchedule
from pseudocap.regimes import AsrBaseline, FineTune, ImageOnly, Mixed, MixedExtended, VideoOnly
from pseudocap.regimes.base import Regime, compile_layers
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.losses import Denoising, Objective
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.regimes.validation import table_row
from pseudocap.types import Batch, Preprocess, Sample
from pseudocap.zoo.tiny import write_opt, write_timesformer

Build = Callable[..., PseudoCap]


@pytest.mark.parametrize("fusion", ["residual", "convex"])
@pytest.mark.parametrize(
    ("regime", "kinds"),
    [(AsrBaseline, ["video"]), (ImageOnly, ["image"]), (VideoOnly, ["video"]), (Mixed, ["image", "video"])],
)
def test_training_moves_exactly_the_declared_trainables(
    regime: type[Regime], kinds: list[str], fusion: str, build: Build, tars: Path, tmp_path: Path
) -> None:
    model = build(fusion=fusion)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    data = streams(tars, *kinds, probabilities=dict.fromkeys(kinds, 1 / len(kinds)))
    trainer(tmp_path).fit(regime(model, optimisation=FAST), data)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    # A one-frame video has one key on the time axis, so what asks and answers which key has nothing to learn there.
    one_key = {name for name in model.trainable_names if "time.query" in name or "time.key" in name}
    assert (
        moved | one_key == set(model.trainable_names) | one_key
        if kinds == ["image"]
        else moved == set(model.trainable_names)
    )


def test_a_regime_refuses_the_wrong_modality(build: Build, tars: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ImageOnly learns from images"):
        trainer(tmp_path).fit(ImageOnly(build()), streams(tars, "video"))
    with pytest.raises(InputError, match="VideoOnly learns from videos"):
        trainer(tmp_path).fit(VideoOnly(build()), streams(tars, "image"))


def test_mixed_extended_differs_from_mixed_in_its_length_alone() -> None:
    assert issubclass(MixedExtended, Mixed)
    assert (Mixed.steps, MixedExtended.steps) == (4_000, 40_000)
    assert {name for name in vars(MixedExtended) if not name.startswith("__")} - {"_abc_impl"} == {"steps"}


def test_a_mixture_logs_the_shares_of_batches_and_of_examples(build: Build, tars: Path, tmp_path: Path) -> None:
    module = Mixed(build(), optimisation=FAST)
    data = streams(tars, "image", "video", probabilities={"image": 0.5, "video": 0.5})
    run = trainer(tmp_path, max_steps=8)
    run.fit(module, data)
    images = sum(data.mixture.draw(step).stream == "image" for step in range(8))
    assert 0 < images < 8
    assert float(run.logged_metrics["mixture/images/batches"]) == pytest.approx(images / 8)
    assert float(run.logged_metrics["mixture/images/examples"]) == pytest.approx(
        4 * images / (4 * images + 2 * (8 - images))
    )


def test_the_losses_and_shares_of_named_streams_are_logged_by_their_names(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    data = StreamData(
        images=tars / "images",
        streams={"asr": tars / "videos", "labels": tars / "videos"},
        probabilities={"image": 0.4, "asr": 0.3, "labels": 0.3},
        batch_size=2,
        image_batch_factor=2,
        workers=0,
    )
    run = trainer(tmp_path, max_steps=8)
    run.fit(Mixed(build(), optimisation=FAST), data)
    draws = [data.mixture.draw(step).stream for step in range(8)]
    for name, stream in (("images", "image"), ("asr", "asr"), ("labels", "labels")):
        assert 0 < draws.count(stream) < 8
        assert float(run.logged_metrics[f"mixture/{name}/batches"]) == pytest.approx(draws.count(stream) / 8)
    losses = {name.rpartition("/")[2] for name in run.logged_metrics if name.startswith("train/caption/")}
    assert losses == {"image", "asr", "labels"}


def test_a_resumed_mixture_logs_the_shares_of_the_whole_run(build: Build, tars: Path, tmp_path: Path) -> None:
    data = [streams(tars, "image", "video", probabilities={"image": 0.5, "video": 0.5}) for _ in range(2)]
    stopped = trainer(tmp_path, saving(tmp_path), Stop(5), enable_checkpointing=True, max_steps=7)
    with pytest.raises(StoppedError):
        stopped.fit(Mixed(build(), optimisation=FAST), data[0])
    run = trainer(tmp_path, max_steps=7)
    run.fit(Mixed(build(), optimisation=FAST), data[1], ckpt_path=str(tmp_path / "last.ckpt"))
    images = sum(data[1].mixture.draw(step).stream == "image" for step in range(7))
    assert float(run.logged_metrics["mixture/images/batches"]) == pytest.approx(images / 7)


def test_the_draws_of_a_step_are_a_function_of_seed_rank_and_step(build: Build) -> None:
    model = build()

    class OfAnotherRank(VideoOnly):
        global_rank = 1

    def drawn(module: Regime, step: int | None, index: int = 0) -> int:
        batch = Batch(keys=("a",), modality="video", captions=("x",), references=(("x",),), step=step)
        return int(torch.randint(2**62, (), generator=module.draws_of(batch, index)))

    module = VideoOnly(model)
    assert drawn(module, 3) == drawn(VideoOnly(model), 3, index=9)
    assert drawn(module, None, index=3) == drawn(module, 3), "a batch that knows no step is counted"
    others = [drawn(module, 4), drawn(VideoOnly(model, seed=1), 3), drawn(OfAnotherRank(model), 3)]
    assert len({drawn(module, 3), *others}) == 4


def test_a_preprocessing_given_to_the_data_is_the_saved_captioners(
    build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    large = Preprocess(size=32, frames=2)
    settings = {"batch_size": 2, "workers": 0}
    validation = CaptionData(world / "captions.jsonl", **settings)
    streamed = StreamData(videos=tars / "videos", preprocess=large, validation=validation, epoch_steps=1, **settings)
    for name, data in (("own", CaptionData(world / "captions.jsonl", preprocess=large, **settings)), ("s", streamed)):
        seen = Shapes()
        trainer(tmp_path, seen, KeepCaptioner(str(tmp_path / name)), max_steps=1).fit(FineTune(build()), data)
        assert read_config(tmp_path / name / "last").preprocess == large
        assert {shape[2:] for shape in seen.shapes} == {(3, 32, 32)}
    with pytest.raises(ConfigError, match="patch size"):
        build().set_preprocess(Preprocess(size=33, frames=2))


class Shapes(Callback):
    """Of the frames of every batch, in validation too."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.shapes.add(tuple(batch.frames.shape))

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *index: int) -> None:
        self.shapes.add(tuple(batch.frames.shape))


def test_a_table_keeps_each_row_on_its_line() -> None:
    assert table_row("a|b", "two\nlines ", "") == "| a/b | two lines |  |"


def test_fine_tuning_learns_a_small_world_and_keeps_what_from_pretrained_loads(world: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4}
    captions = [caption for row in read_own(world / "captions.jsonl").rows for caption in row.captions]
    write_opt(tmp_path / "opt", text=captions, num_hidden_layers=4, ffn_dim=128, **sizes)
    write_timesformer(tmp_path / "timesformer", image_size=32, num_frames=4, intermediate_size=128, **sizes)
    model = PseudoCap.from_backbones(decoder=tmp_path / "opt", encoder=tmp_path / "timesformer", device="cpu")
    module = FineTune(model, optimisation=Optimisation(lr=2e-3, warmup_steps=5))
    losses, keep = Losses(), KeepCaptioner(str(tmp_path / "kept"))
    run = trainer(tmp_path, losses, keep, max_epochs=40, max_steps=-1, check_val_every_n_epoch=40)
    run.fit(module, CaptionData(world / "captions.jsonl", batch_size=3, workers=0))
    first, last = losses.by_step[0], losses.by_step[max(losses.by_step)]
    assert last < first - 0.5
    assert set(module.scores or {}) == {"CIDEr-D", "BLEU-4", "ROUGE-L"}
    assert "gates/2/attention/mean" in run.callback_metrics
    examples = next((Path(run.log_dir or "") / "captions").iterdir()).read_text()
    assert "| a reference |" in examples
    assert "white-right" in examples
    again = PseudoCap.from_pretrained(tmp_path / "kept" / "last", device="cpu")
    film = world / "red-left-0.mp4"
    assert again.caption(film) == module.model.caption(film)
    assert (tmp_path / "kept" / "best" / "results.json").is_file()


@pytest.mark.parametrize("source", ["frames", "tars", "memories"])
def test_a_resumed_run_has_the_losses_and_weights_of_an_uninterrupted_one(
    source: str, build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    def data() -> lightning.LightningDataModule:
        if source == "frames":
            return CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
        if source == "memories":
            return StreamData(videos=memories(), batch_size=2, workers=0, epoch_steps=100)
        return streams(tars, "image", "video", probabilities={"image": 0.5, "video": 0.5})

    def memories() -> Any:
        model = build()
        spec = MemorySpec(encoder=model.config.encoder.fingerprint, preprocess=model.config.preprocess, crops=2)
        if not (tmp_path / "m").exists():
            rows = RowSource(read_own(world / "captions.jsonl").rows, VideoFolder(world), spec.preprocess)
            encode(rows, model.encoder, tmp_path / "m", spec)
        return MemorySource(tmp_path / "m")

    def module() -> Regime:
        kind = Mixed if source == "tars" else VideoOnly
        denoising = Denoising(warmup=1, delta=1.0)
        return kind(build(), optimisation=FAST, objective=Objective(denoising=denoising))

    whole, part, rest = Losses(), Losses(), Losses()
    complete = module()
    trainer(tmp_path / "whole", whole, max_steps=7).fit(complete, data())
    saver = saving(tmp_path / "part")
    stopped = trainer(tmp_path / "part", part, saver, Stop(5), max_steps=7, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(module(), data())
    resumed = module()
    trainer(tmp_path / "rest", rest, max_steps=7).fit(resumed, data(), ckpt_path=str(tmp_path / "part" / "last.ckpt"))
    assert (list(part.by_step), list(rest.by_step)) == ([0, 1, 2, 3, 4], [4, 5, 6])
    assert {**part.by_step, **rest.by_step} == whole.by_step
    for name, weights in complete.model.adapter_state().items():
        assert torch.equal(weights, resumed.model.adapter_state()[name]), name


def test_a_run_goes_on_with_the_optimisation_that_it_is_given(build: Build, tars: Path, tmp_path: Path) -> None:
    class Rates(Callback):
        def __init__(self) -> None:
            self.found: list[tuple[float, ...]] = []

        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: torch.optim.Optimizer) -> None:
            self.found += [(group["lr"], *group["betas"], group["weight_decay"]) for group in optimizer.param_groups]

    run = trainer(tmp_path, saving(tmp_path), Stop(4), max_steps=6, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        run.fit(VideoOnly(build(), optimisation=FAST), streams(tars, "video"))
    calmer = replace(FAST, lr=FAST.lr / 8, beta2=0.95, weight_decay=0.1)
    rates = Rates()
    trainer(tmp_path, rates, max_steps=6).fit(
        VideoOnly(build(), optimisation=calmer), streams(tars, "video"), ckpt_path=str(tmp_path / "last.ckpt")
    )
    expected = [(calmer.lr * calmer.share(step, 6), 0.9, 0.95, decay) for step in (4, 5) for decay in (0.1, 0.0)]
    assert rates.found == [pytest.approx(each) for each in expected]


def test_a_training_checkpoint_holds_adapters_and_their_optimiser_state_alone(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    module = VideoOnly(build(), optimisation=FAST)
    trainer(tmp_path, saving(tmp_path), enable_checkpointing=True).fit(module, streams(tars, "video"))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert saved["state_dict"]
    assert all(name.startswith("model.decoder.adapters.") for name in saved["state_dict"])
    moments = saved["optimizer_states"][0]["state"]
    assert len(moments) == len(module.model.trainable_names)
    sizes = sum(tensor.numel() for state in moments.values() for name, tensor in state.items() if name == "exp_avg")
    assert sizes == module.model.parameter_counts().trainable


def test_gates_norms_and_biases_are_not_decayed(build: Build, tars: Path, tmp_path: Path) -> None:
    module = VideoOnly(build(), optimisation=Optimisation(weight_decay=0.1))
    trainer(tmp_path, max_steps=1).fit(module, streams(tars, "video"))
    optimiser = module.optimizers().optimizer
    decayed, kept = optimiser.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    names = {parameter: name for name, parameter in module.model.named_parameters()}
    assert all("weight" in names[p] and "norm" not in names[p] for p in decayed["params"])
    assert any("gate" in names[p] for p in kept["params"])
    assert any("norm" in names[p] for p in kept["params"])


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_half_cosine() -> None:
    settings = Optimisation(warmup_steps=10, final_share=0.1)
    shares = [settings.share(step, 110) for step in range(111)]
    assert shares[:10] == [pytest.approx((step + 1) / 10) for step in range(10)]
    assert shares[60] == pytest.approx(0.55)
    assert shares[110] == pytest.approx(0.1)
    assert all(later <= earlier for earlier, later in itertools.pairwise(shares[10:]))


def test_the_gate_schedule_moves_with_the_optimiser_in_pretraining_and_not_in_fine_tuning(
    build: Build, world: Path, tmp_path: Path
) -> None:
    schedule = GateSchedule(start=-1.0, end=1.0, rate=0.5)
    pre, fine = (build(fusion="convex", gate_schedule=schedule) for _ in range(2))
    data = {"batch_size": 3, "workers": 0}
    trainer(tmp_path, max_steps=3).fit(VideoOnly(pre), CaptionData(world / "captions.jsonl", **data))
    trainer(tmp_path, max_steps=3).fit(FineTune(fine), CaptionData(world / "captions.jsonl", **data))
    assert float(next(iter(pre.adapters.values())).eta) == pytest.approx(schedule.eta(2))
    assert float(next(iter(fine.adapters.values())).eta) == pytest.approx(-1.0)


def test_settings_that_cannot_be_right_are_told(build: Build) -> None:
    with pytest.raises(ConfigError, match=r"optimisation\.lr"):
        Optimisation(lr=0)
    with pytest.raises(ConfigError, match="gate_entropy is for adapters with fusion='convex'"):
        FineTune(build(), objective=Objective(gate_entropy=0.01))
    with pytest.raises(InputError, match="beams must be a whole number"):
        ValidationDecoding(beams=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "attention"),
    [("aot_eager", "separable"), ("inductor", "separable"), ("aot_eager", "full"), ("aot_eager", "resampler")],
)
def test_compiled_training_has_the_losses_of_plain_training(
    compiler: str, attention: str, build: Build, world: Path, tmp_path: Path
) -> None:
    runs = []
    for setting in (None, compiler):
        losses = Losses()
        module = FineTune(build(attention=attention), optimisation=FAST, compiler=setting)
        data = CaptionData(world / "captions.jsonl", batch_size=3, workers=0)
        trainer(tmp_path / str(setting), losses, max_steps=3).fit(module, data)
        runs.append(losses.by_step)
    assert len(runs[0]) == 3
    assert runs[1] == pytest.approx(runs[0], rel=1e-5)


@pytest.mark.slow
def test_every_layer_of_an_image_model_is_compiled_and_means_the_same(backbones: Path, tmp_path: Path) -> None:
    write_timm(tmp_path, **VIT)
    model = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=tmp_path, device="cpu")
    frames = torch.randn(1, 2, 3, 32, 32)
    plain = model.encode(frames)
    compile_layers(model, "aot_eager")
    compiled = model.encode(frames)
    layers = (*model.encoder.network.blocks, *model.decoder.layers)
    assert all(layer._compiled_call_impl is not None for layer in layers)
    torch.testing.assert_close(compiled.space, plain.space)


def test_an_unknown_compiler_is_told(build: Build) -> None:
    with pytest.raises(ConfigError, match="did you mean 'inductor'"):
        FineTune(build(), compiler="inducter")


def test_a_checkpoint_of_another_architecture_is_told(build: Build, tars: Path, tmp_path: Path) -> None:
    saver = saving(tmp_path)
    trainer(tmp_path, saver, enable_checkpointing=True).fit(VideoOnly(build()), streams(tars, "video"))
    other = VideoOnly(build(fusion="convex"))
    with pytest.raises(CheckpointError, match=r"of another captioner: .* resume with the settings"):
        trainer(tmp_path / "b").fit(other, streams(tars, "video"), ckpt_path=str(tmp_path / "last.ckpt"))


def test_a_step_learns_captions_given_their_prompts_and_validation_goes_on_from_them(
    build: Build, frames: torch.Tensor, tmp_path: Path
) -> None:
    """From samples with prompts through collation and the Trainer to the loss of the captions alone."""
    model, texts, prompts = build(), ("red", "two dogs play", "a stage"), ("a", "", "what is there?")
    samples = [
        Sample(key=str(row), modality="video", captions=(text,), frames=frames[row], prompt=prompt)
        for row, (text, prompt) in enumerate(zip(texts, prompts, strict=True))
    ]
    batch = collate(samples, texts)
    assert collate([replace(sample, prompt="") for sample in samples], texts).prompts == ()
    tokens, memory = model.tokenize(texts, prompts), model.encode(frames)
    expected = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    losses, regime = Losses(), VideoOnly(model, optimisation=FAST)
    loader = torch.utils.data.DataLoader([batch], batch_size=None)
    run = trainer(tmp_path, losses, max_steps=1)
    run.fit(regime, loader)
    assert losses.by_step == {0: pytest.approx(expected.item(), rel=1e-5)}
    captions = [caption for _, caption in run.predict(regime, loader)[0]]
    assert captions == model.describe(memory, prompt=prompts, num_beams=1, max_new_tokens=32)
    assert captions != model.describe(memory, num_beams=1, max_new_tokens=32)
