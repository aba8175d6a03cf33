"""The laws of the network, on tiny real backbones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch
from helpers.captions import CAPTIONS
from transformers import CompileConfig, GenerationConfig, OPTForCausalLM

from pseudocap import PseudoCap
from pseudocap.bench.speed.shapes import build_on_meta
from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Memory
from pseudocap.model.config import Backbone, GateSchedule, PseudoCapConfig
from pseudocap.model.decoders.opt import full_size
from pseudocap.model.encoders.timesformer import TimeSformerConfig
from pseudocap.model.text import CaptionTokens

Build = Callable[..., PseudoCap]
BOTH = pytest.mark.parametrize("opt", ["opt", "opt-350m"])
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@BOTH
@pytest.mark.parametrize("side", ["left", "right"])
def test_closed_gates_give_exactly_plain_opts_logits(
    build: Build, backbones: Path, frames: torch.Tensor, opt: str, side: str
) -> None:
    model = build(opt, gate_init=0.0)
    plain = OPTForCausalLM.from_pretrained(backbones / opt).eval()
    tokens = model.tokenize(CAPTIONS)
    ids, mask = tokens.input_ids, tokens.attention_mask
    if side == "left":
        ids, mask = ids.flip(1), mask.flip(1)
    logits = model(ids, model.encode(frames), attention_mask=mask).logits
    expected = plain(ids, attention_mask=mask).logits
    assert torch.equal(logits[mask.bool()], expected[mask.bool()])


def test_open_gates_let_the_video_in(model: PseudoCap, frames: torch.Tensor) -> None:
    ids = model.tokenize(CAPTIONS).input_ids
    first, second = (model(ids, model.encode(clips)).logits for clips in (frames, frames.flip(1)))
    assert (first - second).abs().max() > 1e-3


def test_without_a_memory_it_is_plain_opt(model: PseudoCap, backbones: Path) -> None:
    ids = model.tokenize(CAPTIONS).input_ids
    assert torch.equal(model(ids, None).logits, OPTForCausalLM.from_pretrained(backbones / "opt").eval()(ids).logits)


@BOTH
def test_a_token_changes_no_logit_before_it(build: Build, frames: torch.Tensor, opt: str) -> None:
    model = build(opt)
    memory, ids = model.encode(frames[:1]), model.tokenize(CAPTIONS[:1]).input_ids
    before = model(ids, memory).logits
    for changed in range(1, ids.shape[1]):
        other = ids.clone()
        other[0, changed] = (other[0, changed] + 7) % 100 + 4
        after = model(other, memory).logits
        torch.testing.assert_close(after[:, :changed], before[:, :changed], **TOLERANCE)
        assert (after[:, changed:] - before[:, changed:]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "settings", [{}, {"fusion": "convex"}, {"fusion": "convex", "gate_schedule": GateSchedule(learned=False)}]
)
def test_one_step_moves_exactly_the_declared_trainables(
    build: Build, frames: torch.Tensor, settings: dict[str, object]
) -> None:
    model = build(**settings).train()
    tokens = model.tokenize(CAPTIONS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    model(
        tokens.input_ids, model.encode(frames), attention_mask=tokens.attention_mask, labels=tokens.labels
    ).loss.backward()
    optimiser.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == model.trainable_names
    assert moved


def test_frozen_parts_evaluate_even_after_a_bare_train(model: PseudoCap) -> None:
    model.train()
    assert model.training
    assert all(adapter.training for adapter in model.adapters.values())
    assert not any(module.training for frozen in (model.encoder, model.decoder.opt) for module in frozen.modules())


def test_frozen_parts_are_absent_from_state_dicts_at_any_depth(build: Build) -> None:
    model = build(fusion="convex")
    buffers = {f"decoder.adapters.{layer}.eta" for layer in model.adapters}
    assert model.state_dict().keys() == model.trainable_names | buffers
    first, second = (
        torch.nn.ModuleDict({"captioner": model}),
        torch.nn.ModuleDict({"captioner": build(fusion="convex", seed=5)}),
    )
    with torch.no_grad():
        next(iter(model.adapters.values())).theta.fill_(0.7)
    second.load_state_dict(first.state_dict(), strict=True)
    for name, tensor in first.named_parameters():
        assert torch.equal(second.get_parameter(name), tensor), name
    incomplete = first.state_dict()
    incomplete.pop("captioner.decoder.adapters.2.theta")
    with pytest.raises(RuntimeError, match=r"Missing key.*decoder.adapters.2.theta"):
        second.load_state_dict(incomplete)


def test_no_gradient_enters_the_lower_half(model: PseudoCap, frames: torch.Tensor) -> None:
    recorded = {}
    for index, layer in enumerate(model.decoder.opt.model.decoder.layers):
        layer.register_forward_hook(lambda *call, index=index: recorded.update({index: call[2].requires_grad}))
    model(model.tokenize(CAPTIONS).input_ids, model.encode(frames))
    assert recorded == {0: False, 1: False, 2: True, 3: True}


def test_labels_cost_no_logits_unless_asked_for(model: PseudoCap, frames: torch.Tensor) -> None:
    tokens, memory = model.tokenize(CAPTIONS), model.encode(frames)
    out = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels)
    assert out.logits is None
    both = model(
        tokens.input_ids,
        memory,
        attention_mask=tokens.attention_mask,
        labels=tokens.labels,
        return_logits=True,
    )
    expected = torch.nn.functional.cross_entropy(both.logits[:, :-1].flatten(0, 1), tokens.labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, expected)
    assert torch.equal(out.loss, both.loss)


def test_several_captions_of_a_video_equal_the_video_several_times(model: PseudoCap, frames: torch.Tensor) -> None:
    ids = model.tokenize(CAPTIONS * 2).input_ids
    memory = model.encode(frames[:2])
    repeated = memory[torch.tensor([0, 0, 0, 1, 1, 1])]
    torch.testing.assert_close(model(ids, memory).logits, model(ids, repeated).logits, **TOLERANCE)


@BOTH
def test_packed_captions_do_not_see_one_another(build: Build, frames: torch.Tensor, opt: str) -> None:
    model = build(opt)
    memory = model.encode(frames[:1])
    rows = [model.tokenize([caption]).input_ids for caption in CAPTIONS]
    packed = torch.cat(rows, dim=1)
    positions = torch.cat([torch.arange(row.shape[1]) for row in rows])[None]
    together = model(packed, memory, position_ids=positions).logits
    alone = torch.cat([model(row, memory).logits for row in rows], dim=1)
    torch.testing.assert_close(together, alone, **TOLERANCE)
    leaky = model(packed, memory).logits
    assert (leaky - alone).abs().max() > 1e-3  # the law would notice a leak

    labels = torch.cat([model.tokenize([caption]).labels for caption in CAPTIONS], dim=1)
    padded = model.tokenize(CAPTIONS)
    torch.testing.assert_close(
        model(packed, memory, position_ids=positions, labels=labels).loss,
        model(padded.input_ids, memory, attention_mask=padded.attention_mask, labels=padded.labels).loss,
    )


# Generation


def grow_greedily(model: PseudoCap, ids: torch.Tensor, memory: object, steps: int) -> torch.Tensor:
    """The plainest decoding there is: the whole prefix again at every step, no cache."""
    for _ in range(steps):
        ids = torch.cat((ids, model(ids, memory).logits[:, -1:].argmax(dim=-1)), dim=1)
    return ids


@BOTH
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_cached_decoding_equals_uncached(build: Build, frames: torch.Tensor, opt: str, cache: str) -> None:
    model = build(opt)
    memory = model.encode(frames)
    prompt = torch.full((3, 1), 2)
    expected = grow_greedily(model, prompt, memory, 10)
    ids = model.generate(memory, max_new_tokens=10, min_new_tokens=10, cache_implementation=cache, eos_token_id=-1)
    assert torch.equal(ids, expected)
    assert len({tuple(row) for row in ids.tolist()}) == 3  # the videos do speak differently


@pytest.mark.parametrize(
    ("opt", "attention"), [("opt", "separable"), ("opt-350m", "separable"), ("opt", "full"), ("opt", "resampler")]
)
def test_a_step_with_a_static_cache_is_one_graph_for_all_steps(
    build: Build, frames: torch.Tensor, opt: str, attention: str
) -> None:
    """What torch.compile and captured graphs stand on; a GPU does this by itself where a static cache is asked for."""
    model = build(opt, attention=attention)
    memory = model.encode(frames)
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    expected = model.generate(memory, **options)
    config = CompileConfig(fullgraph=True, backend=keep, mode=None)  # which refuses a step in several graphs
    config._compile_all_devices = True
    ids = model.generate(memory, cache_implementation="static", compile_config=config, **options)
    assert torch.equal(ids, expected)
    assert len(graphs) == 1


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"num_beams": 3, "no_repeat_ngram_size": 2}])
def test_a_batch_of_videos_of_different_lengths_equals_each_alone(model: PseudoCap, options: dict[str, int]) -> None:
    clips = [torch.randn(frames, 3, 16, 16) for frames in (2, 5, 1)]
    batch, mask = torch.zeros(3, 5, 3, 16, 16), torch.zeros(3, 5, dtype=torch.bool)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, True
    together = model.generate(model.encode(batch, mask), max_new_tokens=8, **options)
    for row, clip in enumerate(clips):
        alone = model.generate(model.encode(clip[None]), max_new_tokens=8, **options)[0]
        assert torch.equal(together[row, : len(alone)], alone)
        assert (together[row, len(alone) :] == 1).all()


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_prompts_may_be_padded_on_either_side(model: PseudoCap, frames: torch.Tensor, options: dict[str, int]) -> None:
    tokens = model.tokenize(["a red square", "two", "a blue square moves up and"])
    lengths = (tokens.attention_mask.sum(dim=1) - 1).tolist()  # without the closing </s>
    ids = torch.full_like(tokens.input_ids, 1)
    right_mask, left, left_mask = torch.zeros_like(ids), ids.clone(), torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length], right_mask[row, :length] = tokens.input_ids[row, :length], 1
        left[row, -length:], left_mask[row, -length:] = tokens.input_ids[row, :length], 1
    memory = model.encode(frames)
    from_right = model.generate(memory, input_ids=ids, attention_mask=right_mask, max_new_tokens=6, **options)
    assert torch.equal(
        from_right,
        model.generate(memory, input_ids=left, attention_mask=left_mask, max_new_tokens=6, **options),
    )
    for row, length in enumerate(lengths):
        prompt = tokens.input_ids[row : row + 1, :length]
        alone = model.generate(memory[row : row + 1], input_ids=prompt, max_new_tokens=6, **options)[0, length:]
        assert torch.equal(from_right[row, ids.shape[1] :][: len(alone)], alone)


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"do_sample": True, "num_return_sequences": 3}])
def test_each_adapter_projects_a_video_once_however_long_and_wide_the_search(
    model: PseudoCap, frames: torch.Tensor, options: dict[str, int]
) -> None:
    calls: list[int] = []
    for adapter in model.adapters.values():
        for axis in (adapter.attention.time, adapter.attention.space):
            for projection in (axis.key, axis.value):
                projection.register_forward_hook(lambda *call: calls.append(call[2].shape[0]))
    model.generate(model.encode(frames), max_new_tokens=9, min_new_tokens=9, **options)
    assert calls == [3] * 4 * len(model.adapters)


def test_beam_search_finds_captions_at_least_as_likely_as_greedy(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames)

    def likelihood(ids: torch.Tensor) -> torch.Tensor:
        scores = model(ids, memory).logits[:, :-1].log_softmax(dim=-1)
        return scores.gather(2, ids[:, 1:, None])[..., 0].sum(dim=1)

    greedy, beams = (
        likelihood(model.generate(memory, max_new_tokens=6, min_new_tokens=6, num_beams=width, eos_token_id=-1))
        for width in (1, 50)
    )
    assert (beams >= greedy - 1e-4).all()


def test_sampling_repeats_with_its_seed_and_leaves_torchs_own_alone(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames)
    state = torch.get_rng_state()
    first, again, other = (model.generate(memory, do_sample=True, top_p=0.9, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("options", [{"num_beams": 4, "num_return_sequences": 3}, {"num_beams": 2, "use_cache": False}])
def test_beams_are_each_videos_own_whatever_is_returned_or_cached(
    model: PseudoCap, frames: torch.Tensor, options: dict[str, object]
) -> None:
    memory, returned = model.encode(frames), options.get("num_return_sequences", 1)
    together = model.generate(memory, max_new_tokens=5, min_new_tokens=5, eos_token_id=-1, **options)
    for video in range(3):
        one = memory[video : video + 1]
        alone = model.generate(one, max_new_tokens=5, min_new_tokens=5, eos_token_id=-1, **options)
        assert torch.equal(together[video * returned : (video + 1) * returned], alone)


@pytest.mark.parametrize("cast", ["half", "bfloat16"])
def test_the_whole_captioner_runs_in_half_precision(model: PseudoCap, frames: torch.Tensor, cast: str) -> None:
    tokens = model.tokenize(CAPTIONS)
    arguments = {"attention_mask": tokens.attention_mask, "labels": tokens.labels}
    full = model(tokens.input_ids, model.encode(frames), **arguments).loss
    half_model = getattr(model, cast)()
    memory = half_model.encode(frames)
    assert memory.time.dtype == half_model.dtype != torch.float32
    half = half_model(tokens.input_ids, memory, **arguments).loss
    assert half.item() == pytest.approx(full.item(), rel=0.05)
    assert half_model.generate(memory, max_new_tokens=4).shape[0] == 3


def test_the_gate_step_moves_convex_adapters(build: Build) -> None:
    model = build(fusion="convex", gate_schedule=GateSchedule(end=2.0, rate=0.1))
    model.set_gate_step(10)
    assert all(adapter.eta.item() > 1.2 for adapter in model.adapters.values())
    build().set_gate_step(10)  # residual gates have no schedule, and no objection


# Size


@pytest.mark.parametrize("frames", [8, 96])
def test_the_papers_network_builds_on_the_meta_device(frames: int) -> None:
    config = PseudoCapConfig(
        decoder=Backbone(source="facebook/opt-1.3b"),
        encoders={"video": Backbone(source="timesformer")},
        adapter_layers=(12, 14, 16, 18, 20, 22),
    )
    network = build_on_meta("opt-1.3b", TimeSformerConfig(num_frames=frames), config)
    counts = network.parameter_counts()
    width, memory = 2048, 768
    attention = 2 * (width * width + 2 * memory * width + 2 * memory) + 2 * width * width
    feed_forward = 8 * width * width + 5 * width
    assert counts.trainable == 6 * (attention + feed_forward + 2 * 2 * width + 2 * width)
    assert counts.frozen == 1_315_758_080 + 121_258_752 - 8 * memory + frames * memory
    assert counts.total == counts.frozen + counts.trainable
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


def test_an_unknown_shape_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no published OPT shape 'opt-1b'; there are opt-125m"):
        full_size("opt-1b")


# What cannot be


def test_an_adapter_past_the_last_layer_is_refused(build: Build) -> None:
    with pytest.raises(ConfigError, match="names layer 4, but the decoder's 4 layers are counted from 0 to 3"):
        build(adapter_layers=(1, 4))


def test_a_caption_longer_than_the_decoders_positions_is_refused(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames[:1])
    with pytest.raises(InputError, match="65 tokens do not fit the decoder's 64 positions"):
        model(torch.full((1, 65), 5), memory)
    with pytest.raises(InputError, match="64 positions"):
        model.tokenize(["square " * 200])
    for options in (
        {"max_new_tokens": 64},
        {"max_length": 65},
        {"generation_config": GenerationConfig(max_new_tokens=64)},
        {"generation_config": GenerationConfig(max_length=65)},
    ):
        with pytest.raises(InputError, match="65 tokens do not fit"):
            model.generate(memory, **options)


def test_memories_that_do_not_fit_are_refused(model: PseudoCap, frames: torch.Tensor) -> None:
    ids, memory = model.tokenize(CAPTIONS[:2]).input_ids, model.encode(frames)
    with pytest.raises(InputError, match="2 captions cannot be shared evenly by 3 videos"):
        model(ids, memory)
    wide = Memory.of_sight(
        time=torch.zeros(2, 4, 99),
        space=memory.space[:2],
        time_mask=memory.time_mask[:2],
        space_mask=memory.space_mask[:2],
    )
    with pytest.raises(InputError, match=r"memory.time must be \[B, vectors, 16\]"):
        model(ids, wide)
    memory.space_mask[0] = False
    with pytest.raises(InputError, match=r"memory.space_mask hides a whole video"):
        model.generate(memory)


def test_tokens_that_do_not_fit_are_refused(model: PseudoCap, frames: torch.Tensor) -> None:
    memory, ids = model.encode(frames), model.tokenize(CAPTIONS).input_ids
    with pytest.raises(InputError, match="input_ids must be whole numbers"):
        model(ids.float(), memory)
    with pytest.raises(InputError, match=r"input_ids reach from -100 .* is -100 left over from labels"):
        model(model.tokenize(CAPTIONS).labels, memory)
    with pytest.raises(TypeError, match=r"take memory\[0 : 1\]"):
        list(memory)
    with pytest.raises(InputError, match="attention_mask must be"):
        model(ids, memory, attention_mask=torch.ones(3, 2))
    with pytest.raises(InputError, match="exclude one another"):
        model(ids, memory, attention_mask=torch.ones_like(ids), position_ids=torch.zeros_like(ids))


# In other people's hands


def test_autocast_gives_nearly_the_same_loss_and_gradients(model: PseudoCap, frames: torch.Tensor) -> None:
    tokens, memory = model.tokenize(CAPTIONS), model.encode(frames)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    full, half = gradients
    assert torch.nn.functional.cosine_similarity(full, half, dim=0) > 0.98


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_lightning_carries_memories_and_tokens_and_checkpoints_no_frozen_weight(
    model: PseudoCap, frames: torch.Tensor, tmp_path: Path, precision: str
) -> None:
    class Regime(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.captioner = model

        def training_step(self, batch: tuple[CaptionTokens, Memory], index: int) -> torch.Tensor:
            tokens, memory = batch
            return self.captioner(
                tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels
            ).loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=1e-3)

    batches = [(model.tokenize(CAPTIONS), model.encode(frames))] * 2
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regime(), torch.utils.data.DataLoader(batches, batch_size=None))
    assert trainer.global_step == 2
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == {f"captioner.{name}" for name in model.trainable_names}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beam": 3}, r"no option 'num_beam' \(did you mean 'num_beams'\?\)"),
        ({"num_beams": 0}, "num_beams must be a whole number above 0, not 0"),
        ({"max_new_tokens": 5.5}, "max_new_tokens must be a whole number"),
        ({"max_new_tokens": "5"}, "max_new_tokens must be a whole number"),
        ({"seed": 2**70}, "seed must be a whole number"),
    ],
)
def test_options_that_generation_cannot_take_are_refused(
    model: PseudoCap, frames: torch.Tensor, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.generate(model.encode(frames), **options)


def test_a_long_prompt_leaves_the_default_length_what_room_there_is(model: PseudoCap, frames: torch.Tensor) -> None:
    ids = model.generate(model.encode(frames[:1]), input_ids=torch.full((1, 60), 5), eos_token_id=-1)
    assert ids.shape == (1, 64)


def test_frames_where_a_memory_is_wanted_are_told_apart(model: PseudoCap, frames: torch.Tensor) -> None:
    ids = model.tokenize(CAPTIONS).input_ids
    for wrong in (frames, None):
        with pytest.raises(InputError, match=r"memory must be what model.encode\(frames\) returns"):
            model.generate(wrong)
    with pytest.raises(InputError, match=r"memory must be what model.encode\(frames\) returns, not a Tensor"):
        model(ids, frames)
    with pytest.raises(InputError, match="frames must be a torch tensor, not a ndarray"):
        model.encode(frames.numpy())
    memory = model.encode(frames)
    memory.axes["space"] = memory[:1].axes["space"]
    with pytest.raises(InputError, match=r"memory.time holds 3 videos and memory.space 1"):
        model(ids, memory)


def test_labels_of_another_convention_are_refused(model: PseudoCap, frames: torch.Tensor) -> None:
    tokens = model.tokenize(CAPTIONS)
    with pytest.raises(InputError, match="or -100 for nothing to learn; these reach from -1"):
        model(tokens.input_ids, model.encode(frames), labels=tokens.labels.masked_fill(tokens.labels == -100, -1))


def test_ids_are_of_the_vocabulary_from_its_first_to_its_last(model: PseudoCap, frames: torch.Tensor) -> None:
    words, memory = model.decoder.config.vocab_size, model.encode(frames[:1])
    assert model(torch.tensor([[0, words - 1]]), memory).logits.shape == (1, 2, words)
    for wrong in (-1, words):
        with pytest.raises(InputError, match=f"beyond the vocabulary of {words}"):
            model(torch.tensor([[0, wrong]]), memory)
