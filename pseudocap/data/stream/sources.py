"""Draw numbered samples of one modality, each decoded on request: the sources of a stream.

A source is a value that every worker gets a copy of; it keeps no file open between samples. Tars of images or videos,
and rows of a corpus over a folder of videos, are here; anything else with samples by number (memories on disk) is a
source if it has the same methods.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch

from pseudocap.audio.clips import read_windows
from pseudocap.audio.tensors import Sound
from pseudocap.audio.waveform import SoundFile
from pseudocap.data.tars.index import IndexedTar, span_of
from pseudocap.data.tars.samples import ShardSample, read_sample
from pseudocap.data.videos import VideoFolder, refuse_absent
from pseudocap.errors import DataError, DecodeError
from pseudocap.files.reading import sha256_of
from pseudocap.languages import prompt_in
from pseudocap.questions import prompt_of
from pseudocap.rows import stretch_id
from pseudocap.tolerance import Tolerance
from pseudocap.types import CaptionedVideo, Clip, Modality, Preprocess, Sample, SoundPreprocess
from pseudocap.video.decode import open_video
from pseudocap.video.picture import decode_picture
from pseudocap.video.reader import VideoReader
from pseudocap.video.tensors import decode_clip
from pseudocap.video.transforms import clip_tensor, eval_tensor, train_tensor

IMAGES = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """Describe a sample without decoding its pictures. `content` is a hash of them, and which stretch."""

    key: str
    content: str
    modality: Modality
    captions: tuple[str, ...]


class Source(Protocol):
    """Draw samples by number, from 0 on.

    `groups` are the sizes of what lies together (the tars), in order; their sum is the number of samples. `identity`
    changes with whatever changes which sample a number means.
    """

    @property
    def modality(self) -> Modality: ...
    @property
    def groups(self) -> Sequence[int]: ...
    @property
    def identity(self) -> str: ...

    def name(self, index: int) -> str:
        """Return the name of a sample in the log, also of one that cannot be read."""

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        """Return one sample, with random moments and a random crop from the generator, or as evaluation sees it.

        A sample that cannot be decoded raises DataError, DecodeError or OSError.
        """


class TarSource:
    """Draw the samples of indexed tars. They are images or videos as the first sample is, by default; with `sound`
    videos come with theirs, without `preprocess` with it alone."""

    def __init__(
        self,
        tars: Iterable[IndexedTar],
        preprocess: Preprocess | None,
        *,
        modality: Modality | None = None,
        sound: SoundPreprocess | None = None,
    ) -> None:
        self.tars = tuple(tars)
        self.groups = tuple(tar.samples for tar in self.tars)
        self._starts = np.concatenate([[0], np.cumsum(self.groups)])
        self._preprocess, self._sound = preprocess, sound
        self.modality: Modality = modality or ("image" if self._read(0).extension in IMAGES else "video")

    @property
    def identity(self) -> str:
        return digest_of([tar.path.name, tar.bytes, tar.samples] for tar in self.tars)

    def name(self, index: int) -> str:
        tar, row = self._locate(index)
        return f"{tar.path.name}, sample {row}"

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        found = self._read(index)
        frames: torch.Tensor | None
        heard: Sound | None = None
        if self.modality == "image":
            frames = self._image_frames(found, generator)
        else:
            frames, heard = self._video_frames(found, generator)
        return _sample(found.key, self.modality, (found.caption,), frames, heard)

    def silent(self) -> Self:
        other = copy.copy(self)
        other._sound = None
        return other

    def describe(self, index: int) -> Described:
        found = self._read(index)
        content = hashlib.sha256(found.media).hexdigest()
        return Described(key=found.key, content=content, modality=self.modality, captions=(found.caption,))

    def _read(self, index: int) -> ShardSample:
        tar, row = self._locate(index)
        return read_sample(tar.path, *span_of(tar, row))

    def _locate(self, index: int) -> tuple[IndexedTar, int]:
        which = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.tars[which], index - int(self._starts[which])

    def _image_frames(self, found: ShardSample, generator: torch.Generator | None) -> torch.Tensor:
        assert self._preprocess is not None, "pictures have no sound alone"
        if found.extension not in IMAGES:
            raise DataError(f"a {found.extension} among images; images are {', '.join(IMAGES)}")
        pixels = decode_picture(found.media)[None]
        if generator is None:
            return eval_tensor(pixels, self._preprocess)
        return train_tensor(pixels, self._preprocess, generator)

    def _video_frames(
        self, found: ShardSample, generator: torch.Generator | None
    ) -> tuple[torch.Tensor | None, Sound | None]:
        if found.extension in IMAGES:
            raise DataError(f"a {found.extension} among videos; give tars of images as images=")
        # FFmpeg opens files: a format is recognised by its content and its jumps need a seekable one.
        with tempfile.NamedTemporaryFile(suffix=f".{found.extension}") as file:
            file.write(found.media)
            file.flush()
            try:
                return _sense(file.name, None, None, self._preprocess, self._sound, generator)
            except DecodeError as error:
                raise DataError(error.problem) from error  # the name of the temporary file helps nobody


class RowSource:
    """Draw the rows of a corpus whose video file is present, with `sound` theirs too, without `preprocess` that alone.
    `missing` has the ids of the others."""

    groups: tuple[int, ...]
    modality: Modality = "video"

    def __init__(
        self,
        rows: Iterable[CaptionedVideo],
        videos: VideoFolder,
        preprocess: Preprocess | None,
        *,
        modality: Modality | None = None,  # the class's own, unless given
        sound: SoundPreprocess | None = None,
    ) -> None:
        self.modality = modality or self.modality
        found = [(row, videos.find(row)) for row in rows]
        self.rows = tuple(row for row, path in found if path is not None)
        self.missing = tuple(row.id for row, path in found if path is None)
        self.groups = (len(self.rows),)
        self._paths = tuple(str(path) for _, path in found if path is not None)
        self._preprocess, self._sound = preprocess, sound
        self._root = videos.root

    def refuse_missing(self, tolerance: Tolerance) -> None:
        """Raise DataError where the rows without a file are more than may be."""
        rows = len(self.rows) + len(self.missing)
        refuse_absent(self.missing, rows, self._root, tolerance, what=f"{self.modality}s")

    @property
    def identity(self) -> str:
        """Hash the rows and their files' sizes: a file of another size is another video."""
        sizes = (_size(path) for path in self._paths)
        return digest_of([*row_fields(row), size] for row, size in zip(self.rows, sizes, strict=True))

    def name(self, index: int) -> str:
        return self.rows[index].id

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        row = self.rows[index]
        sound = None if self.modality == "image" else self._sound
        frames, heard = _sense(self._paths[index], row.start, row.end, self._preprocess, sound, generator)
        return _sample(row.id, self.modality, row.captions, frames, heard, prompt=asked(row))

    def silent(self) -> Self:
        other = copy.copy(self)
        other._sound = None
        return other

    def describe(self, index: int) -> Described:
        row, path = self.rows[index], self._paths[index]
        state = Path(path).stat()
        content = stretch_id(_file_hash(path, state.st_size, state.st_mtime_ns), row.start, row.end)
        return Described(key=row.id, content=content, modality=self.modality, captions=row.captions)


