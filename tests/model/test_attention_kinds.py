"""The laws of a captioner whose words look at every patch, or at a resampler's latents, in place of the pooled axes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch
from helpers.captions import CAPTIONS
from safetensors.torch import load_file

from pseudocap import PseudoCap
from pseudocap.bench.speed.shapes import build_on_meta
from pseudocap.errors import ConfigError, InputError
from pseudocap.hub.fetch import CONFIG_FILE, WEIGHTS_FILE
from pseudocap.hub.publish import pack_checkpoint
from pseudocap.model.config import Backbone, PseudoCapConfig
from pseudocap.model.encoders.base import pool
from pseudocap.model.encoders.timesformer import TimeSformerConfig
from pseudocap.model.packing import Packing
from pseudocap.regimes.finetune import FineTune
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
OTHERS = pytest.mark.parametrize("attention", ["full", "resampler"])


def padded(*lengths: int) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Clips of different lengths as a batch with its mask, and as they are."""
    clips = [torch.randn(length, 3, 16, 16) for length in lengths]
    batch, mask = torch.zeros(len(clips), max(lengths), 3, 16, 16), torch.zeros(len(clips), max(lengths)).bool()
    for row, clip in enumerate(clips):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, True
    return batch, mask, clips


def test_only_those_who_look_at_patches_get_them(build: Build, frames: torch.Tensor) -> None:
    assert build().encode(frames).patches is None
    model = build(attention="full")
    memory = model.encode(frames)
    assert memory.patches is not None
    torch.testing.assert_close(memory.patches, model.encoder(frames), **TOLERANCE)
    assert torch.equal(memory.patches.amax(dim=2), memory.time)
    assert torch.equal(memory.patches.amax(dim=1), memory.space)


def test_the_separable_attention_takes_a_memory_with_patches_and_leaves_them(
    model: PseudoCap, frames: torch.Tensor
) -> None:
    ids, memory = model.tokenize(CAPTIONS).input_ids, model.encode(frames)
    more = model.encoder.encode(frames, patches=True)
    more.patches = more.patches.to("meta")  # which has no values to move anywhere
    assert torch.equal(model(ids, more).logits, model(ids, memory).logits)


@OTHERS
def test_words_see_what_pooling_hides(build: Build, frames: torch.Tensor, attention: str) -> None:
    """What is the maximum neither of its frame nor of its place is no part of a pooled memory."""
    model = build(attention=attention)
    ids, memory = model.tokenize(CAPTIONS).input_ids, model.encode(frames)
    pooled = (memory.patches == memory.time[:, :, None]) | (memory.patches == memory.space[:, None])
    other = pool(memory.patches.where(pooled, memory.patches - 1), patches=True)
    assert torch.equal(other.time, memory.time)
    assert torch.equal(other.space, memory.space)
    assert (model(ids, memory).logits - model(ids, other).logits).abs().max() > 1e-3


@OTHERS
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_padded_frames_add_nothing(build: Build, attention: str, options: dict[str, int]) -> None:
    model = build(attention=attention)
    batch, mask, clips = padded(2, 5, 1)
    memory = model.encode(batch, mask)
    assert not memory.patches[~mask].any()
    ids = model.tokenize(CAPTIONS).input_ids
    together = model(ids, memory).logits
    written = model.generate(memory, max_new_tokens=8, **options)
    for row, clip in enumerate(clips):
        alone = model.encode(clip[None])
        torch.testing.assert_close(together[row], model(ids[row : row + 1], alone).logits[0], **TOLERANCE)
        own = model.generate(alone, max_new_tokens=8, **options)[0]
        assert torch.equal(written[row, : len(own)], own)


@OTHERS
def test_several_captions_of_a_video_equal_the_video_several_times(
    build: Build, frames: torch.Tensor, attention: str
) -> None:
    model = build(attention=attention)
    ids, memory = model.tokenize(CAPTIONS * 2).input_ids, model.encode(frames[:2])
    repeated = memory[torch.tensor([0, 0, 0, 1, 1, 1])]
    torch.testing.assert_close(model(ids, memory).logits, model(ids, repeated).logits, **TOLERANCE)


@OTHERS
def test_a_packed_loss_is_that_of_the_captions_one_by_one(build: Build, frames: torch.Tensor, attention: str) -> None:
    model = build(attention=attention)
    memory, tokens = model.encode(frames), model.tokenize(CAPTIONS)
    assert Packing.of(tokens.attention_mask) is not None
    together = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    alone = [model.tokenize([caption]) for caption in CAPTIONS]
    counts = [int((one.labels != -100).sum()) for one in alone]
    losses = [
        model(one.input_ids, memory[row : row + 1], labels=one.labels).loss * counts[row] / sum(counts)
        for row, one in enumerate(alone)
    ]
    torch.testing.assert_close(together, sum(losses), **TOLERANCE)


@OTHERS
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_cached_decoding_equals_uncached(build: Build, frames: torch.Tensor, attention: str, cache: str) -> None:
    model = build(attention=attention)
    memory, ids = model.encode(frames), torch.full((3, 1), 2)
    for _ in range(8):
        ids = torch.cat((ids, model(ids, memory).logits[:, -1:].argmax(dim=-1)), dim=1)
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "eos_token_id": -1}
    assert torch.equal(model.generate(memory, cache_implementation=cache, **options), ids)
    assert len({tuple(row) for row in ids.tolist()}) > 1  # the videos do speak differently


