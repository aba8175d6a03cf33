"""Join tokens into words, so that attention can be reported for each word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Word:
    """Hold a word with its punctuation, and the indices of its tokens in the caption."""

    text: str
    tokens: tuple[int, ...]


def split_words(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> tuple[Word, ...]:
    """Return the words of a caption's tokens, in order. A token without text of its own (`<pad>`) belongs to none.

    A token may be a part of a letter (byte-level BPE), so texts of growing beginnings are compared, not single tokens.
    """
    ends = [0]
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=True)
        complete = text if count == len(ids) else text.rstrip("\ufffd")  # half a letter
        ends.append(max(ends[-1], len(complete)))
    special = set(tokenizer.all_special_ids)
    spans = [
        (index, begin, max(end, begin + 1))
        for index, (begin, end) in enumerate(pairwise(ends))
        if ids[index] not in special
    ]
    caption = tokenizer.decode(ids, skip_special_tokens=True)
    words, before = [], 0
    for match in re.finditer(r"\S+", caption):
        # The space before a word belongs to it, as in the tokens themselves.
        tokens = tuple(index for index, begin, end in spans if begin < match.end() and end > before)
        words.append(Word(match[0], tokens))
        before = match.end()
    return tuple(words)
