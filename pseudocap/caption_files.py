"""Caption many files: batches span files, and a broken file stops no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pseudocap.captioner import FileCaptioner, Seen
from pseudocap.decoding import FileDecoding
from pseudocap.errors import DecodeError
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, FileCaptions, TimedCaption
from pseudocap.video.reader import VideoInfo
from pseudocap.video.shots import CutDetector
from pseudocap.video.subtitles import merge_equal

__all__ = ["FileCaptions", "FileDecoding", "caption_densely", "caption_files"]

DEFAULT = FileDecoding()
Asked = FileDecoding  # its name of 0.1


def caption_files(
    model: FileCaptioner[Seen], files: Iterable[str | Path], decoding: FileDecoding = DEFAULT
) -> Iterator[FileCaptions]:
    """Yield one caption a file, in the order of the files."""
    model.sound_of(decoding)  # refused before a file is read, where it cannot be
    waiting: list[tuple[FileCaptions, Seen | None]] = []
    for file in files:
        decoded = _decoded(model, str(file), decoding)
        waiting.append(decoded)
        if sum(seen is not None for _, seen in waiting) == decoding.batch_size:
            yield from _captioned(model, waiting, decoding)
            waiting = []
    yield from _captioned(model, waiting, decoding)


def caption_densely(
    model: FileCaptioner[Seen],
    files: Iterable[str | Path],
    decoding: FileDecoding = DEFAULT,
    *,
    clip_seconds: float = CLIP_SECONDS,
    min_seconds: float = MIN_SECONDS,
    cuts: CutDetector | None = None,
) -> Iterator[FileCaptions]:
    """Yield the captions of every clip of each file, equal neighbours as one; of a truncated file those that could be
    read."""
    for file in files:
        captions: list[TimedCaption] = []
        clips = model.caption_every_clip(file, decoding, clip_seconds=clip_seconds, min_seconds=min_seconds, cuts=cuts)
        error = ""
        try:
            captions.extend(clips)
        except DecodeError as failure:
            error = str(failure)
        yield FileCaptions(file=str(file), captions=tuple(merge_equal(captions)), error=error)


def _decoded(model: FileCaptioner[Seen], file: str, decoding: FileDecoding) -> tuple[FileCaptions, Seen | None]:
    try:
        taken = model.take_file(file, decoding)
    except DecodeError as failure:
        return FileCaptions(file=file, error=str(failure)), None
    caption, error = whole_caption(taken.info, taken.frames, model.frames_of(decoding.num_frames))
    return FileCaptions(file=file, captions=(caption,), error=error), taken.seen


def whole_caption(info: VideoInfo, found: int, wanted: int) -> tuple[TimedCaption, str]:
    """Return the caption of an entire file, its text to come, and what is missing of the file; `found` frames of
    `wanted` are distinct, 0 where it has no pictures."""
    moves = found != 1 or (wanted == 1 and not info.still)  # a still lasts no time
    error = str(info.missing(info.duration)) if moves and not info.complete else ""
    return TimedCaption(start=0.0, end=info.duration if moves else 0.0, text=""), error


def _captioned(
    model: FileCaptioner[Seen], waiting: list[tuple[FileCaptions, Seen | None]], decoding: FileDecoding
) -> Iterator[FileCaptions]:
    clips = [seen for _, seen in waiting if seen is not None]
    texts = iter(model.caption_clips(clips, decoding) if clips else ())
    for found, seen in waiting:
        if seen is None:
            yield found
        else:
            (caption,) = found.captions
            yield replace(found, captions=(replace(caption, text=next(texts)),))
