"""VALOR's network: what is aligned and how, what is written and answered, what learns."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.valors import build_valor, random_memory, write_valor_backbones

from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Memory
from pseudocap.model.retrieval import Embedded, fine_similarity
from pseudocap.model.valor import parse_group, plain_text
from pseudocap.model.valor_config import FUSIONS, ValorConfig
from pseudocap.valor import ValorModel

Build = Callable[..., ValorModel]
TEXTS = ["a red square moves to the left", "two dogs"]


@pytest.fixture(scope="module")
def build(backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    own = write_valor_backbones(tmp_path_factory.mktemp("valor"))
    built = functools.cache(lambda **settings: build_valor(backbones, own, **settings))
    return lambda **settings: copy.deepcopy(built(**settings))


def released_similarity(texts: Embedded, media: Embedded) -> torch.Tensor:
    """The released code's fine similarity, which multiplies products of padding by zero and takes maxima of those."""
    products = torch.einsum("and,bmd->abnm", texts.vectors, media.vectors)
    products = products * texts.mask[:, None, :, None] * media.mask[None, :, None]
    shares = [each.weights.masked_fill(~each.mask, -torch.inf).softmax(-1) for each in (texts, media)]
    one = torch.einsum("abn,an->ab", products.amax(3), shares[0])
    return (one + torch.einsum("abm,bm->ab", products.amax(2), shares[1])) / 2


def test_padding_is_in_no_maximum_where_the_released_code_takes_its_zeros() -> None:
    opposite = torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]])
    text = Embedded(opposite[:1], torch.tensor([[True]]), torch.zeros(1, 1))
    clip = Embedded(opposite[1:], torch.tensor([[True]]), torch.zeros(1, 1))
    released = released_similarity(text, clip)
    ours = _ours(text, clip)
    torch.testing.assert_close(ours, released)
    assert ours.item() == -1
    padded = clip.padded(3)
    torch.testing.assert_close(_ours(text, padded), ours)
    assert released_similarity(text, padded).item() == -0.5


def _ours(text: Embedded, clip: Embedded) -> torch.Tensor:
    return fine_similarity(
        text.vectors, clip.vectors, text_weights=text.weights, media_weights=clip.weights,
        text_mask=text.mask, media_mask=clip.mask,
    )  # fmt: skip


def test_a_frame_is_the_mean_of_its_patches_and_a_window_of_its_vectors(build: Build) -> None:
    model, memory = build(sight="patches"), random_memory(moments=4, silent=(2,))
    sound = model.config.sound_preprocess
    assert sound is not None
    model.config = replace(model.config, sound_preprocess=replace(sound, moments=3 / sound.seconds))
    memory.axes["sound"].mask[0, 2:] = False
    assert memory.patches is not None
    with torch.no_grad():
        found = model.embed_media(memory)
        frames = F.normalize(model.heads["V"](memory.patches.mean(2)), dim=-1)
        heard = memory.axes["sound"].vectors
        windows = F.normalize(model.heads["A"](torch.stack([heard[1, :3].mean(0), heard[1, 3]])), dim=-1)
        short = F.normalize(model.heads["A"](heard[0, :2].mean(0)), dim=-1)
    torch.testing.assert_close(found["V"].vectors, frames)
    torch.testing.assert_close(found["A"].vectors[1], windows)
    torch.testing.assert_close(found["A"].vectors[0, 0], short)
    assert found["A"].mask.tolist() == [[True, False], [True, True], [False, False]]


def test_both_modalities_side_by_side_are_one_fine_similarity_and_a_silent_clip_is_its_sight(build: Build) -> None:
    model, memory = build(), random_memory(silent=(1,))
    with torch.no_grad():
        texts, media = model.embed_states(model.read(TEXTS)), model.embed_media(memory)
        both = model.score(texts, media)
        seen = model.score(texts, media["V"])
        assert model.score(texts, model.embed_memory(memory)).equal(both)
    torch.testing.assert_close(both[:, 1], seen[:, 1])
    assert not torch.allclose(both[:, 0], seen[:, 0], atol=1e-3)