@lru_cache(maxsize=4096)
def _file_hash(path: str, size: int, changed: int) -> str:
    """Hash a file once for all clips of a film; `size` and `changed` differ where it was replaced."""
    return sha256_of(Path(path))


def _sense(
    path: str,
    start: float | None,
    end: float | None,
    preprocess: Preprocess | None,
    sound: SoundPreprocess | None,
    generator: torch.Generator | None,
) -> tuple[torch.Tensor | None, Sound | None]:
    """Decode the frames of a stretch of a file, and its sound, as far as either is requested."""
    if preprocess is None:
        return None, hear(_stretch(path, _duration(path), start, end), sound)
    with open_video(path, threads=1) as video:
        clip = _stretch(path, video.info.duration, start, end)
        frames = _clip_frames(video, clip, preprocess, generator)
    return frames, hear(clip, sound)


def _duration(path: str) -> float:
    """Return how long a video is, or a sound without pictures."""
    try:
        with open_video(path, threads=1) as video:
            return video.info.duration
    except DecodeError:
        with SoundFile(path) as sound:
            return sound.duration


def _stretch(path: str, duration: float, start: float | None, end: float | None) -> Clip:
    """Return a stretch of a video, as far as the video goes."""
    first, last = start or 0.0, duration if end is None else min(end, duration)
    if first >= last:
        raise DecodeError(path, f"the video ends at {duration:.3f} s, before this stretch of it", first)
    return Clip(source=path, start=first, end=last)


def _clip_frames(
    video: VideoReader, clip: Clip, preprocess: Preprocess, generator: torch.Generator | None
) -> torch.Tensor:
    if generator is None:
        return decode_clip(video, clip, preprocess)
    return clip_tensor(video, clip, preprocess, generator)


def hear(clip: Clip, sound: SoundPreprocess | None) -> Sound | None:
    """Read the windows of a clip's sound and their lengths; None where it is silent, or nobody hears it."""
    found = None if sound is None else read_windows(clip.source, sound, start=clip.start, end=clip.end)
    return None if found is None else (torch.from_numpy(found[0]), torch.from_numpy(found[1]))


def _sample(
    key: str,
    modality: Modality,
    captions: tuple[str, ...],
    frames: torch.Tensor | None,
    heard: Sound | None,
    *,
    prompt: str = "",
) -> Sample:
    windows, lengths = heard or (None, None)
    return Sample(
        key=key,
        modality=modality,
        captions=captions,
        frames=frames,
        prompt=prompt,
        sound=windows,
        sound_lengths=lengths,
    )


def asked(row: CaptionedVideo) -> str:
    """Return the question of a row as the prompt that its answers continue, or what its language is asked by; nothing
    of a row of captions in the one language of its corpus."""
    if row.question:
        return prompt_of(row.question)
    return prompt_in(row.language) if row.language else ""


def row_fields(row: CaptionedVideo) -> list[object]:
    """List the fields of a row that determine its sample."""
    asked_by = [each for each in (row.question, row.language) if each]
    return [row.id, row.video, row.start, row.end, list(row.captions), *asked_by]


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # decoding it will report why
        return -1


def digest_of(records: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record).encode() + b"\n")
    return digest.hexdigest()
