"""List the languages that the world speaks; English is `grammar` and the words that it always had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pseudocap.errors import ConfigError, nearest
from pseudocap.toyworld import grammar
from pseudocap.toyworld.grammar import PLAIN, Choice
from pseudocap.toyworld.languages import english, german, spanish
from pseudocap.toyworld.reading import Reading
from pseudocap.toyworld.scenes import Film


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyLanguage:
    """Hold how a language is written and read. `stream` is in the seed of its captions, and never changes."""

    name: str
    stream: int
    caption: Callable[[Film, Choice], str]
    reading: Callable[[], Reading]

    def references(self, film: Film, count: int, rng: np.random.Generator) -> list[str]:
        """Return the captions of so many people, each written independently."""
        return [self.caption(film, Choice(rng)) for _ in range(count)]

    def full_truth(self, film: Film) -> str:
        """Return all that happens in a film, in its order, in the commonest words."""
        return self.caption(film, PLAIN)


LANGUAGES = {
    "en": ToyLanguage(name="English", stream=1, caption=grammar.caption, reading=english.reading),
    "es": ToyLanguage(name="Spanish", stream=4, caption=spanish.caption, reading=spanish.reading),
    "de": ToyLanguage(name="German", stream=5, caption=german.caption, reading=german.reading),
}


def language_of(code: str) -> ToyLanguage:
    if code not in LANGUAGES:
        raise ConfigError(
            f"the toy world has no language {code!r}{nearest(code, LANGUAGES)}; it has {', '.join(LANGUAGES)}"
        )
    return LANGUAGES[code]
