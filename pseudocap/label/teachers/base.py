"""Define a teacher: it takes views of clips and returns captions and their log-probabilities.

A view is a clip, the frames of it that the teacher sees, and a key that its sampling noise depends on. Whatever fits
`Teacher` will do; image_text.py, transcript.py and captioner.py are the teachers of this package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from pseudocap.errors import ConfigError
from pseudocap.types import Clip


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Hold what is captioned at once: frames uint8 [T,H,W,3], one for teachers of images, None for transcripts."""

    clip: Clip
    frames: np.ndarray | None
    key: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Hold captions of a view, best first, with log-probabilities and lengths in tokens, or none where unknown.

    `confidence` is in the best caption, from 0 to 1, None for a teacher that has none. `cut` is where the best caption
    came to the limit of tokens.
    """

    captions: tuple[str, ...]
    log_probs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    confidence: float | None = None
    cut: bool = False

    @classmethod
    def ranked(cls, written: Iterable[tuple[str, float, int]]) -> Self:
        """Order (caption, log-probability, tokens), the likeliest first. The confidence is the geometric mean of the
        probabilities of its tokens."""
        captions, log_probs, tokens = zip(*sorted(written, key=lambda each: -each[1]), strict=True)
        confidence = math.exp(log_probs[0] / max(1, tokens[0]))
        return cls(captions=captions, log_probs=log_probs, tokens=tokens, confidence=confidence)


class Teacher(Protocol):
    """Caption views. `settings` is all that captions depend on besides the weights; every row records it."""

    name: str
    revision: str | None
    settings: Mapping[str, object]
    short_side: int | None  # of the frames that it wants; None for as they are

    def caption(self, views: Sequence[View]) -> list[Answer]:
        """Return one answer per view. The batch has always the same size."""


@dataclass(kw_only=True)
class NullTeacher:
    """Caption a clip with the second that it starts at: for measuring everything but the teacher."""

    short_side: int | None = 384
    name: str = "null"
    revision: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    def caption(self, views: Sequence[View]) -> list[Answer]:
        return [Answer(captions=(f"a clip from second {view.clip.start:g}",)) for view in views]


class LateTeacher:
    """Build a teacher where it first captions: only its description and `build` are pickled."""

    def __init__(self, teacher: Teacher, build: Callable[[], Teacher]) -> None:
        self._build = build
        self._teacher: Teacher | None = None
        self.name, self.revision = teacher.name, teacher.revision
        self.settings, self.short_side = teacher.settings, teacher.short_side

    def caption(self, views: Sequence[View]) -> list[Answer]:
        if self._teacher is None:
            teacher = self._build()
            for name in ("name", "revision", "settings"):  # rows record those of the description
                planned, found = getattr(self, name), getattr(teacher, name)
                if planned != found:
                    raise ConfigError(
                        f"the machines differ: the teacher's {name} is {planned!r} where the run was planned and "
                        f"{found!r} on another; name --dtype, --device and --revision, and keep the same files "
                        "everywhere"
                    )
            self._teacher = teacher
        return self._teacher.caption(views)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_teacher": None}


def as_settings(*parts: Mapping[str, object]) -> str:
    """Return settings as JSON, the same text for the same settings."""
    return json.dumps({name: value for part in parts for name, value in part.items()}, sort_keys=True)
