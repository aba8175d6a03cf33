"""Define the errors that a caller can catch. Each message says what differs and what to do about it."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class PseudocapError(ValueError):
    """Report an error that the user can fix. The command line prints it as one line and exits with 2."""


class ConfigError(PseudocapError):
    """Report a setting that cannot be right."""


class InputError(PseudocapError):
    """Report frames, tokens or options that the network cannot take."""


class DataError(PseudocapError):
    """Report files of captions, annotations or samples that cannot be read as such, or do not fit together."""


class CheckpointError(PseudocapError):
    """Report weights, or their files, that are absent, damaged, or not those that the checkpoint was made with."""


class TrainingError(PseudocapError):
    """Report a run that must stop: its loss is no number, or has exploded."""


class DecodeError(PseudocapError):
    """Report a file, or the part of it around a time, that gives no frames.

    `path` and `time` (seconds from the first frame; None for the entire file) say which, so that a caller can
    count it, name it and continue with the next clip. Travels between processes.
    """

    def __init__(self, path: str, problem: str, time: float | None = None) -> None:
        super().__init__(path, problem, time)  # the arguments as they are, which is what pickling rebuilds from
        self.path, self.problem, self.time = path, problem, time

    def __str__(self) -> str:
        return f"{self.path}{'' if self.time is None else f', at {self.time:.3f} s'}: {self.problem}"


class NoSoundError(DecodeError):
    """Report a file without a sound track."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for a near miss, else nothing: the tail of a message about an unknown name."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's message, or its type where it has none, to quote in one of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class Interrupted(KeyboardInterrupt):
    """Report where a signal ended a run: its number, by default that of Ctrl-C, and whether `--resume` goes on."""

    def __init__(self, text: str, number: int | None = None, *, resumable: bool = False) -> None:
        super().__init__(text)
        self.signal = signal.SIGINT if number is None else number
        self.resumable = resumable
