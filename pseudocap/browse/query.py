"""Describe what the page asks for: words, verdict, decision, bounds of confidence, an order and a page of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pseudocap.errors import InputError, nearest

PAGE = 50  # rows
DECIDED = {
    "": "",
    "undecided": "decision = ''",
    "accepted": "decision = 'accepted'",
    "rejected": "decision = 'rejected'",
    "edited": "caption <> original",
}
# Rows without a confidence come last in either order; equals keep the order of the data.
SORTS = {
    "order": "number",
    "confidence": "confidence IS NULL, confidence, number",
    "-confidence": "confidence IS NULL, confidence DESC, number",
    "words": "words, number",
    "-words": "words DESC, number",
    "caption": "searched, number",
    "changed": "edited_at IS NULL, edited_at DESC, number",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowQuery:
    """Select rows: all words of `text` in the caption or the video's name, one verdict ("kept" and "failed" as well),
    one decision, a confidence from `low` to `high`; in the order `sort`, the `page`th page."""

    text: str = ""
    verdict: str = ""
    decision: str = ""
    low: float | None = None
    high: float | None = None
    sort: str = "order"
    page: int = 1

    def __post_init__(self) -> None:
        for name, known in (("decision", DECIDED), ("sort", SORTS)):
            value = getattr(self, name)
            if value not in known:
                words = ", ".join(filter(None, known))
                raise InputError(f"{name} is {value!r:.40} and must be one of {words}{nearest(value, known)}")
        if not 1 <= self.page <= 10**9:
            raise InputError(f"page is {self.page} and must be at least 1")

    @classmethod
    def of(cls, query: Mapping[str, str]) -> RowQuery:
        """Read a query from the names and values of an address."""
        return cls(
            **{name: query.get(name, "") for name in ("text", "verdict", "decision")},
            low=_number(query, "low"),
            high=_number(query, "high"),
            sort=query.get("sort", "order"),
            page=int(_number(query, "page") or 1),
        )

    def condition(self) -> tuple[str, list[object]]:
        """Return the condition on the table `rows`, and the values of its question marks."""
        conditions: list[tuple[str, object]] = [
            ("instr(searched, ?) > 0", word) for word in self.text.casefold().split()
        ]
        if self.verdict:
            conditions.append(("number IN (SELECT number FROM verdicts WHERE verdict = ?)", self.verdict))
        if self.low is not None:
            conditions.append(("confidence >= ?", self.low))
        if self.high is not None:
            conditions.append(("confidence <= ?", self.high))
        clauses = [clause for clause, _ in conditions] + list(filter(None, [DECIDED[self.decision]]))
        return " AND ".join(clauses) or "1", [value for _, value in conditions]

    def order(self) -> str:
        """Return the order on the table `rows`."""
        return SORTS[self.sort]


def _number(query: Mapping[str, str], name: str) -> float | None:
    if not (text := query.get(name, "").strip()):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name} is {text!r:.40} and must be a number")
    return value
