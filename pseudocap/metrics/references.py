"""Turn captions into arrays: references prepared once, predictions aligned with them.

Everything that the n-gram scores need of the references (which n-grams, how often, how rare) depends on them alone.
Preparing it takes most of a score's time, so a training run does it once and every validation is a look-up.
A caption's words become numbers, and its n-grams the numbers of (n-1)-gram and next word: no tuples, no hashing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudocap.errors import DataError
from pseudocap.metrics.tokenization import tokenization

ORDERS = (1, 2, 3, 4)
LOW = (1 << 32) - 1
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class _Numbers(dict[str, int]):
    """Map words to numbers; a new word gets the next one."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


@dataclass(frozen=True, kw_only=True)
class Words:
    """Hold the words of many captions in one row: of each, its caption, and how many are left, itself included."""

    word: Ints
    caption: Ints
    ahead: Ints
    lengths: Ints

    @classmethod
    def of(cls, texts: Iterable[list[str]], number: Callable[[str], int]) -> Words:
        rows = list(texts)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ends = np.repeat(np.cumsum(lengths), lengths)
        return cls(
            word=np.fromiter(map(number, chain.from_iterable(rows)), np.int64, int(lengths.sum())),
            caption=np.repeat(np.arange(len(rows)), lengths),
            ahead=ends - np.arange(len(ends)),
            lengths=lengths,
        )


@dataclass(frozen=True, kw_only=True)
class NgramOrder:
    """Hold the references' n-grams of one length."""

    known: Ints  # sorted (number of the first n-1 words, number of the last): an n-gram's number is its index here
    rarity: Floats  # of each n-gram: log of videos over videos that have it
    video_gram: Ints  # sorted (video, n-gram), each once
    most: Ints  # how often, at most, one reference of the video has it
    first: Ints  # where its references begin in the two arrays below
    caption: Ints
    weight: Floats  # term frequency times rarity
    norm: Floats  # of each reference's weights


