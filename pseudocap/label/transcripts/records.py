"""Write what was heard as HowTo100M does: `{video: {"start": [..], "end": [..], "text": [..]}}`.

Beside these lists, which every reader of HowTo100M knows, a video has what this project keeps and others ignore:
`words`, for each segment its words as [start, end, word]; `language`, null where nobody speaks; and `error`, why a
file could not be read, where that is so (its lists are empty then).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from pseudocap.label.transcripts.recogniser import TimedWord

SENTENCE_ENDS = ".?!。？！"
PAUSE = 1.0  # seconds of silence that end a segment
LONGEST = 8.0  # seconds, where no sentence ends before
SHORTEST = 0.02  # seconds: Whisper's own resolution
Record = dict[str, Any]


def record_of(words: Sequence[TimedWord], language: str | None) -> Record:
    """Return the record of a video in which these words were heard."""
    segments = list(_segments(words))
    return {
        "start": [_seconds(segment[0].start) for segment in segments],
        "end": [_end_of(segment) for segment in segments],
        "text": ["".join(word.text for word in segment).strip() for segment in segments],
        "words": [[[_seconds(w.start), _seconds(w.end), w.text.strip()] for w in segment] for segment in segments],
        "language": language if segments else None,
    }


def failed_record(problem: str) -> Record:
    """Return the record of a file that cannot be read."""
    return {**record_of((), None), "error": problem}


def _segments(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    """Divide words where a sentence ends, at pauses, and before a segment becomes too long."""
    segment: list[TimedWord] = []
    for word in words:
        if segment and (
            segment[-1].text.rstrip().endswith(tuple(SENTENCE_ENDS))
            or word.start - segment[-1].end >= PAUSE
            or word.end - segment[0].start > LONGEST
        ):
            yield segment
            segment = []
        segment.append(word)
    if segment:
        yield segment


def _seconds(time: float) -> float:
    return round(time, 2)


def _end_of(segment: Sequence[TimedWord]) -> float:
    return _seconds(max(segment[-1].end, segment[0].start + SHORTEST))


def video_ids(names: Iterable[str]) -> dict[str, str]:
    """Name each file as transcripts do: by its path below the root, or of lists, addresses and tars by its own name, in
    either case without the extension. Files that would then be called alike keep the entire path, and those that differ
    by the extension alone keep it too."""
    ids = {name: _short(name) for name in names}
    longer: Callable[[str], str] = _plain
    while shared := {each for each, times in Counter(ids.values()).items() if times > 1}:
        ids = {name: longer(name) if each in shared else each for name, each in ids.items()}
        longer = str  # the names themselves, which all differ
    return ids


def _short(name: str) -> str:
    return PurePosixPath(name).stem if "://" in name or ".tar/" in name or name.startswith("/") else _plain(name)


def _plain(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if "://" not in name else name.rpartition(".")[0]