def test_scores_are_added_where_they_are_joined_late(build: Build) -> None:
    model, memory = build(joining="scores"), random_memory()
    with torch.no_grad():
        texts, media = model.embed_states(model.read(TEXTS)), model.embed_media(memory)
        apart = [model.score(texts, each) for each in media.values()]
        torch.testing.assert_close(model.score(texts, media), apart[0] + apart[1])


@pytest.mark.parametrize("joining", ["features", "scores"])
def test_a_coarse_alignment_has_one_vector_of_each(build: Build, joining: str) -> None:
    model, memory = build(alignment="coarse", joining=joining), random_memory(silent=(1,))
    with torch.no_grad():
        texts, media = model.embed_states(model.read(TEXTS)), model.embed_media(memory)
        both = model.embed_memory(memory) if joining == "features" else None
        scores = model.score(texts, media)
    assert texts.vectors.shape == (2, 1, 8)
    assert media["V"].vectors.shape == (3, 1, 8)
    assert scores.shape == (2, 3)
    if both is not None:
        torch.testing.assert_close(both.vectors[1], media["V"].vectors[1])
        torch.testing.assert_close(scores, texts.vectors[:, 0] @ both.vectors[:, 0].T)


@pytest.mark.parametrize("weighting", ["mlp", "linear", "equal"])
def test_weights_are_learned_as_released_or_as_printed_or_not(build: Build, weighting: str) -> None:
    model = build(weighting=weighting)
    with torch.no_grad():
        texts = model.embed_states(model.read(["a red square"]))
    kinds = {"mlp": torch.nn.Sequential, "linear": torch.nn.Linear}
    assert bool((texts.weights == 0).all()) == (weighting == "equal")
    assert {type(each) for each in model.weigh.values()} == ({kinds[weighting]} if weighting in kinds else set())
    assert model.temperature.item() == pytest.approx(0.07)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_batches_beams_and_caches_write_what_single_clips_do(build: Build, fusion: str) -> None:
    model, memory = build(fusion=fusion), random_memory(silent=(1,))
    options: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 4}
    together = model.describe(memory, **options)
    assert together[:2] == [model.describe(memory[row : row + 1], **options)[0] for row in range(2)]
    assert together == model.describe(memory, **options, use_cache=False)
    assert len({*together}) == 3


def test_a_caption_is_written_behind_a_mask_token_at_a_time(build: Build) -> None:
    """Greedy generation is the likeliest word at [MASK] behind what is written, over and over, by the plain network."""
    model, memory = build(), random_memory(clips=1)
    media, row = model.project(memory), [model.marks.bos]
    for _ in range(5):
        ids = torch.tensor([[*row, model.mask_id]])
        sees = torch.ones(1, len(row) + 1, len(row) + 1, dtype=torch.bool).tril()
        with torch.no_grad():
            row.append(int(model.bert.logits(model.bert.write(ids, sees, media))[0, -1].argmax()))
    assert model.generate(memory, max_new_tokens=5)[0].tolist() == row


def test_a_caption_by_one_modality_ignores_the_other(build: Build) -> None:
    model, memory, other = build(), random_memory(), random_memory(seed=1)
    both = Memory({**memory.axes, "sound": other.axes["sound"]}, memory.patches)
    options: dict[str, Any] = {"max_new_tokens": 6}
    assert model.describe(memory.only("v"), **options) == model.describe(both.only("v"), **options)
    assert model.describe(memory.only("a"), **options) != model.describe(both.only("a"), **options)
    assert model.describe(memory, **options) != model.describe(both, **options)


def test_answers_read_all_of_a_question_and_batch_equals_single(build: Build) -> None:
    model, memory = build(), random_memory()
    questions = ["what plays guitar on the stage", "two dogs?", "A SQUARE, left!"]
    options: dict[str, Any] = {"max_new_tokens": 4}
    together = model.answers(memory, questions, **options)
    assert together == [
        model.answers(memory[row : row + 1], [question], **options)[0] for row, question in enumerate(questions)
    ]
    assert model.answers(memory, ["what plays", "two dogs", "a square left"], **options)[1:] == together[1:]
    start = model.questions(["two dogs play"])[0]
    ids = torch.tensor([start])
    changed = ids.clone()
    changed[0, 3] = model.questions(["stage"])[0][1]
    first = [model.bert(each, prompt_length=5, prompt_sees="bidirectional").logits for each in (ids, changed)]
    assert not torch.allclose(*first)


