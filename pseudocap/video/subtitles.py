"""Write timed captions as the files that players read: SubRip and WebVTT."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape
from itertools import accumulate, pairwise, zip_longest

from pseudocap.types import TimedCaption

RIGHT_TO_LEFT, END_OF_EMBEDDING = "\u202b", "\u202c"
WIDTH, LINES = 42, 2  # letters of a line and lines of a cue, as broadcasters have them
SHORTEST = 1.0  # seconds: a shorter cue is a flash
READABLE, LETTERS_A_SECOND = 2.0, 15  # how long a flash is displayed instead: seconds at least, and for long texts


def merge_equal(captions: Iterable[TimedCaption]) -> Iterator[TimedCaption]:
    """Merge neighbours with the same text; one is yielded once the next has another text."""
    held: TimedCaption | None = None
    for caption in captions:
        if held is not None and caption.text == held.text and caption.start <= held.end + 1e-3:
            held = replace(held, end=caption.end)
            continue
        if held is not None:
            yield held
        held = caption
    if held is not None:
        yield held


def to_srt(captions: Iterable[TimedCaption]) -> str:
    """Write SubRip: numbered cues; the times have a comma before their thousandths."""
    cues = [
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{each.text}\n"
        for number, each in enumerate(_cues(captions), start=1)
    ]
    return "\n".join(cues)


def to_vtt(captions: Iterable[TimedCaption]) -> str:
    """Write WebVTT; text that would be markup is escaped."""
    cues = [
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{escape(each.text, quote=False)}\n"
        for each in _cues(captions)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def clock(seconds: float) -> str:
    """Format seconds for people: 12:34.5, or 1:02:03.0."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _cues(captions: Iterable[TimedCaption]) -> Iterator[TimedCaption]:
    """Cut captions into cues that a viewer can read: at most two lines of 42 characters, each ending at a word, one
    after the other where a caption needs more, for as long as it has more or less text."""
    for each in _displayable(captions):
        lines = textwrap.wrap(_one_line(each.text), WIDTH)
        texts = ["\n".join(lines[first : first + LINES]) for first in range(0, len(lines), LINES)]
        letters = [0, *accumulate(map(len, texts))]
        times = [each.start + (each.end - each.start) * so_far / letters[-1] for so_far in letters]
        for text, (start, end) in zip(texts, pairwise(times), strict=True):
            yield TimedCaption(start=start, end=end, text="\n".join(map(_directed, text.split("\n"))))


def _directed(line: str) -> str:
    """Embed a line whose first letter is of a script from right to left, or players put its full stop on the wrong
    side."""
    first = next((kind for kind in map(unicodedata.bidirectional, line) if kind in ("L", "R", "AL")), "L")
    return line if first == "L" else f"{RIGHT_TO_LEFT}{line}{END_OF_EMBEDDING}"


def _displayable(captions: Iterable[TimedCaption]) -> Iterator[TimedCaption]:
    """Keep those that a player can display: a cue needs text, and ends after it begins. One that nobody could read, as
    that of a picture, which lasts for one frame, stays as long as reading takes and the next one lets it."""
    kept = [each for each in captions if each.text.strip() and round(each.end, 3) > round(each.start, 3)]
    for each, following in zip_longest(kept, kept[1:]):
        if each.end - each.start >= SHORTEST:
            yield each
            continue
        end = max(each.end, each.start + max(READABLE, len(each.text) / LETTERS_A_SECOND))
        yield replace(each, end=end if following is None else max(each.end, min(end, following.start)))


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def _one_line(text: str) -> str:
    """Join lines to one: an empty line would end the cue."""
    return " ".join(text.split()).replace("-->", "->")
