"""Plan a run of `pseudocap learn`: its videos, which of them are held out, its settings; no torch.

The defaults are for somebody with 50 to 5,000 clips that nobody has captioned, and one GPU or none: start from a
captioner that describes real pictures, learn from what a teacher writes about the clips, hold whole files out, and
measure on those before and after. Memories of the frozen encoder replace packed clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.errors import ConfigError, DataError, DecodeError
from pseudocap.files.atomic import write_text
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip, Progress
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import probe

if TYPE_CHECKING:
    from pseudocap.data.corpora.base import Corpus

LABELS, CAPTIONS, MEMORIES = "labels", "captions", "memories"  # the stages, each with a folder of its name
TRAIN, TUNE, CAPTIONER, REPORT = "train", "finetune", "captioner", "report"
LEARNED, HELD_OUT, REFERENCES, PEOPLE = "learned", "held-out", "references", "people"  # rows of captions, and memories
PAGE = "report.html"
FILE, FORMAT = "run.json", 1
FEWEST = 3  # videos: two to be held out, for a score needs two, and one to learn from
PASSES, STEPS = 10, (40, 2000)  # over the clips, and the fewest and most steps that this may come to
BATCH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundVideo:
    """Hold a readable video by its path from the folder; `size` in bytes tells whether it was replaced."""

    name: str
    size: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LearnPlan:
    """Hold what a run depends on. `steps` of 0 means: by the number of clips."""

    root: str  # the folder of the videos
    videos: tuple[FoundVideo, ...]
    unreadable: dict[str, str]
    start: str
    teacher: str
    captions: str | None = None  # by people, to be scored against: a path, or msrvtt:DIR and its likes
    pictures: str | None = None  # captioned ones, which make the regime mixed
    tune: bool = False
    steps: int = 0
    holdout: float = 0.1
    clip_seconds: float = CLIP_SECONDS
    seed: int = 0
    held_out: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(video.seconds for video in self.videos)

    @property
    def min_seconds(self) -> float:
        return min(MIN_SECONDS, self.clip_seconds)

    def clips_of(self, video: FoundVideo) -> list[Clip]:
        path = str(Path(self.root) / video.name)
        return plan_clips(path, video.seconds, clip_seconds=self.clip_seconds, min_seconds=self.min_seconds)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Return the number of clips to learn from and of those held out."""
        held = set(self.held_out)
        counts = [0, 0]
        for video in self.videos:
            counts[video.name in held] += len(self.clips_of(video))
        return counts[0], counts[1]

    @property
    def clips(self) -> int:
        return sum(self.counts)

    @property
    def batch(self) -> int:
        return min(BATCH, self.counts[0])

    @property
    def optimiser_steps(self) -> int:
        few, many = STEPS
        return self.steps or min(many, max(few, PASSES * self.counts[0] // self.batch))

    @property
    def regime(self) -> str:
        return "mixed" if self.pictures else "video-only"

    @property
    def teaches_itself(self) -> bool:
        return self.teacher == self.start

    def save(self, run: Path) -> None:
        document = {"format": FORMAT, **asdict(self), "videos": [asdict(video) for video in self.videos]}
        write_text(run / FILE, json.dumps(document, indent=1) + "\n")


def read_plan(run: Path) -> LearnPlan | None:
    """Return the plan of a run that has begun."""
    path = run / FILE
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError("another format")
        document["videos"] = tuple(FoundVideo(**video) for video in document["videos"])
        return LearnPlan(**{**document, "held_out": tuple(document["held_out"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as the plan of a run ({error}); name another --out") from error


def find_videos(
    root: Path, progress: Progress = lambda done, total: None
) -> tuple[tuple[FoundVideo, ...], dict[str, str]]:
    """Return the videos below a folder that can be opened, and why the others cannot."""
    from pseudocap.data.videos import VideoFolder

    paths = sorted(VideoFolder(root).paths)
    if not paths:
        raise DataError(f"{root} holds no video; name a folder of video files")
    found, unreadable = [], {}
    for done, path in enumerate(paths, start=1):
        name = path.relative_to(root).as_posix()
        try:
            info = probe(path)
            if info.still:
                raise DecodeError(str(path), "it is a still picture")
            found.append(FoundVideo(name=name, size=path.stat().st_size, seconds=round(info.duration, 3)))
        except DecodeError as error:
            unreadable[name] = error.problem
        progress(done, len(paths))
    if not found:
        name, reason = next(iter(unreadable.items()))
        raise DataError(f"none of the {len(paths):,} videos of {root} can be read; {name}: {reason}")
    return tuple(found), unreadable


def require_enough(source: str, videos: Sequence[FoundVideo]) -> None:
    if len(videos) < FEWEST:
        raise DataError(
            f"{source} has {len(videos)} readable video{'s' * (len(videos) > 1)}, and learning takes at least "
            f"{FEWEST}: two are held out to measure on; add videos, or cut a long one into files"
        )


def refuse_other_videos(run: Path, before: LearnPlan, root: Path, videos: Iterable[FoundVideo]) -> None:
    """Refuse to go on where the folder is another, or has other files than the run began with."""
    if before.root != str(root):
        raise ConfigError(f"{run} learns from the videos of {before.root}; name another --out for those of {root}")
    then = {video.name: video.size for video in before.videos}
    now = {video.name: video.size for video in videos}
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 3:,} more" if len(changed) > 3 else ""
        raise ConfigError(
            f"{root} has changed since {run} was begun with {len(then):,} videos: {', '.join(changed[:3])}{more} "
            "came, went or differ; put them back as they were, or name another --out"
        )


def hold_out(plan: LearnPlan, corpus: Corpus | None) -> LearnPlan:
    """Choose the files that are held out: those that people's captions mark as val or test; else a share drawn by the
    seed, captioned ones first, two at least. So it is where all are marked, and their captions are not learned."""
    names = [video.name for video in plan.videos]
    captioned = files_of(plan, corpus) if corpus is not None else {}
    if corpus is not None and len(set(captioned.values())) < 2:
        raise DataError(
            f"--captions {plan.captions}: {len(set(captioned.values()))} of its videos are below {plan.root}, and a "
            "score needs two; check the names in its field `video`"
        )
    rows = () if corpus is None else corpus.rows
    marked = {captioned[row.id] for row in rows if row.split in ("val", "test") and row.id in captioned}
    if marked and (plan.tune or len(marked) < len(names)):
        chosen = sorted(marked)
    else:
        human = set(captioned.values())
        order = sorted(names, key=lambda name: (name not in human, _drawn(plan.seed, name)))
        chosen = sorted(order[: max(2, round(plan.holdout * len(names)))])
    if len(chosen) < 2 or len(chosen) >= len(names):
        raise DataError(
            f"{len(chosen)} of {len(names)} videos would be held out; at least two must be, and one must be left to "
            "learn from: change --holdout, or the splits in --captions"
        )
    return replace(plan, held_out=tuple(chosen))


def _drawn(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).hexdigest()


def files_of(plan: LearnPlan, corpus: Corpus) -> dict[str, str]:
    """Map the rows of people's captions, by id, to the videos of the plan; rows of other videos are left out."""
    from pseudocap.data.videos import VideoFolder

    folder, known = VideoFolder(plan.root), {video.name for video in plan.videos}
    found = {}
    for row in corpus.rows:
        path = folder.find(row)
        name = None if path is None else path.relative_to(plan.root).as_posix()
        if name in known:
            found[row.id] = name
    return found


def peoples_captions(plan: LearnPlan) -> Corpus | None:
    """Read people's captions; rows that name no split have the split `unmarked`."""
    return None if plan.captions is None else NamedCorpus.of(plan.captions).read(split="unmarked")


def identity_of(word: str | None) -> str:
    """Hash captions, so that changed ones make anew what stands on them: a file by its bytes, a folder by its rows."""
    if word is None:
        return ""
    named = NamedCorpus.of(word)
    if named.kind == "own" and named.path.is_file():
        return hashlib.sha256(named.path.read_bytes()).hexdigest()
    return named.read(split="unmarked").content_hash


def describe(plan: LearnPlan) -> dict[str, Any]:
    """Return what a reader of the report wants to know of the run, for JSON."""
    learned, held = plan.counts
    return {
        "videos": len(plan.videos),
        "unreadable": plan.unreadable,
        "hours": round(plan.seconds / 3600, 3),
        "clips": {"learned from": learned, "held out": held},
        "videos held out": len(plan.held_out),
        "start": plan.start,
        "teacher": plan.teacher,
        "regime": plan.regime,
        "steps": plan.optimiser_steps,
        "batch": plan.batch,
        "seed": plan.seed,
    }
