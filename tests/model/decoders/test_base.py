"""What every decoder promises, whatever its family: the laws of the network on a tiny real model of each."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.captions import CAPTIONS
from transformers import AutoModelForCausalLM, CompileConfig

from pseudocap import PseudoCap
from pseudocap.errors import ConfigError, InputError
from pseudocap.model.packing import Packing

Captioner = Callable[..., PseudoCap]
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
ENDLESS = {"max_new_tokens": 8, "min_new_tokens": 8, "eos_token_id": -1, "do_sample": False}


def padded_left(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    order = mask.argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def grow_greedily(model: PseudoCap, ids: torch.Tensor, memory: object, steps: int) -> torch.Tensor:
    """Without a cache, a step at a time."""
    for _ in range(steps):
        ids = torch.cat((ids, model(ids, memory).logits[:, -1].argmax(dim=-1, keepdim=True)), dim=1)
    return ids


@pytest.mark.parametrize("side", ["left", "right"])
def test_closed_gates_give_exactly_the_plain_models_logits(
    captioner: Captioner, decoders: Path, frames: torch.Tensor, other_family: str, side: str
) -> None:
    model = captioner(other_family, gate_init=0.0)
    plain = AutoModelForCausalLM.from_pretrained(decoders / other_family).eval()
    tokens = model.tokenize(CAPTIONS)
    ids, mask = tokens.input_ids, tokens.attention_mask
    if side == "left":
        ids, mask = padded_left(ids, mask)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    expected = plain(ids, attention_mask=mask, position_ids=positions).logits
    for memory in (model.encode(frames), None):
        torch.testing.assert_close(
            model(ids, memory, attention_mask=mask).logits[mask.bool()], expected[mask.bool()], atol=0, rtol=0
        )


def test_a_changed_token_changes_no_logit_before_it(
    captioner: Captioner, frames: torch.Tensor, other_family: str
) -> None:
    model = captioner(other_family)
    memory, ids = model.encode(frames[:1]), model.tokenize(CAPTIONS[2:]).input_ids
    before = model(ids, memory).logits
    for place in range(1, ids.shape[1]):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 7) % 40
        after = model(changed, memory).logits
        torch.testing.assert_close(after[:, :place], before[:, :place], atol=1e-6, rtol=1e-6)
        assert not torch.equal(after[:, place], before[:, place])


def test_every_video_and_every_adapter_is_heard(captioner: Captioner, frames: torch.Tensor, family: str) -> None:
    model = captioner(family)
    ids = model.tokenize(CAPTIONS).input_ids
    before = model(ids, model.encode(frames)).logits
    assert not torch.allclose(before, model(ids, model.encode(frames.flip(0))).logits, atol=1e-4)
    for layer in model.adapters:
        quieter = copy.deepcopy(model)
        with torch.no_grad():
            quieter.adapters[layer].attention_gate.zero_()
        assert not torch.allclose(before, quieter(ids, model.encode(frames)).logits, atol=1e-4), layer
        torch.testing.assert_close(before, model(ids, model.encode(frames)).logits)  # the copy has adapters of its own


@pytest.mark.parametrize("each", [1, 2])
def test_packed_captions_have_the_losses_and_gradients_of_captions_alone(
    captioner: Captioner, frames: torch.Tensor, other_family: str, each: int
) -> None:
    model, captions = captioner(other_family), [*CAPTIONS, "a"]
    memory = model.encode(frames.repeat(2, 1, 1, 1, 1)[: len(captions) // each])
    tokens = model.tokenize(captions)
    assert Packing.of(tokens.attention_mask) is not None
    loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    loss.backward()
    packed = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    alone = [model.tokenize([caption]) for caption in captions]
    learned, total = sum(int((one.labels != -100).sum()) for one in alone), 0.0
    for place, one in enumerate(alone):
        share = int((one.labels != -100).sum()) / learned
        part = model(one.input_ids, memory[torch.tensor([place // each])], labels=one.labels).loss * share
        part.backward()
        total += float(part)
    assert float(loss) == pytest.approx(total, rel=1e-5)
    assert packed.keys() == model.trainable_names
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(packed[name], parameter.grad, **TOLERANCE)


def test_no_caption_sees_another_in_its_row(captioner: Captioner, frames: torch.Tensor, other_family: str) -> None:
    model = captioner(other_family)
    memory, tokens = model.encode(frames), model.tokenize(CAPTIONS)
    assert Packing.of(tokens.attention_mask) is not None
    other = tokens.input_ids.clone()
    other[0, 2] += 1
    options = {"attention_mask": tokens.attention_mask, "labels": tokens.labels, "return_logits": True}
    one, two = (model(ids, memory, **options).logits for ids in (tokens.input_ids, other))
    real = tokens.attention_mask.bool()
    assert torch.equal(one[1:][real[1:]], two[1:][real[1:]])
    assert not torch.equal(one[0][real[0]], two[0][real[0]])


def test_nothing_is_computed_for_padding_and_nothing_recorded_below_the_first_adapter(
    captioner: Captioner, frames: torch.Tensor, family: str
) -> None:
    model = captioner(family, adapter_layers=(2, 3))
    memory, tokens, seen = model.encode(frames), model.tokenize(CAPTIONS), []
    for layer in model.decoder.layers:
        layer.register_forward_hook(lambda _, given, out: seen.append((out.shape[:2].numel(), out.requires_grad)))
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels)
    real = int(tokens.attention_mask.sum())
    assert seen == [(real, False), (real, False), (real, True), (real, True)]


@pytest.mark.parametrize("cache", [None, "static"])
def test_cached_decoding_equals_uncached(
    captioner: Captioner, frames: torch.Tensor, other_family: str, cache: str | None
) -> None:
    model = captioner(other_family)
    memory = model.encode(frames)
    begin = torch.full((3, 1), model.decoder.bos_id)
    ids = model.generate(memory, **ENDLESS, **({"cache_implementation": cache} if cache else {}))
    assert torch.equal(ids, grow_greedily(model, begin, memory, 8))
    assert len({tuple(row) for row in ids.tolist()}) == 3  # the videos do speak differently


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "llama", "xglm"])  # OPT's is in test_network; Qwen2's window fills up
def test_a_step_with_a_static_cache_is_one_graph_for_all_steps(
    captioner: Captioner, frames: torch.Tensor, family: str
) -> None:
    model = captioner(family)
    memory, graphs = model.encode(frames), []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    config = CompileConfig(fullgraph=True, backend=keep, mode=None)  # which refuses a step in several graphs
    config._compile_all_devices = True
    ids = model.generate(memory, cache_implementation="static", compile_config=config, **ENDLESS)
    assert torch.equal(ids, model.generate(memory, **ENDLESS))
    assert len(graphs) == 1


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"num_beams": 3, "no_repeat_ngram_size": 2}])
def test_a_batch_of_videos_of_different_lengths_equals_each_alone(
    captioner: Captioner, other_family: str, options: dict[str, int]
) -> None:
    model = captioner(other_family)
    clips = [torch.randn(frames, 3, 16, 16) for frames in (2, 4, 1)]
    batch, mask = torch.zeros(3, 4, 3, 16, 16), torch.zeros(3, 4, dtype=torch.bool)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, True
    together = model.generate(model.encode(batch, mask), max_new_tokens=8, **options)
    for row, clip in enumerate(clips):
        alone = model.generate(model.encode(clip[None]), max_new_tokens=8, **options)[0]
        assert torch.equal(together[row, : len(alone)], alone)
        assert (together[row, len(alone) :] == model.decoder.pad_id).all()


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_prompts_may_be_padded_on_either_side(
    captioner: Captioner, frames: torch.Tensor, other_family: str, options: dict[str, int]
) -> None:
    model = captioner(other_family)
    memory, tokens = model.encode(frames), model.tokenize(CAPTIONS)
    ids, mask = tokens.input_ids, tokens.attention_mask
    from_right = model.generate(memory, input_ids=ids, attention_mask=mask, max_new_tokens=6, **options)
    left, left_mask = padded_left(ids, mask)
    assert torch.equal(
        from_right, model.generate(memory, input_ids=left, attention_mask=left_mask, max_new_tokens=6, **options)
    )
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        alone = model.generate(
            memory[row : row + 1], input_ids=ids[row : row + 1, :length], max_new_tokens=6, **options
        )
        assert torch.equal(from_right[row, ids.shape[1] :][: alone.shape[1] - length], alone[0, length:])


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"do_sample": True, "num_return_sequences": 3}])
def test_each_adapter_projects_a_video_once_however_long_and_wide_the_search(
    captioner: Captioner, frames: torch.Tensor, other_family: str, options: dict[str, int]
) -> None:
    model, calls = captioner(other_family), []
    for adapter in model.adapters.values():
        for axis in (adapter.attention.time, adapter.attention.space):
            for projection in (axis.key, axis.value):
                projection.register_forward_hook(lambda *call: calls.append(call[2].shape[0]))
    model.generate(model.encode(frames), max_new_tokens=9, min_new_tokens=9, **options)
    assert calls == [3] * 4 * len(model.adapters)


def test_sampling_repeats_with_its_seed(captioner: Captioner, frames: torch.Tensor, other_family: str) -> None:
    model = captioner(other_family)
    memory = model.encode(frames)
    first, again, other = (model.generate(memory, do_sample=True, top_p=0.9, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_saved_and_loaded_it_gives_the_same_logits(
    captioner: Captioner, frames: torch.Tensor, other_family: str, tmp_path: Path
) -> None:
    model = captioner(other_family)
    model.save_pretrained(tmp_path / "saved")
    again = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")
    tokens, memory = model.tokenize(CAPTIONS), model.encode(frames)
    assert torch.equal(model(tokens.input_ids, memory).logits, again(tokens.input_ids, memory).logits)
    assert type(again.decoder) is type(model.decoder)
    assert torch.equal(again.tokenize(CAPTIONS).input_ids, tokens.input_ids)


def test_one_step_moves_exactly_the_declared_trainables(
    captioner: Captioner, frames: torch.Tensor, other_family: str
) -> None:
    model = captioner(other_family).train()
    assert not any(module.training for module in model.decoder.lm.modules())
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    tokens = model.tokenize(CAPTIONS)
    optimiser = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.1)
    memory = model.encode(frames)
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
    optimiser.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == model.trainable_names
    assert model.state_dict().keys() == model.trainable_names


def test_the_frozen_model_keeps_its_pretrained_keys(captioner: Captioner, decoders: Path, family: str) -> None:
    model = captioner(family)
    plain = AutoModelForCausalLM.from_pretrained(decoders / family).state_dict()
    assert model.decoder.lm.state_dict().keys() == plain.keys()


def test_two_threads_do_not_see_each_others_video(captioner: Captioner, frames: torch.Tensor, family: str) -> None:
    """Two captioners, each of which captions two videos at once; they meet before the first adapter."""
    models = [captioner(family), captioner(family, adapter_layers=(1, 2), fusion="convex")]
    jobs = [(model, model.encode(frames[row : row + 1])) for model in models for row in range(2)]
    expected = [model.generate(memory, **ENDLESS) for model, memory in jobs]
    assert len({tuple(ids[0].tolist()) for ids in expected}) == len(jobs)
    meeting = threading.Barrier(len(jobs), timeout=30)

    def meet(*_: object) -> None:
        meeting.wait()

    for model in models:  # all wait for each other in every step, so that no thread is through before the next begins
        model.decoder.layers[0].register_forward_hook(meet)
    got: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda job=job: got.update({job: jobs[job][0].generate(jobs[job][1], **ENDLESS)}))
        for job in range(len(jobs))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job, ids in enumerate(expected):
        assert torch.equal(got[job], ids)


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_fewer_bits_write_nearly_the_same_logits(
    captioner: Captioner, frames: torch.Tensor, other_family: str, precision: str
) -> None:
    model = captioner(other_family)
    tokens, memory = model.tokenize(CAPTIONS), model.encode(frames)
    before, counts = model(tokens.input_ids, memory).logits, model.parameter_counts()
    model.set_precision(precision)
    after = model(tokens.input_ids, memory).logits
    assert not torch.equal(before, after)
    assert torch.nn.functional.cosine_similarity(before, after, dim=-1).min() > 0.98
    assert model.parameter_counts() == counts
    assert model.generate(memory, num_beams=2, max_new_tokens=3).shape[0] == 3
    with pytest.raises(ConfigError, match="cannot be trained"):
        model.train()


def test_the_tokenizers_own_tokens_frame_a_text(captioner: Captioner, family: str) -> None:
    model = captioner(family)
    decoder, tokenizer = model.decoder, model.tokenizer
    opening, closing, padding = {
        "opt": ("</s>", "</s>", "<pad>"),
        "gpt2": ("<|endoftext|>", "<|endoftext|>", "<|endoftext|>"),
        "llama": ("<|begin_of_text|>", "<|end_of_text|>", "<|end_of_text|>"),
        "qwen2": ("<|endoftext|>", "<|endoftext|>", "<|endoftext|>"),
        "xglm": ("</s>", "</s>", "<pad>"),
    }[family]
    ids = decoder.frame("a red square")
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1], decoder.pad_id]) == [opening, closing, padding]
    assert (decoder.bos_id, decoder.eos_id) == (ids[0], ids[-1])
    assert model.decode(torch.tensor([ids])) == ["a red square"]
    assert model.generate(model.encode(torch.zeros(1, 1, 3, 16, 16)), max_new_tokens=1)[0, 0] == ids[0]


def test_a_decoder_says_what_it_is_made_of(captioner: Captioner, frames: torch.Tensor, family: str) -> None:
    model = captioner(family)
    decoder = model.decoder
    assert (decoder.width, decoder.positions, len(decoder.layers)) == (16, 64, 4)
    assert decoder.heads == (4 if family in ("llama", "qwen2") else 2)
    ids = model.tokenize(CAPTIONS).input_ids
    assert decoder.embed(ids).shape == (*ids.shape, 16)
    hidden = decoder.hidden(ids, model.encode(frames))
    assert torch.equal(decoder.logits(hidden), model(ids, model.encode(frames)).logits)
    with pytest.raises(InputError, match="65 tokens do not fit the decoder's 64 positions"):
        decoder.check_length(65)
