"""Read the sound of clips of a file as the windows that an audio encoder takes, all of them in one pass.

A clip of more than MOST_WINDOWS windows gives as many, spread evenly over it as frames are: what an encoder hears of a
two-hour film is not seven hundred windows.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from pseudocap.audio.spectrogram import sound_windows
from pseudocap.audio.waveform import SoundFile, Span
from pseudocap.errors import DecodeError, NoSoundError
from pseudocap.types import MOST_WINDOWS, SoundPreprocess

Windows = tuple[np.ndarray, np.ndarray]  # float32 [W,F,M], and how many frames of each are real [W]


def read_windows(
    path: str | os.PathLike[str], preprocess: SoundPreprocess, *, start: float = 0.0, end: float
) -> Windows | None:
    """Return the sound of these seconds of a file; None of a file without a sound track, or with a damaged one."""
    with ClipSounds(path, preprocess) as sounds:
        return sounds.of(start, end)


class ClipSounds:
    """Read clips that ascend by their start, in one pass over the file. Not for several threads at once.

    `problem` is why the file has no sound that can be read, empty as long as it has.
    """

    def __init__(self, path: str | os.PathLike[str], preprocess: SoundPreprocess) -> None:
        self.problem = ""
        self._path = os.fspath(path)
        self._preprocess = preprocess
        self._wanted: deque[Span] = deque()
        self._file: SoundFile | None = None
        try:
            self._file = SoundFile(path, rate=preprocess.rate)
        except DecodeError as error:
            self.problem = error.problem
        else:
            self._sounds = self._file.spans(self._spans())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def duration(self) -> float:
        """Return where the sound ends, in seconds; 0 of a file without any."""
        return 0.0 if self._file is None else self._file.duration

    def of(self, start: float, end: float, *, alone: bool = False) -> Windows | None:
        """Return the windows of the next clip; None where the file has no sound track, or one that is damaged, and
        NoSoundError there for who takes the sound `alone`."""
        found = self._of(start, end)
        if found is None and alone:
            raise NoSoundError(self._path, f"{self.problem or 'there is no sound in it'}, and modalities is 'a'")
        return found

    def _of(self, start: float, end: float) -> Windows | None:
        if self.problem or end <= start:
            return None
        spans = heard_spans(start, end, self._preprocess)
        self._wanted.extend(spans)
        try:
            sounds = [next(self._sounds) for _ in spans]
        except DecodeError as error:
            self.problem = error.problem
            return None
        parts = [sound_windows(sound, self._preprocess) for sound in sounds]
        windows, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return (windows, lengths) if len(windows) else None

    def _spans(self) -> Iterator[Span]:
        while self._wanted:
            yield self._wanted.popleft()


def window_starts(start: float, end: float, preprocess: SoundPreprocess, count: int) -> list[float]:
    """Return when each of the `count` windows of a clip begins, in seconds."""
    firsts = [first for first, _ in heard_spans(start, end, preprocess)]
    return firsts if len(firsts) > 1 else [start + number * preprocess.seconds for number in range(count)]


def heard_spans(start: float, end: float, preprocess: SoundPreprocess) -> list[tuple[float, float]]:
    """Return what is heard of a clip: all of it, or windows at the centres of MOST_WINDOWS equal parts."""
    seconds = preprocess.seconds
    if end - start <= MOST_WINDOWS * seconds:
        return [(start, end)]
    part = (end - start) / MOST_WINDOWS
    firsts = [start + part * (number + 0.5) - seconds / 2 for number in range(MOST_WINDOWS)]
    return [(first, first + seconds) for first in firsts]
