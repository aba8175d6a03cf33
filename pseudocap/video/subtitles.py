"""Write timed captions as the files that players read: SubRip and WebVTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape

from pseudocap.types import TimedCaption


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
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_one_line(each.text)}\n"
        for number, each in enumerate(_displayable(captions), start=1)
    ]
    return "\n".join(cues)


def to_vtt(captions: Iterable[TimedCaption]) -> str:
    """Write WebVTT; text that would be markup is escaped."""
    cues = [
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{escape(_one_line(each.text), quote=False)}\n"
        for each in _displayable(captions)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def clock(seconds: float) -> str:
    """Format seconds for people: 12:34.5, or 1:02:03.0."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _displayable(captions: Iterable[TimedCaption]) -> Iterator[TimedCaption]:
    """Keep those that a player can display: a cue needs text, and ends after it begins."""
    return (each for each in captions if each.text.strip() and round(each.end, 3) > round(each.start, 3))


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def _one_line(text: str) -> str:
    """Join lines to one: an empty line would end the cue."""
    return " ".join(text.split()).replace("-->", "->")
