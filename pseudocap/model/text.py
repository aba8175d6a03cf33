"""Prepare text as the network reads it: framing, prompts, padding, stop words, the mask token, and ids back to text.

A caption is framed by the tokenizer's own special tokens, `BOS caption EOS`. A prompt stands between BOS and the
caption and is never learned. Prompt and caption are joined by a space and encoded together, so that a caption has the
same tokens in training that generation would have to write after the prompt. Legend: N captions, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.errors import InputError
from pseudocap.model.loss import IGNORE

# The words that denoising may drop from a caption, as PseudoCap-Vid drops stop words; the list is ours.
WORDS = (
    "a an the and or of in on at to with for from by is are was were be been being as that this it its his her their"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """Hold the ids that open, close and pad a text.

    A text opens with what the tokenizer itself puts in front of one (XGLM's is `</s>`), or with BOS (GPT-2's tokenizer
    puts nothing there), or where there is none (Qwen), with EOS. Where there is no padding token EOS pads, so padding
    is always known by its mask and never by its id; in OPT and GPT-2 BOS and EOS are one id as well.
    """

    bos: int
    eos: int
    pad: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        plain, framed = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        opening = framed[0] if framed[:1] != plain[:1] else None
        eos = _first(tokenizer.eos_token_id, tokenizer.sep_token_id)
        if eos is None:
            raise InputError("the tokenizer has no EOS token, so a caption could not end; set its eos_token")
        opens = _first(opening, tokenizer.bos_token_id)
        pads = tokenizer.pad_token_id
        return cls(bos=eos if opens is None else opens, eos=eos, pad=eos if pads is None else pads)


@dataclass(kw_only=True, slots=True)
class CaptionTokens:
    """Hold captions as the network learns them: `BOS prompt caption EOS`, padded on the right.

    Only the caption and its EOS have labels: nothing predicts where a caption begins, and a prompt is given.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor

    def to(self, device: torch.device) -> CaptionTokens:
        return CaptionTokens(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


def encode(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids of a text alone. A caption from the web may contain `</s>`: there it is text, and ends nothing."""
    ids: list[int] = tokenizer(text.strip(), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def encode_after(prompt: str, caption: str, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the ids of a prompt, and those of the caption that follows it. The prompt's are those it has alone, as in
    generation, even with a tokenizer that would merge its end with the caption's start."""
    given = encode(prompt, tokenizer)
    if not given:
        return [], encode(caption, tokenizer)
    joined = encode(f"{prompt.strip()} {caption.strip()}", tokenizer)
    return given, joined[len(given) :] if joined[: len(given)] == given else encode(caption, tokenizer)


def tokenize_captions(
    captions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    marks: Marks,
    *,
    prompts: str | Sequence[str] | None = None,
    max_tokens: int | None = None,
) -> CaptionTokens:
    """Tokenize captions. A caption longer than `max_tokens` with its frame is cut and has no EOS, for it does not
    end there; a prompt comes on top and is not cut."""
    captions = [] if isinstance(captions, str) else list(captions)
    if not captions:
        raise InputError("captions must be a list of at least one text")
    for index, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            raise InputError(f"caption {index} must be a text with at least one word, not {caption!r}")
    rows, given = [], []
    for prompt, caption in zip(check_prompts(prompts, len(captions)), captions, strict=True):
        before, after = encode_after(prompt, caption, tokenizer)
        row = [marks.bos, *before, *after, marks.eos]
        rows.append(row if max_tokens is None else row[: len(before) + max_tokens])
        given.append(1 + len(before))
    ids_NL, real_NL = side_by_side(rows, marks.pad)
    learned_NL = real_NL & (torch.arange(ids_NL.shape[1]) >= torch.tensor(given)[:, None])
    return CaptionTokens(
        input_ids=ids_NL, attention_mask=real_NL.long(), labels=ids_NL.masked_fill(~learned_NL, IGNORE)
    )


def tokenize_prompts(
    prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase, marks: Marks
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask [N,L] of prompts to go on from, padded on the left."""
    ids_NL, real_NL = side_by_side([[marks.bos, *encode(prompt, tokenizer)][::-1] for prompt in prompts], marks.pad)
    return ids_NL.flip(1), real_NL.long().flip(1)


def check_prompts(prompts: str | Sequence[str] | None, count: int) -> list[str]:
    """Return one prompt for each of `count` captions: a single text serves all, and none is empty."""
    each = [prompts or ""] * count if isinstance(prompts, str | None) else list(prompts) or [""] * count
    if len(each) != count or not all(isinstance(prompt, str) for prompt in each):
        raise InputError(f"prompts must be one text or {count} of them, one for each row, not {prompts!r:.80}")
    return each


def side_by_side(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of ids padded on the right, and where they are real."""
    longest = max(len(row) for row in rows)
    ids_NL = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    return ids_NL, torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]


def detokenize(ids_NL: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Decode generated ids as captions, without what only frames them."""
    return [text.strip() for text in tokenizer.batch_decode(ids_NL, skip_special_tokens=True)]


def mask_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return what replaces a masked word: the mask token, or `<unk>` (OPT has it in the vocabulary, though the hub's
    tokenizer calls `</s>` its unknown), or the unknown token, or EOS (GPT-2, whose only special token it is)."""
    found = _first(tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids("<unk>"), tokenizer.eos_token_id)
    assert found is not None, "Marks.of requires EOS"
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class StopWords:
    """Hold ids of single-token stop words: behind a space, and as a caption's first word, which has none.

    Elsewhere a token without a space is a part of a word: the `it` of rabbit.
    """

    spaced: torch.Tensor
    leading: torch.Tensor

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        before = encode("x", tokenizer)

        def single(rows: list[list[int]]) -> torch.Tensor:
            return torch.tensor(sorted({row[0] for row in rows if len(row) == 1}), dtype=torch.long)

        words = WORDS.split()
        return cls(
            spaced=single([encode(f"x {word}", tokenizer)[len(before) :] for word in words]),
            leading=single([encode(word, tokenizer) for word in words]),
        )

    def within(self, ids_NL: torch.Tensor) -> torch.Tensor:
        """Return where captions `BOS ...` have one."""
        found_NL = torch.isin(ids_NL, self.spaced.to(ids_NL.device))
        found_NL[:, 1:2] |= torch.isin(ids_NL[:, 1:2], self.leading.to(ids_NL.device))
        return found_NL


def _first(*ids: int | None) -> int | None:
    return next((each for each in ids if each is not None), None)
