"""Define what is searched for in an index, checked when it is made; no torch, no LanceDB."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pseudocap.errors import InputError
from pseudocap.search.table import sql_text

TOP, MOST = 10, 10_000  # hits


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchQuery:
    """Hold a text, or a file like which (`like`) the clips are to look: all of it, or at a second (`at`).

    `file` is a pattern of paths or of their ends ("*.mp4", "films/*"), `after` and `before` are seconds that a clip
    reaches into, `caption` is a text within its caption. `hybrid` searches the captions for the text too.
    """

    text: str = ""
    like: str = ""
    at: float | None = None
    top: int = TOP
    file: str = ""
    after: float | None = None
    before: float | None = None
    caption: str = ""
    hybrid: bool = False

    def __post_init__(self) -> None:
        if self.text.strip() and self.like:
            raise InputError("search for a text or for what looks like a file, not for both")
        if not self.text.strip() and not self.like:
            raise InputError("the query is empty: write what to look for, or name a file that hits are to look like")
        if self.hybrid and self.like:
            raise InputError("a hybrid search is by text: a file has no words to look for in captions")
        if isinstance(self.top, bool) or not isinstance(self.top, int) or not 1 <= self.top <= MOST:
            raise InputError(f"top must be 1 to {MOST:,} hits, not {self.top!r}")
        for name in ("at", "after", "before"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value:g} and must be seconds from the beginning of a file")
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise InputError(f"after {self.after:g} s and before {self.before:g} s there is no moment")

    @property
    def condition(self) -> str:
        """Return the filters as a condition of SQL; nothing where all clips may be found."""
        parts = [] if not self.file else [f"regexp_like(file, {sql_text(_regex(self.file))})"]
        # A still lasts no time.
        parts += [] if self.after is None else [f'greatest("end", start + 0.001) > {float(self.after)!r}']
        parts += [] if self.before is None else [f"start < {float(self.before)!r}"]
        parts += [] if not self.caption else [f"contains(lower(caption), {sql_text(self.caption.lower())})"]
        return " AND ".join(parts)


def _regex(pattern: str) -> str:
    """Write a pattern of paths as a regular expression: it begins at a name unless it begins at the root."""
    wild = {"*": ".*", "?": "."}
    plain = "".join(wild.get(each) or (f"\\{each}" if each in r"\.+()|[]{}^$" else each) for each in pattern)
    return f"{'^' if pattern.startswith('/') else '(^|/)'}{plain}$"