def test_a_video_is_resampled_once_however_long_and_wide_the_search(build: Build, frames: torch.Tensor) -> None:
    model, calls = build(attention="resampler"), []
    model.decoder.resampler.register_forward_hook(lambda *call: calls.append(call[2].shape[0]))
    model.generate(model.encode(frames), max_new_tokens=6, min_new_tokens=6, num_beams=3)
    assert calls == [3]


@OTHERS
@pytest.mark.parametrize("fusion", ["residual", "convex"])
def test_one_step_moves_exactly_the_declared_trainables(
    build: Build, frames: torch.Tensor, attention: str, fusion: str
) -> None:
    model = build(attention=attention, fusion=fusion).train()
    tokens = model.tokenize(CAPTIONS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model(
        tokens.input_ids, model.encode(frames), attention_mask=tokens.attention_mask, labels=tokens.labels
    ).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == model.trainable_names
    assert ("decoder.adapters.resampler.latents" in moved) is (attention == "resampler")


@OTHERS
def test_a_saved_captioner_says_the_same_again(
    build: Build, frames: torch.Tensor, attention: str, tmp_path: Path
) -> None:
    model = build(attention=attention)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["attention"] == attention
    assert {f"decoder.adapters.{name}" for name in load_file(tmp_path / WEIGHTS_FILE)} == model.trainable_names
    again = PseudoCap.from_pretrained(tmp_path, device="cpu")
    assert again.config == model.config
    ids = model.tokenize(CAPTIONS).input_ids
    assert torch.equal(again(ids, again.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    assert again.trainable_names == model.trainable_names
    assert f"{attention} attention" in (tmp_path / "README.md").read_text()
    sendable = {"decoder": "someone/opt", "encoder": "someone/timesformer"}
    assert pack_checkpoint(tmp_path, "someone/captioner", license="mit", **sendable)


def test_a_config_of_before_there_was_a_choice_is_separable_and_so_is_written_still(
    model: PseudoCap, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    assert "attention" not in json.loads((tmp_path / CONFIG_FILE).read_text())
    assert PseudoCap.from_pretrained(tmp_path, device="cpu").config == model.config
    assert model.config.attention == "separable"


@OTHERS
def test_fewer_bits_leave_the_whole_trainable_state_and_the_logits_near(
    build: Build, frames: torch.Tensor, attention: str
) -> None:
    model = build(attention=attention)
    for parameter in model.decoder.adapters.parameters():
        parameter.data = parameter.data.half().float()  # as a checkpoint in half precision has them
    before = {name: tensor.clone() for name, tensor in model.adapter_state().items()}
    ids = model.tokenize(CAPTIONS).input_ids
    expected = model(ids, model.encode(frames)).logits
    model.set_precision("float16")
    torch.testing.assert_close(model(ids, model.encode(frames)).logits, expected, atol=0.05, rtol=0.05)
    after = model.adapter_state()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name].float(), tensor) for name, tensor in before.items())


@OTHERS
def test_lightning_checkpoints_the_whole_trainable_state_and_goes_on_from_it(
    build: Build, frames: torch.Tensor, attention: str, tmp_path: Path
) -> None:
    model = build(attention=attention)
    texts = tuple(CAPTIONS)
    batch = Batch(
        keys=texts,
        modality="video",
        captions=texts,
        references=tuple((text,) for text in texts),
        memory=model.encode(frames),
    )
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(accelerator="cpu", max_steps=1, **quiet)
    module = FineTune(model)
    trainer.fit(module, torch.utils.data.DataLoader([batch], batch_size=None))
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=False)["state_dict"]
    assert saved.keys() == {f"model.{name}" for name in model.trainable_names}
    other = FineTune(build(attention=attention, seed=7))
    other.load_state_dict(saved)
    ids, memory = model.tokenize(CAPTIONS).input_ids, model.encode(frames)
    assert torch.equal(other.model(ids, memory).logits, model(ids, memory).logits)


def test_full_attention_has_the_separable_ones_weights_less_one_norm() -> None:
    def trainable(attention: str) -> int:
        config = PseudoCapConfig(
            decoder=Backbone(source="d"),
            encoders={"video": Backbone(source="e")},
            adapter_layers=(6, 8),
            attention=attention,
        )
        return build_on_meta("opt-125m", TimeSformerConfig(), config).parameter_counts().trainable

    separable, full, resampler = (trainable(attention) for attention in ("separable", "full", "resampler"))
    width, inner = 768, 8 * 64
    layer = 4 * width + 4 * width * inner + 2 * width + 8 * width * width + 5 * width
    assert separable - full == 2 * 2 * width
    assert resampler - full == 64 * width + 6 * layer


# What cannot be


@OTHERS
def test_a_memory_without_patches_is_told_what_to_do(build: Build, frames: torch.Tensor, attention: str) -> None:
    model = build(attention=attention)
    ids, pooled = model.tokenize(CAPTIONS).input_ids, build().encode(frames)
    for ask in (lambda: model(ids, pooled), lambda: model.generate(pooled)):
        with pytest.raises(InputError, match=r"memory.patches is missing.*pseudocap encode --patches"):
            ask()
    memory = model.encode(frames)
    with pytest.raises(InputError, match=r"memory.patches must be .* here \[3, 4, 4, 16\] .* not \[3, 3, 4, 16\]"):
        model(ids, replace(memory, patches=memory.patches[:, :3]))


def test_an_unknown_attention_is_told_with_the_nearest(build: Build) -> None:
    with pytest.raises(
        ConfigError, match=r"attention must be one of separable, full, resampler, context, not 'resample'.*did"
    ):
        build(attention="resample")
