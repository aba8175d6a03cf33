"""The words that denoising may drop from a caption, as PseudoCap-Vid drops stop words; the list is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from transformers import PreTrainedTokenizerBase

WORDS = (
    "a an the and or of in on at to with for from by is are was were be been being as that this it its his her their"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StopWords:
    """Their ids, of those that are a single token: behind a space, and as a caption's first word, which has none.

    Elsewhere a token without a space is a part of a word: the `it` of rabbit.
    """

    spaced: torch.Tensor
    leading: torch.Tensor

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        def single(words: list[str]) -> torch.Tensor:
            ids = tokenizer(words, add_special_tokens=False)["input_ids"]
            return torch.tensor(sorted({row[0] for row in ids if len(row) == 1}), dtype=torch.long)

        return cls(spaced=single([f" {word}" for word in WORDS.split()]), leading=single(WORDS.split()))

    def within(self, ids_NL: torch.Tensor) -> torch.Tensor:
        """Where captions `</s> ...` have one."""
        found_NL = torch.isin(ids_NL, self.spaced.to(ids_NL.device))
        found_NL[:, 1:2] |= torch.isin(ids_NL[:, 1:2], self.leading.to(ids_NL.device))
        return found_NL
