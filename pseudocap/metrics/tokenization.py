"""Choose how captions become tokens by their language: English as coco-caption does, Chinese and Japanese by
characters, others by words.

Scores of one tokenisation are not comparable with those of another, so each result names its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from pseudocap.languages import language_facts
from pseudocap.metrics.tokenize import tokenize

PTB, WORDS, CHARACTERS = "Penn Treebank", "words", "characters"
INNER = frozenset("'’-")  # between two letters they are of a word
IDEOGRAPHS = re.compile("([\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f])")


def tokenization(language: str = "en") -> tuple[str, Callable[[str], str]]:
    """Return the name of a language's tokenisation and the function that does it: tokens with a space between two."""
    facts = language_facts(language)
    if facts.code == "en":
        return PTB, tokenize
    return (WORDS, words) if facts.spaced else (CHARACTERS, characters)


def words(caption: str) -> str:
    """Return the words in lower case, without punctuation; marks belong to their letters (NFC)."""
    text = unicodedata.normalize("NFC", caption).lower()
    kept = [letter if _counts(letter) or _inner(text, at) else " " for at, letter in enumerate(text)]
    return " ".join("".join(kept).split())


def characters(caption: str) -> str:
    """Return ideographs and kana one by one, and words of other scripts as they are; full-width letters are letters."""
    return " ".join(IDEOGRAPHS.sub(r" \1 ", words(unicodedata.normalize("NFKC", caption))).split())


def _counts(letter: str) -> bool:
    return (letter.isascii() and letter.isalnum()) or unicodedata.category(letter)[0] in "LMN"


def _inner(text: str, at: int) -> bool:
    return text[at] in INNER and 0 < at < len(text) - 1 and _counts(text[at - 1]) and _counts(text[at + 1])