def test_a_question_is_bidirectional_and_its_answer_causal(build: Build) -> None:
    model, seen = build(), []
    write = model.bert.write

    def spy(ids: torch.Tensor, sees: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        seen.append(sees[0].long().tolist())
        return write(ids, sees, *rest, **options)

    model.bert.write = spy  # type: ignore[method-assign]
    model.answers(random_memory(clips=1), ["dogs"], max_new_tokens=2)
    assert seen[0] == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]], "[CLS] dogs [SEP] and [MASK]"
    assert seen[1] == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], "the first token of the answer, and [MASK]"


def test_what_learns_is_declared_and_encoders_learn_only_if_they_should(build: Build) -> None:
    frames = torch.randn(2, 4, 3, 16, 16)
    frozen, complete = build(), build(learn_encoders=True)
    assert not any(name.startswith(("encoder.", "audio_encoder.")) for name in frozen.trainable_names)
    assert not frozen.encode(frames).time.requires_grad
    assert not any(name.startswith("encoder.") for name in frozen.state_dict())
    complete.train()
    assert complete.encoder.training
    assert not frozen.train().encoder.training
    complete.score(complete.embed_states(complete.read(TEXTS)), complete.embed_media(complete.encode(frames))).sum(
    ).backward()  # fmt: skip
    moved = {name for name, each in complete.named_parameters() if each.grad is not None}
    assert any(name.startswith("encoder.") for name in moved)
    assert moved <= complete.trainable_names
    again = build(learn_encoders=True, loud=False, seed=3)
    again.load_state_dict(complete.state_dict())
    again.eval(), complete.eval()
    torch.testing.assert_close(again.encode(frames).time, complete.encode(frames).time)


def test_groups_are_two_sides_of_modalities() -> None:
    assert parse_group("T-AV") == ("T", "AV")
    assert parse_group("A-TV") == ("A", "TV")
    for wrong in ("TAV", "T-", "T-T", "T-X", "T-TV"):
        with pytest.raises(ConfigError, match=f"a group is like T-V.*not '{wrong}'"):
            parse_group(wrong)


def test_texts_are_read_without_capitals_and_punctuation(build: Build) -> None:
    assert plain_text("A dog -- barks!  It's_loud.") == "a dog barks it s loud"
    model = build(max_tokens=6)
    ids, real = model.tokenize(["A RED, square.", "a red square moves to the left"])
    assert ids[0, :5].tolist() == model.tokenize(["a red square"])[0][0].tolist()
    assert real.sum(dim=1).tolist() == [5, 6]


def test_mistakes_are_reported_by_what_to_do(build: Build) -> None:
    model, memory = build(), random_memory()
    with pytest.raises(InputError, match=r"sight: patches reads every patch.*--patches"):
        model.embed_media(Memory(memory.axes))
    with pytest.raises(InputError, match="question 1 is '!!' and must have at least one word"):
        model.answers(memory, ["what", "!!", "who"])
    with pytest.raises(InputError, match="a question for each of 3 clips, not 1"):
        model.answers(memory, ["what"])
    with pytest.raises(InputError, match="3 tokens and 62 new ones do not fit the 64 positions"):
        model.answers(memory[:1], ["dogs"], max_new_tokens=62)
    with pytest.raises(InputError, match="text 0 is '' and must have"):
        model.read(["?!"])
    with pytest.raises(ConfigError, match=r"fusion must be one of .* not 'merg' .did you mean 'merge'"):
        build(fusion="merg")
    with pytest.raises(ConfigError, match=r"max_tokens is 64, and .* has 64 positions"):
        build(max_tokens=64)
    document = model.config.to_dict()
    assert ValorConfig.from_dict(document) == model.config
    with pytest.raises(ConfigError, match="unknown field fusoin"):
        ValorConfig.from_dict({**document, "fusoin": 1})
