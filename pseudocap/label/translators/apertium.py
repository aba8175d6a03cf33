"""Translate by the apertium program: rules and dictionaries, offline, the same words for the same words.

One run takes many texts, with empty lines between them: those end a sentence for it, so that no text depends on its
neighbours. (Its own format of lines does not: "the green", "house is" becomes "la casa", "verde es".)
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property

from pseudocap.errors import ConfigError, DataError, first_line
from pseudocap.languages import language_facts

MARKS = re.compile(r"(?<![^\W_])[*#@](?=\w)")  # before words that it does not know or cannot inflect
TIMEOUT = 600.0  # seconds for TEXTS texts, which take about two
TEXTS = 1000


class Apertium:
    """Run `apertium eng-spa` or another pair that is installed."""

    name = "apertium"

    def __init__(self, *, source: str, target: str) -> None:
        self.pair = "-".join(language_facts(code).flores[:3] for code in (source, target))
        if shutil.which("apertium") is None:
            raise ConfigError(
                f"the apertium program is not installed; on Debian or Ubuntu: apt install apertium-{self.pair} "
                "(the package of a pair may be named the other way round)"
            )
        pairs = sorted(pair for pair in _output(["apertium", "-l"]).split() if "_" not in pair)
        if self.pair not in pairs:
            raise ConfigError(
                f"apertium has no pair {self.pair} here; it has {', '.join(pairs) or 'none'}; look for more "
                "with `apt search apertium-`"
            )

    @cached_property
    def revision(self) -> str:
        """Return the version of the program and of the pair's data, where the package manager knows it."""
        program = _output(["apertium", "-V"]).split()[-1]
        if shutil.which("dpkg-query") is None:
            return program
        first, second = self.pair.split("-")
        query = ["dpkg-query", "--show", "--showformat", "${Version} "]
        asked = [*query, f"apertium-{first}-{second}", f"apertium-{second}-{first}"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        return f"{program}, {self.pair} {found.strip() or 'of unknown version'}"

    @property
    def settings(self) -> Mapping[str, object]:
        return {"translator": self.name, "pair": self.pair, "revision": self.revision}

    def translate(self, texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        for first in range(0, len(texts), TEXTS):
            found += self._run(texts[first : first + TEXTS])
        return found

    def _run(self, texts: Sequence[str]) -> list[str]:
        sources = [" ".join(MARKS.sub("", text).split()) for text in texts]
        wanted = [index for index, text in enumerate(sources) if text]
        answer = _output(["apertium", self.pair], "".join(f"{sources[index]}\n\n" for index in wanted))
        parts = [part for part in answer.split("\n\n") if part.strip()]
        if len(parts) != len(wanted):
            raise DataError(
                f"apertium {self.pair} answered with {len(parts)} texts to {len(wanted)}, the first of them "
                f"{sources[wanted[0]]!r:.60}; take out the rows with unusual characters"
            )
        found = [""] * len(texts)
        for index, part in zip(wanted, parts, strict=True):
            found[index] = _as_written(sources[index], MARKS.sub("", " ".join(part.split())))
        return found


def _as_written(source: str, text: str) -> str:
    """Begin with a capital, or end with a full stop, only where the source does: apertium makes sentences."""
    if text[:1].isupper() and source[:1].islower():
        text = text[:1].lower() + text[1:]
    return text if source.endswith(".") else text.removesuffix(".")


def _output(command: Sequence[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{' '.join(command)} failed ({first_line(error)})") from error
    if done.returncode:
        raise DataError(f"{' '.join(command)} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout
