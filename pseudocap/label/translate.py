"""Translate labels and caption rows into another language: each row's captions by a translator, with its objections.

Rows are kept with their verdicts, as a labelling run keeps them; of several captions of a row those that a filter
objects to are left out while any is left. `untranslated`: too many words are those of the source; `script`: the letters
are not the language's; `length`: far longer or shorter than such translations are; `round-trip:0.31`: translated back,
it is too unlike its source, by chrF.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pseudocap.errors import ConfigError, DataError
from pseudocap.files.atomic import write_text
from pseudocap.label.filters import words_of
from pseudocap.label.run_folder import alone_in
from pseudocap.label.translators.base import Translator
from pseudocap.languages import LanguageFacts, language_facts, share_in_script
from pseudocap.metrics.chrf import chrf
from pseudocap.rows import CaptionRow, read_rows, write_rows
from pseudocap.types import Progress, Pseudolabel

ROUND_TRIP = "round-trip"
PART = 256  # rows that are translated between two files


@dataclass(frozen=True, kw_only=True, slots=True)
class TranslationFilters:
    """Limit what passes. `max_copied` is of the words that are in the source too, `min_script` of the letters in the
    language's script, `min_length` and `max_length` of the length where 1 is usual for the language, `round_trip` of
    the chrF of what comes back; 0 switches the last one off."""

    max_copied: float = 0.5
    min_script: float = 0.5
    min_length: float = 0.4
    max_length: float = 2.5
    round_trip: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_copied", "min_script", "round_trip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name):g} and must be from 0 to 1")
        if not 0 <= self.min_length < self.max_length:
            raise ConfigError(
                f"min_length is {self.min_length:g} and must be from 0 to below max_length ({self.max_length:g})"
            )


class TranslateLabels:
    """Rewrite labels, or caption rows, from `source` into `target`. Rows that are in `target` stay as they are."""

    def __init__(
        self,
        translator: Translator,
        *,
        source: str,
        target: str,
        filters: TranslationFilters | None = None,
        back: Translator | None = None,
    ) -> None:
        self.filters = filters or TranslationFilters()
        if self.filters.round_trip and back is None:
            raise ConfigError(f"round_trip is {self.filters.round_trip:g} and needs a translator back into {source}")
        self.source, self.target = source, target
        self._translator, self._back = translator, back if self.filters.round_trip else None

    @property
    def settings(self) -> Mapping[str, object]:
        return {
            "translate": self.target,
            **self._translator.settings,
            "back": None if self._back is None else dict(self._back.settings),
            "filters": asdict(self.filters),
        }

    def rewrite(self, labels: Sequence[Pseudolabel]) -> list[list[Pseudolabel]]:
        wanted = [self._needs(label.language, label.captions, label.clip.source) for label in labels]
        found = self._translated([label.captions if want else () for label, want in zip(labels, wanted, strict=True)])
        settings = json.dumps(dict(self._translator.settings), sort_keys=True)
        return [
            [
                replace(
                    label,
                    captions=captions,
                    log_probs=(),
                    verdicts=(*label.verdicts, *verdicts),
                    teacher=self._translator.name,
                    revision=self._translator.revision,
                    settings=settings,
                    language=self.target,
                )
                if want
                else label
            ]
            for label, want, (captions, verdicts) in zip(labels, wanted, found, strict=True)
        ]

    def rows(self, rows: Sequence[CaptionRow], *, run: str) -> Iterator[CaptionRow]:
        """Translate caption rows; a row that is made names `run`, the translator, and the row that it was made from."""
        wanted = [self.needs(row) for row in rows]
        found = self._translated([row.captions if want else () for row, want in zip(rows, wanted, strict=True)])
        for row, want, (captions, verdicts) in zip(rows, wanted, found, strict=True):
            made = replace(row, captions=captions, verdicts=(*row.verdicts, *verdicts), language=self.target, run=run)
            yield replace(made, parent=row.id, checkpoint=self._translator.name) if want else row

    def needs(self, row: CaptionRow) -> bool:
        """Return whether a row is to be translated; DataError where its language is neither of both."""
        return self._needs(row.language or None, row.captions, row.where)

    def _needs(self, language: str | None, captions: Sequence[str], where: str) -> bool:
        if language not in (None, self.source, self.target):
            raise DataError(
                f"{where} is in {language!r}, and the translation is from {self.source} to {self.target}; name the "
                "language that the captions are in"
            )
        return language != self.target and any(text.strip() for text in captions)

    def _translated(self, rows: Sequence[Sequence[str]]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return the captions and the verdicts of each row."""
        sources = [text for row in rows for text in row]
        texts = self._translator.translate(sources)
        returned = [""] * len(texts) if self._back is None else self._back.translate(texts)
        judged = iter(
            (text, self._verdicts(source, text, back))
            for source, text, back in zip(sources, texts, returned, strict=True)
        )
        found = []
        for row in rows:
            pairs = [next(judged) for _ in row]
            good = tuple(text for text, verdicts in pairs if not verdicts)
            bad = () if good or not pairs else pairs[0][1]
            found.append((good or tuple(text for text, _ in pairs), bad))
        return found

    def _verdicts(self, source: str, text: str, back: str) -> tuple[str, ...]:
        if not text.strip():
            return ("empty",)
        facts, limits = language_facts(self.target), self.filters
        found = []
        if copied_share(source, text) > limits.max_copied:
            found.append("untranslated")
        if share_in_script(text, facts) < limits.min_script:
            found.append("script")
        if not limits.min_length <= length_ratio(source, text, facts, language_facts(self.source)) <= limits.max_length:
            found.append("length")
        if self._back is not None and (likeness := chrf(back.lower(), source.lower())) < limits.round_trip:
            found.append(f"{ROUND_TRIP}:{likeness:.2f}")
        return tuple(found)


