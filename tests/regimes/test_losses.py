from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.errors import ConfigError
from pseudocap.memory import Memory
from pseudocap.model.text import StopWords
from pseudocap.regimes.losses import (
    Denoising,
    Noise,
    Objective,
    PerturbedCaptions,
    caption_losses,
    denoising_consistency,
    drop_features,
    gate_entropy,
    perturb,
    total_loss,
)

PAD, UNKNOWN, EDGE, STOP = 1, 3, 2, 50
LENGTHS = [12, 7, 3]


def make_captions(rows: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """`</s> 10 11 12 ... </s>` with a stop word at every third position, padded on the right."""
    ids = torch.full((len(LENGTHS), 12), PAD)
    for row, length in enumerate(LENGTHS):
        ids[row, 1 : length - 1] = torch.arange(10, 10 + length - 2)
        ids[row, 3 : length - 1 : 3] = STOP
        ids[row, 0] = ids[row, length - 1] = EDGE
    return ids.repeat(rows, 1), (ids != PAD).long().repeat(rows, 1)


def perturbed_with(
    noise: Noise, *, rows: int = 1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, PerturbedCaptions]:
    ids, mask = make_captions(rows)
    out = perturb(
        ids,
        mask,
        noise=noise,
        unknown_id=UNKNOWN,
        pad_id=PAD,
        stop_words=StopWords(spaced=torch.tensor([STOP]), leading=torch.tensor([STOP + 1])),
        generator=torch.Generator().manual_seed(seed),
    )
    return ids, mask, out


def test_no_noise_changes_nothing() -> None:
    ids, mask, out = perturbed_with(Noise(mask=0, swap=0, drop=0))
    assert torch.equal(out.input_ids, ids)
    assert torch.equal(out.attention_mask, mask)
    assert not out.touched_NL.any()


def test_masking_everything_leaves_only_the_frame() -> None:
    ids, mask, out = perturbed_with(Noise(mask=1, swap=0, drop=0))
    inner = mask.bool() & (ids != EDGE)
    assert (out.input_ids[inner] == UNKNOWN).all()
    assert torch.equal(out.input_ids[~inner], ids[~inner])
    assert torch.equal(out.touched_NL, inner)


def test_dropping_takes_every_stop_word_and_nothing_else() -> None:
    ids, mask, out = perturbed_with(Noise(mask=0, swap=0, drop=1))
    for row in range(len(ids)):
        kept = ids[row][mask[row].bool() & (ids[row] != STOP)]
        real = out.attention_mask[row].bool()
        assert torch.equal(out.input_ids[row][real], kept)
        assert torch.equal(ids[row][out.origin_NL[row][real]], kept)
        assert (out.input_ids[row][~real] == PAD).all()
        assert (out.origin_NL[row][~real] == -1).all()
        assert torch.equal(out.touched_NL[row], ids[row] == STOP)


def test_a_part_of_a_word_that_is_spelt_as_a_stop_word_is_none() -> None:
    """`it` without a space before it is a word at a caption's beginning, and a part of one elsewhere: rabb-it."""
    words = StopWords(spaced=torch.tensor([STOP]), leading=torch.tensor([STOP + 1]))
    ids = torch.tensor([[EDGE, STOP + 1, STOP + 1, STOP, STOP, EDGE]])
    assert words.within(ids).tolist() == [[False, True, False, True, True, False]]


def test_swapping_moves_each_token_by_one_place_at_most() -> None:
    ids, _, out = perturbed_with(Noise(mask=0, swap=0.7, drop=0), rows=50)
    swapped = 0
    for before, after, touched in zip(ids, out.input_ids, out.touched_NL, strict=True):
        position = 0
        while position < len(before):
            if touched[position]:
                assert (after[position], after[position + 1]) == (before[position + 1], before[position])
                assert touched[position + 1]
                swapped += 1
                position += 2
            else:
                assert after[position] == before[position]
                position += 1
    assert swapped > 50


def test_a_dropped_token_changes_places_with_none() -> None:
    ids, _, out = perturbed_with(Noise(mask=0, swap=1, drop=1), rows=5)
    for before, after, origin in zip(ids, out.input_ids, out.origin_NL, strict=True):
        kept = origin[origin >= 0]
        assert STOP not in after[: len(kept)]
        assert sorted(after[: len(kept)].tolist()) == sorted(before[kept].tolist())


def test_the_frame_is_never_touched_and_all_tokens_are_accounted_for() -> None:
    ids, mask, out = perturbed_with(Noise(mask=0.3, swap=0.4, drop=0.5), rows=100)
    for row in range(len(ids)):
        real = out.attention_mask[row].bool()
        end = int(mask[row].sum()) - 1
        assert out.input_ids[row][real][0] == out.input_ids[row][real][-1] == EDGE
        assert not out.touched_NL[row, [0, end]].any()
        origins = out.origin_NL[row][real]
        assert (origins.diff() > 0).all()
        gone = set(range(end + 1)) - set(origins.tolist())
        assert all(out.touched_NL[row, position] for position in gone)


def test_the_noise_is_a_function_of_the_generator() -> None:
    noise = Noise(mask=0.3, swap=0.3, drop=0.3)
    first, again, other = (perturbed_with(noise, rows=9, seed=seed)[2].input_ids for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_consistency_is_equations_9_to_11_token_by_token() -> None:
    ids, _, out = perturbed_with(Noise(mask=0.3, swap=0.2, drop=0.6), rows=4, seed=3)
    clean, noisy = torch.randn(*ids.shape, 20), torch.randn(*ids.shape, 20)
    terms = []
    for row in range(len(ids)):
        touched = out.touched_NL[row].nonzero()[:, 0].tolist()
        for position in range(1, int(out.attention_mask[row].sum())):
            target = int(out.origin_NL[row, position])
            p, q = clean[row, target - 1].softmax(-1), noisy[row, position - 1].softmax(-1)
            gamma = math.exp(-0.7 * min(abs(target - t) for t in touched)) if touched else 0.0
            terms.append(gamma * (p * (p / q).log()).sum())
    assert any(not out.touched_NL[row].any() for row in range(len(ids)))
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(denoising_consistency(clean, noisy, out, beta=0.7), expected)
    assert denoising_consistency(clean, noisy, out, beta=0.0).isfinite()


def test_a_prompt_is_neither_perturbed_nor_compared() -> None:
    """What remains is what a caption of its own would have had, with the prompt in BOS's place."""
    ids, mask = make_captions()
    given, prompt = torch.arange(30, 34).repeat(len(ids), 1), torch.zeros(len(ids), 16, dtype=torch.bool)
    prompt[:, 1:5] = True
    options = {"unknown_id": UNKNOWN, "pad_id": PAD, "stop_words": StopWords(spaced=given[0], leading=given[0])}
    out = perturb(
        torch.cat((ids[:, :1], given, ids[:, 1:]), dim=1),
        torch.cat((torch.ones_like(given), mask), dim=1),
        noise=Noise(mask=0.5, swap=0.5, drop=1),
        prompt_NL=prompt,
        generator=torch.Generator().manual_seed(1),
        **options,
    )
    assert torch.equal(out.input_ids[:, 1:5], given)
    assert not out.touched_NL[prompt].any()
    assert out.touched_NL.any()
    assert (out.origin_NL[:, 1:5] == -1).all()
    clean, noisy = torch.randn(*out.input_ids.shape, 20), torch.randn(*out.input_ids.shape, 20)
    alone = PerturbedCaptions(
        input_ids=out.input_ids[:, 4:],
        attention_mask=out.attention_mask[:, 4:],
        origin_NL=torch.cat((torch.zeros(len(ids), 1).long(), (out.origin_NL[:, 5:] - 4).clamp(min=-1)), dim=1),
        touched_NL=out.touched_NL[:, 4:],
    )
    torch.testing.assert_close(
        denoising_consistency(clean, noisy, out, beta=0.7),
        denoising_consistency(clean[:, 4:], noisy[:, 4:], alone, beta=0.7),
    )


def test_equal_predictions_cost_nothing_and_only_the_noisy_side_learns() -> None:
    ids, _, out = perturbed_with(Noise(mask=0.5, swap=0, drop=0))
    clean = torch.randn(*ids.shape, 20, requires_grad=True)
    noisy = clean.detach().clone().requires_grad_()
    assert denoising_consistency(clean, noisy, out, beta=0.5).item() == pytest.approx(0.0, abs=1e-6)
    loss = denoising_consistency(clean, torch.randn_like(noisy) + 0 * noisy, out, beta=0.5)
    loss.backward()
    assert clean.grad is None
    assert loss.item() > 0


def test_captions_with_nothing_to_compare_cost_nothing() -> None:
    ids = torch.tensor([[EDGE]])
    out = PerturbedCaptions(
        input_ids=ids,
        attention_mask=ids.clamp(max=1),
        origin_NL=torch.zeros_like(ids),
        touched_NL=torch.zeros_like(ids).bool(),
    )
    logits = torch.randn(1, 1, 20, requires_grad=True)
    loss = denoising_consistency(logits, logits, out, beta=0.5)
    loss.backward()
    assert loss.item() == 0.0


def test_the_denoising_weight_waits_and_then_saturates() -> None:
    denoising = Denoising(warmup=500, delta=0.001, weight=0.1)
    assert denoising.weight_at(500) == 0.0
    assert denoising.weight_at(501) == pytest.approx(0.1 * (1 - math.exp(-0.501)))
    assert denoising.weight_at(10**6) == pytest.approx(0.1)


def test_gate_entropy_is_lowest_at_one_half_and_exact_at_the_ends() -> None:
    half, ends = torch.full((5,), 0.5), torch.tensor([0.0, 1.0])
    assert gate_entropy([half, half]).item() == pytest.approx(-math.log(2))
    assert gate_entropy([ends]).item() == 0.0
    saturated = torch.tensor([-200.0, 0.0, 20.0, 200.0], requires_grad=True)
    gate_entropy([torch.sigmoid(saturated)]).backward()
    assert saturated.grad.isfinite().all()
    mixed = torch.tensor([0.2, 0.9])
    by_hand = sum(g * math.log(g) + (1 - g) * math.log(1 - g) for g in (0.2, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5)) / 7
    assert gate_entropy([mixed, half]).item() == pytest.approx(by_hand)


def test_the_total_is_the_weighted_sum_of_what_was_computed() -> None:
    caption, denoising, entropy = torch.tensor(2.0), torch.tensor(3.0), torch.tensor(-0.5)
    assert total_loss(caption).item() == 2.0
    assert total_loss(caption, (0.1, denoising), (0.01, entropy)).item() == pytest.approx(2.295)


def test_a_probability_beyond_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"noise.drop is a probability"):
        Noise(drop=1.5)
    with pytest.raises(ConfigError, match=r"denoising.beta must be 0 or more"):
        Denoising(beta=-1.0)


def test_a_share_of_the_memory_is_dropped_and_its_mean_stays() -> None:
    memory = Memory.of_sight(time=torch.ones(4, 8, 64), space=torch.ones(4, 16, 64))
    same, again, other = (drop_features(memory, 0.25, torch.Generator().manual_seed(seed)).space for seed in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    assert float((same == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert float(same.mean()) == pytest.approx(1.0, abs=0.03)
    assert drop_features(memory, 0.0, torch.Generator()) is memory
    for name in ("smoothing", "memory_dropout"):
        with pytest.raises(ConfigError, match=f"objective.{name}"):
            Objective(**{name: 1.0})


def test_the_defaults_add_nothing_and_denoise_as_the_papers_do_with_our_noise() -> None:
    nothing = {"denoising": None, "gate_entropy": 0.0, "smoothing": 0.0, "memory_dropout": 0.0}
    assert asdict(Objective()) == {**nothing, "max_tokens": 64}
    noise = {"mask": 0.1, "swap": 0.1, "drop": 0.3}
    assert asdict(Denoising()) == {"noise": noise, "beta": 0.5, "weight": 0.1, "delta": 1e-3, "warmup": 500}


LOUD = Objective(
    denoising=Denoising(noise=Noise(mask=0.4, swap=0.3, drop=0.5), beta=0.9, weight=0.5, delta=0.25, warmup=1),
    gate_entropy=0.125,
)


def test_the_losses_of_a_step_are_those_of_its_captions_noise_and_gates(
    build: Callable[..., PseudoCap], frames: torch.Tensor
) -> None:
    """Equation 14 from its parts: the noisy captions see the same video, and prompts stay as they are."""
    model = build(fusion="convex")
    tokens = model.tokenize(("red dogs play it", "two dogs play", "a stage"), ("a", "", "what is there?"))
    memory, words, ids = model.encode(frames), StopWords.of(model.tokenizer), tokens.input_ids
    prompts = (tokens.labels == -100) & tokens.attention_mask.bool()
    prompts[:, 0] = False
    options = {"noise": LOUD.denoising.noise, "unknown_id": model.mask_token_id, "pad_id": model.decoder.pad_id}
    noisy = perturb(
        ids,
        tokens.attention_mask,
        prompt_NL=prompts,
        stop_words=words,
        generator=torch.Generator().manual_seed(5),
        **options,
    )
    assert not torch.equal(noisy.input_ids, ids)
    plain = model(ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels, return_logits=True)
    other = model(noisy.input_ids, memory, attention_mask=noisy.attention_mask).logits
    gates = torch.cat([gate.flatten() for each in model.adapters.values() for gate in each.gates().values()])
    entropy = float((gates * gates.log() + (1 - gates) * (1 - gates).log()).mean())
    consistency = float(denoising_consistency(plain.logits, other, noisy, beta=0.9))
    assert consistency > 1e-3

    def found(step: int, objective: Objective = LOUD) -> dict[str, float]:
        losses = caption_losses(
            model,
            tokens,
            memory,
            objective,
            step=step,
            generator=torch.Generator().manual_seed(5),
            stop_words=words,
        )
        return {
            "total": float(losses.total.detach()),
            **{name: float(part.detach()) for name, part in losses.parts.items()},
        }

    parts = {"caption": float(plain.loss), "denoising": consistency, "gate_entropy": entropy}
    total = float(plain.loss) + 0.5 * (1 - math.exp(-0.25 * 4)) * consistency + 0.125 * entropy
    assert found(4) == pytest.approx({"total": total, **parts}, rel=1e-5)
    del parts["denoising"]
    assert found(1) == pytest.approx({"total": float(plain.loss) + 0.125 * entropy, **parts}, rel=1e-5)
    smooth = model(ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels, smoothing=0.3).loss
    assert found(0, Objective(smoothing=0.3))["total"] == pytest.approx(float(smooth), rel=1e-6)
    less = replace(memory, axes={name: replace(axis) for name, axis in memory.axes.items()})
    less = drop_features(less, 0.5, torch.Generator().manual_seed(5))
    dropped = model(ids, less, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    assert found(0, Objective(memory_dropout=0.5))["total"] == pytest.approx(float(dropped), rel=1e-6)
    assert abs(float(dropped) - float(plain.loss)) > 1e-4
