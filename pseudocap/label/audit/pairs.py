"""Draw the clips to audit: a random sample of the labels, each beside the speech heard while the clip played.

The sample is a function of the seed and of the clips, whatever the order or number of the files that hold them, and
takes one pass over the labels and one over the transcripts, with only the sample in memory.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pseudocap.errors import DataError, DecodeError
from pseudocap.label.audit.judgement import AuditPair
from pseudocap.label.pages.media import locate_media, opened
from pseudocap.label.schema import MINED
from pseudocap.label.teachers.transcript import speech_in
from pseudocap.types import VIDEO_EXTENSIONS, Clip, Pseudolabel, Transcript
from pseudocap.video.decode import open_video

# So many candidates for each pair: in many clips nobody speaks, and some files are no longer there.
CANDIDATES = 50


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Hold labels in the random order in which they are tried, and of how many they were drawn."""

    labels: tuple[Pseudolabel, ...]
    kept: int


@dataclass(frozen=True, kw_only=True)
class PairDraw:
    """Hold the pairs to judge, and why other clips that were drawn before them are not among them."""

    pairs: tuple[AuditPair, ...]
    silent: int
    missing: tuple[str, ...]


def draw_candidates(labels: Iterable[Pseudolabel], *, n: int, seed: int) -> Candidates:
    """Draw, without replacement, labels that a model would learn from: filters have kept them."""
    if n < 1:
        raise DataError(f"--n is {n} and must be at least 1")
    kept = 0

    def usable() -> Iterable[Pseudolabel]:
        nonlocal kept
        for label in labels:
            if label.kept and label.caption:
                kept += 1
                yield label

    drawn = heapq.nsmallest(n * CANDIDATES, usable(), key=lambda label: _rank(label, seed))
    return Candidates(labels=tuple(drawn), kept=kept)


def speech_in_transcripts(clips: Iterable[Clip], transcripts: Iterable[Transcript]) -> dict[Clip, str]:
    """Return the speech in each clip, as the teacher `asr` hears it: the segments whose middle lies in it.

    Silent clips are left out. A transcript belongs to the files that are called as its video, whatever their extension
    and folder; of several the one whose folders agree most.
    """
    wanted: dict[str, list[Clip]] = {}
    for clip in clips:
        wanted.setdefault(video_of(clip.source), []).append(clip)
    spoken: dict[Clip, tuple[int, str]] = {}
    for transcript in transcripts:
        for clip in wanted.get(_transcribed(transcript.video), ()):
            found = _agreeing_folders(transcript.video, clip.source), speech_in(transcript, clip)
            if found[0] > (best := spoken.get(clip, (-1, ""))[0]) or (found[0] == best and found[1]):
                spoken[clip] = found
    return {clip: text for clip, (_, text) in spoken.items() if text}


def speech_in_labels(clips: Iterable[Clip], labels: Iterable[Pseudolabel]) -> dict[Clip, str]:
    """Return the same from the rows of a labelling run whose teacher was the speech: those of the very same clips."""
    wanted = {_interval(clip): clip for clip in clips}
    found = ((wanted.get(_interval(label.clip)), label.caption) for label in labels)
    return {clip: text for clip, text in found if clip is not None and text}


def pair_up(candidates: Candidates, spoken: Mapping[Clip, str], *, n: int) -> PairDraw:
    """Pair the first `n` candidates in which somebody speaks and whose video can be opened."""
    pairs: dict[str, AuditPair] = {}
    silent, missing = 0, []
    for label in candidates.labels:
        if len(pairs) == n:
            break
        text = spoken.get(label.clip)
        if text is None:
            silent += 1
        elif problem := _problem(label.clip.source):
            missing.append(f"{label.clip.source}: {problem}")
        else:
            pair = _pair(label, text)
            pairs[pair.id] = pair
    if not pairs:
        raise DataError(_none_left(candidates, silent, missing))
    return PairDraw(pairs=tuple(pairs.values()), silent=silent, missing=tuple(missing))


def stand_alone(candidates: Candidates, *, n: int) -> PairDraw:
    """Take the first `n` candidates whose video can be opened, to be judged without speech beside them."""
    return pair_up(candidates, {label.clip: "" for label in candidates.labels}, n=n)


def video_of(source: str) -> str:
    """Return the video's name without folder and extension, as transcripts name it."""
    return PurePosixPath(source).stem


def _transcribed(video: str) -> str:
    """Return a transcript's video without folder and, where it has one, extension: a name with dots keeps them."""
    name = PurePosixPath(video)
    return name.stem if name.suffix.lower() in VIDEO_EXTENSIONS else name.name


def _agreeing_folders(video: str, source: str) -> int:
    """Return how many folders above a video's name are those above a file's."""
    pairs = zip(reversed(PurePosixPath(video).parts[:-1]), reversed(PurePosixPath(source).parts[:-1]), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _pair(label: Pseudolabel, speech: str) -> AuditPair:
    clip = label.clip
    content = (*_interval(clip), label.caption, speech)
    name = hashlib.sha256("\0".join(map(str, content)).encode()).hexdigest()[:16]
    return AuditPair(id=name, source=clip.source, start=clip.start, end=clip.end, pseudolabel=label.caption, asr=speech)


def _rank(label: Pseudolabel, seed: int) -> bytes:
    """Order labels at random; a mined clip has many, one for each picture."""
    picture = (label.parent,) if label.teacher == MINED else ()
    return hashlib.sha256("\0".join(map(str, (seed, *_interval(label.clip), *picture))).encode()).digest()


def _interval(clip: Clip) -> tuple[str, float, float]:
    """Identify a clip wherever its file lies."""
    return video_of(clip.source), clip.start, clip.end


def _problem(source: str) -> str:
    """Return why the video cannot be displayed; empty where it can."""
    media = locate_media(source)
    if media is None:
        return "there is no such file on this machine"
    try:
        with opened(media) as path, open_video(path, threads=1) as reader:
            next(iter(reader.decode([0.0])))
    except DecodeError as error:
        return error.problem
    return ""


def _none_left(candidates: Candidates, silent: int, missing: Sequence[str]) -> str:
    if not candidates.kept:
        return "there is no pair to judge: no label has a caption that the filters kept"
    if missing:
        return (
            f"there is no pair to judge: of {len(missing):,} clips in which somebody speaks no video can be opened "
            f"(the first is {missing[0]}); say where the videos lie (--videos)"
        )
    first = candidates.labels[0].clip.source
    return (
        f"there is no pair to judge: of {silent:,} clips none has speech in the transcripts; the first is of {first}, "
        f"whose transcript must be called {video_of(first)!r}"
    )
