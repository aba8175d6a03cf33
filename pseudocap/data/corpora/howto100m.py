"""Read HowTo100M: recognised speech of videos, as `caption.json` or as one csv a video.

`caption.json` is one object of several gigabytes, `{video: {"start": [..], "end": [..], "text": [..]}}`, so it is
read member by member and memory stays flat. Segments overlap (a line stays on the screen while the next is spoken);
the Transcript keeps their times as given, and `join_segments` makes clips of about eight seconds that do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from pseudocap.data.corpora.base import Checks, Corpus
from pseudocap.data.corpora.json_members import json_members
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.rows import stretch_id
from pseudocap.types import CLIP_SECONDS, CaptionedVideo, Segment, Transcript


def read_howto100m(
    captions: str | PathLike[str], *, seconds: float = CLIP_SECONDS, split: str = "train", allow_partial: bool = False
) -> Corpus:
    """Read all clips into memory, from caption.json, from one csv, or from a folder of csv files."""
    checks = Checks(allow_partial=allow_partial)
    rows = tuple(
        row
        for transcript in read_transcripts(captions, checks)
        for row in join_segments(transcript, seconds=seconds, split=split)
    )
    if not rows:
        raise DataError(f"{captions} holds no speech")
    return Corpus(name="howto100m", rows=rows, files=(Path(captions),), mismatches=checks.mismatches)


def read_transcripts(captions: str | PathLike[str], checks: Checks | None = None) -> Iterator[Transcript]:
    """Yield one video after another, holding no other. Segments without text are left out, as in the papers."""
    checks = checks or Checks(allow_partial=False)
    path = Path(captions)
    if path.is_dir():
        if not (files := sorted(path.glob("*.csv"))):
            raise DataError(f"{path} holds no csv file; wanted is one a video, or name caption.json itself")
        for file in files:
            yield _from_csv(file, checks)
    elif path.suffix.lower() == ".csv":
        yield _from_csv(path, checks)
    else:
        yield from _from_json(path, checks)


def join_segments(
    transcript: Transcript, *, seconds: float = CLIP_SECONDS, split: str = "train"
) -> Iterator[CaptionedVideo]:
    """Join neighbouring segments to clips that come as near to `seconds` as their borders allow.

    A clip ends when its last segment does, at the latest where the next clip begins; a segment that is longer by
    itself is one clip.
    """
    segments = transcript.segments
    first = 0
    while first < len(segments):
        last = first
        while last + 1 < len(segments) and _better_with_next(segments, first, last, seconds):
            last += 1
        start, end = segments[first].start, _end(segments, first, last)
        text = " ".join(segment.text for segment in segments[first : last + 1])
        name = stretch_id(transcript.video, start, end)
        yield CaptionedVideo(id=name, video=transcript.video, captions=(text,), split=split, start=start, end=end)
        first = last + 1


def _better_with_next(segments: Sequence[Segment], first: int, last: int, seconds: float) -> bool:
    start = segments[first].start
    if segments[last + 1].start == start:  # cut before the next one, the clip would last no time
        return True
    now, then = (_end(segments, first, final) - start for final in (last, last + 1))
    return abs(then - seconds) < abs(now - seconds)


def _end(segments: Sequence[Segment], first: int, last: int) -> float:
    end = max(segment.end for segment in segments[first : last + 1])
    following = segments[last + 1].start if last + 1 < len(segments) else end
    return min(end, following) if following > segments[first].start else end


def _from_csv(path: Path, checks: Checks) -> Transcript:
    rows = []
    for number, row in reading.csv_rows(path):
        where = f"{path}, line {number}"
        start, end, text = (reading.field(row, name, str, where=where) for name in ("start", "end", "text"))
        rows.append((where, start, end, text))
    return Transcript(video=path.stem, segments=_segments(rows, checks))


def _from_json(path: Path, checks: Checks) -> Iterator[Transcript]:
    for line, video, record in json_members(path):
        where = f"{path}, line {line} ({video})"
        columns = [reading.field(record, name, list, where=where) for name in ("start", "end", "text")]
        if len(sizes := {len(column) for column in columns}) > 1:
            raise DataError(f"{where}: start, end and text have {' and '.join(map(str, sorted(sizes)))} entries")
        rows = [
            (f"{where}, segment {position}", start, end, text)
            for position, (start, end, text) in enumerate(zip(*columns, strict=True))
        ]
        yield Transcript(video=video, segments=_segments(rows, checks))


def _segments(rows: Sequence[tuple[str, object, object, object]], checks: Checks) -> tuple[Segment, ...]:
    segments = []
    for where, start, end, text in rows:
        # pandas, which wrote these files, writes an empty text as a missing number.
        spoken = " ".join(text.split()) if isinstance(text, str) else ""
        if not isinstance(text, str) and text is not None and text == text:
            checks.skip("unusable segments", DataError(f"{where}: text is {text!r} and must be a string"))
        elif spoken:
            try:
                first, last = reading.span(start, end, where=where)
            except DataError as error:
                checks.skip("unusable segments", error)
                continue
            segments.append(Segment(start=first, end=last, text=spoken))
    return tuple(sorted(segments, key=lambda segment: (segment.start, segment.end)))
