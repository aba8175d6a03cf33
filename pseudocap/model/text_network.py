"""Join the network and its tokenizer: captions and prompts go in and come out as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.decoding import strip_unfinished
from pseudocap.errors import InputError
from pseudocap.memory import Memory
from pseudocap.model.attention import require_memory
from pseudocap.model.network import CaptionNetwork
from pseudocap.model.text import (
    CaptionTokens,
    check_prompts,
    detokenize,
    mask_token_id,
    tokenize_captions,
    tokenize_prompts,
)


class TextNetwork(CaptionNetwork):
    """Caption in text: a CaptionNetwork whose decoder has a tokenizer."""

    def tokenize(
        self, captions: Sequence[str], prompts: str | Sequence[str] | None = None, *, max_tokens: int | None = None
    ) -> CaptionTokens:
        """Tokenize captions to learn from, framed and padded on the right, each after its prompt, which is not learned.

        A caption longer than `max_tokens` is cut and has no closing token, for it does not end there.
        """
        tokens = tokenize_captions(captions, self.tokenizer, self.decoder.marks, prompts=prompts, max_tokens=max_tokens)
        self.decoder.check_length(tokens.input_ids.shape[1])
        return tokens.to(self.device)

    def generate(self, memory: Memory, *, prompt: str | Sequence[str] | None = None, **options: Any) -> torch.Tensor:
        """Generate ids [N, prompt + new] as CaptionNetwork.generate does, which go on from a `prompt`: one text for
        all videos or one for each, of any lengths."""
        if prompt is None or not any(prompt):
            return super().generate(memory, **options)
        require_memory(memory)
        if options.keys() & {"input_ids", "attention_mask"}:
            raise InputError("give generate a prompt as text or as input_ids, not both")
        ids, mask = tokenize_prompts(check_prompts(prompt, len(memory)), self.tokenizer, self.decoder.marks)
        return super().generate(memory, input_ids=ids, attention_mask=mask, **options)

    def describe(
        self, memory: Memory, *, prompt: str | Sequence[str] | None = None, finish: bool = False, **options: Any
    ) -> list[str]:
        """Return the captions that `generate` writes, without their prompt; `finish` drops what a caption had only
        begun when it came to the limit of tokens."""
        ids = self.generate(memory, prompt=prompt, **options)
        if prompt is not None and any(prompt):
            given, _ = tokenize_prompts(check_prompts(prompt, len(memory)), self.tokenizer, self.decoder.marks)
            ids = ids[:, given.shape[1] :]
        texts = self.decode(ids)
        if not finish:
            return texts
        return [strip_unfinished(text) if cut else text for text, cut in zip(texts, self.are_cut(ids), strict=True)]

    def are_cut(self, ids: torch.Tensor) -> list[bool]:
        """Return which captions came to the limit of tokens: a finished one ends with its end mark, or is padded."""
        marks = self.decoder.marks
        return [last not in (marks.eos, marks.pad) for last in ids[:, -1].tolist()]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        assert self.decoder.tokenizer is not None, "a captioner has text"
        return self.decoder.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.decoder.tokenizer = tokenizer

    @property
    def mask_token_id(self) -> int:
        """Return the token that stands in for a masked word."""
        return mask_token_id(self.tokenizer)

    def decode(self, ids: torch.Tensor) -> list[str]:
        """Decode generated ids as captions, without what only frames them."""
        return detokenize(ids, self.tokenizer)
