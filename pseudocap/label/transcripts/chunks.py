"""Cut the sound of a file into chunks of at most 30 s for a recogniser: where somebody speaks, or all of it.

Speech is found by Silero's detector, ten minutes at a time, so that memory does not grow with the film. Speech that
goes on at the end of such a window is left to the next one. Neighbouring speech comes together as far as 30 s reach,
because a recogniser computes as long for a second as for thirty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pseudocap.audio.waveform import RATE

LONGEST = 30  # seconds: what Whisper hears at once
WINDOW = 600  # seconds in which speech is looked for at once
PAUSE_MS = 160  # a shorter one does not end speech
GOES_ON = 0.5  # seconds before the end of a window: speech that reaches so far may go on
Span = tuple[int, int]  # in samples


def speech_chunks(sound: np.ndarray) -> Iterator[Span]:
    """Yield the chunks of a sound in which somebody speaks."""
    first: int | None = None
    last = 0
    for start, end in _speech(sound):
        if first is not None and end - first > LONGEST * RATE:
            yield first, last
            first = None
        first, last = start if first is None else first, end
    if first is not None:
        yield first, last


def even_chunks(sound: np.ndarray) -> Iterator[Span]:
    """Yield all of a sound, 30 s at a time."""
    for start in range(0, len(sound), LONGEST * RATE):
        yield start, min(start + LONGEST * RATE, len(sound))


def _speech(sound: np.ndarray) -> Iterator[Span]:
    """Yield stretches of speech of at most 30 s each."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(max_speech_duration_s=LONGEST, min_silence_duration_ms=PAUSE_MS)
    at = 0
    while at < len(sound):
        window = np.asarray(sound[at : at + int(WINDOW * RATE)])
        end = at + len(window)
        found = [(at + each["start"], at + each["end"]) for each in get_speech_timestamps(window, options)]
        if found and end < len(sound) and found[-1][0] > at and found[-1][1] > end - GOES_ON * RATE:
            end = found.pop()[0]
        yield from found
        at = end