def copied_share(source: str, text: str) -> float:
    """Return the share of a translation's words of three letters or more that are words of the source."""
    words, known = [word for word in words_of(text) if len(word) > 2], {*words_of(source)}
    return sum(word in known for word in words) / len(words) if words else 0.0


def length_ratio(source: str, text: str, facts: LanguageFacts, of: LanguageFacts) -> float:
    """Return how long a translation is, in what is usual of such translations."""
    return len(text) * of.density / max(1.0, len(source) * facts.density)


def translate_rows(
    rows: Iterable[CaptionRow], path: Path, rewriter: TranslateLabels, *, progress: Progress | None = None
) -> list[CaptionRow]:
    """Write the translations of caption rows to a .jsonl file and return them. Part after part is on disk before the
    file is, so that a killed run goes on where it was; a finished file of the same rows and settings is kept."""
    given = list(rows)
    digest = hashlib.sha256(json.dumps(dict(rewriter.settings), sort_keys=True).encode())
    for row in given:
        digest.update(row.line.encode("utf-8", "surrogatepass"))
    run = digest.hexdigest()[:16]
    parts = path.with_name(f".{path.stem}-{run}")
    with alone_in(path.parent, "translating"):
        if path.exists():
            return _same(path, given, run, rewriter)
        for number, first in enumerate(range(0, len(given), PART)):
            part = parts / f"{number:06d}.jsonl"
            if not part.exists():
                write_rows(part, [row.line for row in rewriter.rows(given[first : first + PART], run=run)])
            if progress is not None:
                progress(min(first + PART, len(given)), len(given))
        write_text(path, "".join(part.read_text(encoding="utf-8") for part in sorted(parts.glob("*.jsonl"))))
        shutil.rmtree(parts, ignore_errors=True)
        return list(read_rows(path, strict=False))


def _same(path: Path, given: Sequence[CaptionRow], run: str, rewriter: TranslateLabels) -> list[CaptionRow]:
    """Return the rows of a finished file; DataError where they are not those that this run would write."""
    made = list(read_rows(path, strict=False))
    kept = [row.line if row.run != run else row.id for row in made]
    if kept != [row.id if rewriter.needs(row) else row.line for row in given]:
        raise DataError(
            f"{path} holds translations of other rows or with other settings; choose another --out, or the same ones"
        )
    return made
