"""Text as the network reads it: prompts that are given and not learned, stop words, the mask token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.decoders import FAMILIES, write_decoder

from pseudocap import PseudoCap
from pseudocap.errors import InputError
from pseudocap.model.text import StopWords, encode_after, tokenize_captions

CAPTIONS = ["moves to the left", "a blue square moves up and then stops", "two dogs"]
PROMPTS = ["a red square", "", "who play guitar on a stage"]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> PseudoCap:
    folder = write_decoder(tmp_path_factory.mktemp("decoder") / "decoder", request.param)
    model = PseudoCap.from_backbones(decoder=folder, encoder=backbones / "timesformer", device="cpu")
    with torch.no_grad():
        for adapter in model.adapters.values():
            for parameter in adapter.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return model


def test_the_loss_with_a_prompt_is_that_of_the_captions_tokens_given_the_prompt(
    model: PseudoCap, frames: torch.Tensor
) -> None:
    memory = model.encode(frames)
    tokens = model.tokenize(CAPTIONS, PROMPTS)
    loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    scores, learned = [], 0
    for row, (prompt, caption) in enumerate(zip(PROMPTS, CAPTIONS, strict=True)):
        given, said = encode_after(prompt, caption, model.tokenizer)
        ids = torch.tensor([[model.decoder.bos_id, *given, *said, model.decoder.eos_id]])
        log_probs = model(ids, memory[row : row + 1]).logits[0, :-1].log_softmax(dim=-1)
        of_each = log_probs.gather(1, ids[0, 1:, None])[len(given) :, 0]  # the caption's and its end's
        scores.append(of_each.sum())
        learned += len(of_each)
    torch.testing.assert_close(loss, -sum(scores) / learned, atol=1e-5, rtol=1e-5)


def test_empty_prompts_change_nothing(model: PseudoCap, frames: torch.Tensor) -> None:
    before, memory = model.tokenize(CAPTIONS), model.encode(frames)
    for prompts in (None, (), "", ["", "", ""]):
        tokens = model.tokenize(CAPTIONS, prompts)
        assert torch.equal(tokens.input_ids, before.input_ids)
        assert torch.equal(tokens.attention_mask, before.attention_mask)
        assert torch.equal(tokens.labels, before.labels)
        assert torch.equal(
            model.generate(memory, prompt=prompts, max_new_tokens=4), model.generate(memory, max_new_tokens=4)
        )


def test_a_prompt_is_no_label_and_costs_the_caption_no_room(model: PseudoCap) -> None:
    tokens = model.tokenize(CAPTIONS, PROMPTS, max_tokens=5)
    for row, (prompt, caption) in enumerate(zip(PROMPTS, CAPTIONS, strict=True)):
        given, said = encode_after(prompt, caption, model.tokenizer)
        assert (tokens.labels[row, : 1 + len(given)] == -100).all()
        learned = tokens.labels[row, 1 + len(given) :]
        assert learned[learned != -100].tolist() == [*said, model.decoder.eos_id][:4]


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "top_k": 1}])
def test_prompts_of_different_lengths_go_on_as_each_alone(
    model: PseudoCap, frames: torch.Tensor, options: dict[str, object]
) -> None:
    memory = model.encode(frames)
    together = model.describe(memory, prompt=PROMPTS, max_new_tokens=6, **options)
    alone = [
        model.describe(memory[row : row + 1], prompt=prompt, max_new_tokens=6, **options)[0]
        for row, prompt in enumerate(PROMPTS)
    ]
    assert together == alone
    ids = model.generate(memory, prompt=PROMPTS, max_new_tokens=6, **options)
    for prompt, text, new in zip(PROMPTS, model.decode(ids), together, strict=True):
        assert text.startswith(prompt)
        assert text.removeprefix(prompt).strip() == new


def test_generation_goes_on_where_training_did(model: PseudoCap, frames: torch.Tensor) -> None:
    """What a prompt is to `generate` are the very tokens that stand before the labels in training."""
    tokens = model.tokenize(["left"], "a red square moves to the")
    assert model.decode(tokens.input_ids) == ["a red square moves to the left"]
    start = int((tokens.labels[0] == -100).sum())
    ids = model.generate(model.encode(frames[:1]), prompt="a red square moves to the", max_new_tokens=2)
    assert torch.equal(ids[0, :start], tokens.input_ids[0, :start])


def test_one_prompt_serves_all_and_others_are_refused(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames)
    one, three = (model.describe(memory, prompt=each, max_new_tokens=4) for each in ("a red", ["a red"] * 3))
    assert one == three
    with pytest.raises(InputError, match="prompts must be one text or 3 of them"):
        model.generate(memory, prompt=["a", "b"])
    with pytest.raises(InputError, match="prompts must be one text or 3 of them"):
        model.tokenize(CAPTIONS, ["a", "b", 3])
    with pytest.raises(InputError, match="as text or as input_ids, not both"):
        model.generate(memory, prompt="a", input_ids=torch.ones(3, 1, dtype=torch.long))


def test_stop_words_are_found_behind_a_space_and_at_the_start(model: PseudoCap) -> None:
    ids = model.tokenize(["a red square moves to the left"]).input_ids
    found = StopWords.of(model.tokenizer).within(ids)[0]
    words = [model.tokenizer.decode([token]).strip() for token in ids[0, found.nonzero()[:, 0]].tolist()]
    assert words == (["a", "the"] if len(model.tokenizer) < 60 else ["a", "to", "the"])  # XGLM's few pieces spell "to"


def test_a_masked_word_is_a_token_of_the_vocabulary(model: PseudoCap) -> None:
    token = model.tokenizer.convert_ids_to_tokens(model.mask_token_id)
    assert token in {"<unk>", model.tokenizer.eos_token}
    assert (token == "<unk>") == ("<unk>" in model.tokenizer.get_vocab())
    model.tokenizer.add_special_tokens({"mask_token": "two"})
    assert model.tokenizer.convert_ids_to_tokens(model.mask_token_id) == "two"


def test_a_caption_may_contain_what_ends_captions(build: Callable[..., PseudoCap]) -> None:
    model = build()
    tokens = tokenize_captions(["a</s>b"], model.tokenizer, model.decoder.marks)
    assert int((tokens.input_ids == model.decoder.eos_id).sum()) == 2