class References:
    """Prepare {video: its captions}: tokenise and count. Pass it to `score` when the same videos are scored again.
    `language` decides how they and the predictions are tokenised, which `tokenization` names."""

    def __init__(self, captions: Mapping[Any, Sequence[str]], *, language: str = "en") -> None:
        _check(captions)
        self.language = language
        self.tokenization, self.tokenize = tokenization(language)
        self.captions = {video: list(texts) for video, texts in captions.items()}
        self.index = {video: number for number, video in enumerate(captions)}
        self.texts = [self.tokenize(text) for texts in self.captions.values() for text in texts]
        self.per_video = np.fromiter(map(len, self.captions.values()), np.int64, len(self.captions))
        self.video = np.repeat(np.arange(len(self.captions)), self.per_video)
        self.numbers = _Numbers()
        self.words = Words.of(map(str.split, self.texts), self.numbers.__getitem__)
        self.tokens = self.words
        if any(map(separated, self.texts)):
            self.tokens = Words.of(map(split_tokens, self.texts), self.numbers.__getitem__)

    def __len__(self) -> int:
        return len(self.captions)

    @cached_property
    def orders(self) -> list[NgramOrder]:
        made, code = [], self.words.word
        for n in ORDERS:
            at = np.flatnonzero(self.words.ahead >= n)
            keys = code[at] << 32 | self.words.word[at + n - 1] if n > 1 else self.words.word[at]
            known, numbers = np.unique(keys, return_inverse=True)
            code = np.zeros_like(self.words.word)
            code[at] = numbers
            made.append(self._order(known, caption=self.words.caption[at], gram=numbers))
        return made

    def _order(self, known: Ints, *, caption: Ints, gram: Ints) -> NgramOrder:
        keys, times = np.unique(caption << 32 | gram, return_counts=True)
        caption, gram = keys >> 32, keys & LOW
        of_video = self.video[caption] << 32 | gram
        by_video = np.argsort(of_video, kind="stable")
        video_gram, first = np.unique(of_video[by_video], return_index=True)
        videos_with = np.bincount(video_gram & LOW, minlength=len(known))
        rarity = np.log(len(self)) - np.log(np.maximum(1, videos_with))
        weight = times * rarity[gram]
        return NgramOrder(
            known=known,
            rarity=rarity,
            video_gram=video_gram,
            most=np.maximum.reduceat(times[by_video], first) if len(first) else first,
            first=np.append(first, len(by_video)),
            caption=caption[by_video],
            weight=weight[by_video],
            norm=np.sqrt(np.bincount(caption, weight**2, minlength=len(self.texts))),
        )

    @cached_property
    def columns(self) -> Columns:
        return Columns.of(self)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Hold the references transposed, for ROUGE-L: all first words, all second words, longest captions first."""

    captions: Ints  # longest first
    lengths: Ints  # in that order
    video_word: Ints  # sorted (video, word), each once
    pair: list[Ints]  # pair[j]: which of those the j-th word is, of every caption that is so long

    @classmethod
    def of(cls, references: References) -> Columns:
        words = references.tokens
        video_word, pair = np.unique(references.video[words.caption] << 32 | words.word, return_inverse=True)
        captions = np.argsort(-words.lengths, kind="stable")
        lengths = words.lengths[captions]
        begin = (np.cumsum(words.lengths) - words.lengths)[captions]
        longest = int(lengths.max(initial=0))
        long_enough = [int(np.searchsorted(-lengths, -j, side="left")) for j in range(longest)]
        return cls(
            captions=captions,
            lengths=lengths,
            video_word=video_word,
            pair=[pair[begin[:count] + j] for j, count in enumerate(long_enough)],
        )


@dataclass(frozen=True, kw_only=True)
class Grams:
    """Hold the n-grams of the predictions, of one length: each row one n-gram of one prediction."""

    prediction: Ints
    times: Ints
    rarity: Floats
    group: Ints  # its index in the order's `video_gram`, or -1: no reference of the video has it


class Predictions:
    """Prepare one caption a video, numbered as the references are. `video` holds their indices there."""

    def __init__(self, captions: Mapping[Any, str], references: References) -> None:
        self.references = references
        self.video = np.array([references.index[video] for video in captions], np.int64)
        self.texts = [references.tokenize(text) for text in captions.values()]
        fresh = _Numbers()
        known, start = references.numbers.get, len(references.numbers)

        def number(word: str) -> int:
            found = known(word)
            return start + fresh[word] if found is None else found

        self.words = Words.of(map(str.split, self.texts), number)
        self.tokens = Words.of(map(split_tokens, self.texts), number) if any(map(separated, self.texts)) else self.words

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def grams(self) -> list[Grams]:
        made, code = [], self.words.word
        for n, order in zip(ORDERS, self.references.orders, strict=True):
            at = np.flatnonzero(self.words.ahead >= n)
            keys = code[at] << 32 | self.words.word[at + n - 1] if n > 1 else self.words.word[at]
            numbers = find(keys, order.known)
            unknown = numbers < 0
            numbers[unknown] = len(order.known) + np.unique(keys[unknown], return_inverse=True)[1]
            code = np.zeros_like(self.words.word)
            code[at] = numbers
            keys, times = np.unique(self.words.caption[at] << 32 | numbers, return_counts=True)
            prediction, gram = keys >> 32, keys & LOW
            rarity = np.append(order.rarity, np.log(len(self.references)))[np.minimum(gram, len(order.known))]
            group = find(self.video[prediction] << 32 | gram, order.video_gram)
            made.append(Grams(prediction=prediction, times=times, rarity=rarity, group=group))
        return made


def find(keys: Ints, known: Ints) -> Ints:
    """Return the index of each key among the sorted known ones, or -1."""
    if not len(known):
        return np.full(len(keys), -1)
    indices = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[indices] == keys, indices, -1)


def split_tokens(text: str) -> list[str]:
    """Split a tokenised caption. `split()` gives more pieces than tokens: some hold a space that does not break."""
    return text.split(" ") if text else []


def separated(text: str) -> bool:
    return not text.isascii() and len(text.split()) != len(split_tokens(text))


def _check(captions: Mapping[Any, Sequence[str]]) -> None:
    if not captions:
        raise DataError("references are empty; give {video: [caption, ...]} with at least one video")
    for video, texts in captions.items():
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"references of video {video!r} must be a list of captions, not {texts!r}")
        if not texts:
            raise DataError(f"video {video!r} has no reference caption; give it one, or leave the video out")
