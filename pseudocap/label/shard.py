"""Make the rows of one shard: decoded clips go in, are captioned in batches, and come out as labels with verdicts.

A shard decides alone what is batched with what, so wherever it is done, and beside whatever, it gives the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pseudocap.errors import ConfigError
from pseudocap.label.candidates import MinedCandidates
from pseudocap.label.consensus import agreements, medoid_first
from pseudocap.label.filters import Filters, is_of_text, verdicts
from pseudocap.label.framing import DecodedClip, Framing
from pseudocap.label.looks import look_verdicts
from pseudocap.label.teachers.base import Answer, Teacher, View
from pseudocap.label.work import DecodedClips, Done, Kept
from pseudocap.types import Clip, Pseudolabel


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSpec:
    """Hold what rows depend on besides sources and teacher. `batch_size` counts views, `shard_size` files."""

    framing: Framing = field(default_factory=Framing)
    filters: Filters = field(default_factory=Filters)
    seed: int = 0
    batch_size: int = 32
    shard_size: int = 32
    candidates: MinedCandidates | None = None  # captions that vote, too

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed} and must fit into 64 bits")
        for name in ("batch_size", "shard_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)} and must be at least 1")
        if self.candidates is not None and self.framing.choice != "consensus":
            raise ConfigError(f"candidates vote with the captions of a clip's frames; frames is {self.framing.choice}")
        if self.filters.min_motion and self.framing.choice not in ("consensus", "spread"):
            raise ConfigError(
                f"min_motion compares the frames of a clip, and with frames {self.framing.choice} there is at most one:"
                " take consensus, or a teacher of video"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRecipe:
    """Hold what the rows of a run are made with, as they record it."""

    spec: LabelSpec
    teacher: str
    revision: str | None
    settings: str  # as JSON
    run: str


@dataclass(kw_only=True, slots=True)
class _Entry:
    """Hold a clip on its way to a label, with the teacher's answers so far."""

    decoded: DecodedClip
    looks: tuple[str, ...] = ()  # verdicts on its frames, which are not held
    answers: list[Answer] = field(default_factory=list)


class Shard:
    """Take decoded clips in the order of the sources; `finish` returns the labels of all of them."""

    def __init__(self, *, number: int, teacher: Teacher, recipe: LabelRecipe, kept: Mapping[str, Kept]) -> None:
        self.number = number
        self._teacher = teacher
        self._recipe = recipe
        self._kept = kept
        self._entries: dict[str, list[_Entry]] = {}  # by source
        self._plans: dict[str, frozenset[tuple[float, float]]] = {}
        self._waiting: list[tuple[_Entry, View]] = []
        self._fresh = self._failed = self._videos = 0
        self._seconds = 0.0

    def take(self, part: DecodedClips) -> None:
        """Queue clips for the teacher, which captions as soon as a batch is full."""
        source = part.media.name
        entries = self._entries.setdefault(source, [])
        self._videos += part.ends
        if part.clips is not None:
            self._plans[source] = frozenset((clip.start, clip.end) for clip in part.clips)
        for decoded in part.decoded:
            clip = decoded.clip
            self._fresh += 1
            self._failed += bool(decoded.problem)
            self._seconds += clip.end - clip.start if not decoded.problem else 0.0
            entry = _Entry(
                decoded=replace(decoded, frames=None),
                looks=look_verdicts(decoded.frames, self._recipe.spec.filters),
            )
            entries.append(entry)
            if not decoded.problem:
                self._waiting += [(entry, view) for view in self._views(decoded)]
        while len(self._waiting) >= self._recipe.spec.batch_size:
            self._ask()

    def _views(self, decoded: DecodedClip) -> list[View]:
        """Return a view for each frame where they are captioned by themselves, else one with all of them."""
        spec, frames = self._recipe.spec, decoded.frames
        groups = [frames] if frames is None or spec.framing.choice != "consensus" else [f[None] for f in frames]
        return [
            View(clip=decoded.clip, frames=group, key=view_key(spec.seed, decoded.clip, number))
            for number, group in enumerate(groups)
        ]

    def _ask(self) -> None:
        size = self._recipe.spec.batch_size
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        views = [view for _, view in batch]
        # Always the same shape, for the same kernels: rounding differs between them, and so, rarely, would captions.
        answers = self._teacher.caption(views + [views[-1]] * (size - len(views)))
        for (entry, _), answer in zip(batch, answers[: len(batch)], strict=True):
            entry.answers.append(answer)

    def finish(self) -> Done:
        """Caption the rest, and return all labels of the shard."""
        if self._waiting:
            self._ask()
        return Done(
            number=self.number,
            labels=tuple(self._labels()),
            videos=self._videos,
            clips=self._fresh,
            failed=self._failed,
            seconds=self._seconds,
        )

    def _labels(self) -> list[Pseudolabel]:
        """Return labels by source, start and end, those that were kept among the new ones."""
        texts: dict[int, list[str]] = {}
        if self._recipe.spec.framing.choice == "consensus":
            answered = (entry for entries in self._entries.values() for entry in entries if entry.answers)
            texts = {id(entry): self._voting(entry) for entry in answered}
        votes = agreements(texts)  # how well each frame's caption agrees with the others
        elected = {name: (captions, votes[name]) for name, captions in texts.items()}
        labels: list[Pseudolabel] = []
        for source, entries in self._entries.items():
            old = self._kept.get(source)
            mine = [self._label(entry, elected.get(id(entry)), old or Kept()) for entry in entries]
            if old is not None:
                plan = self._plans.get(source)
                mine += [label for label in old.labels if plan is None or (label.clip.start, label.clip.end) in plan]
            mine.sort(key=lambda label: (label.clip.start, label.clip.end))
            found = verdicts([None if label.failed else label.caption for label in mine], self._recipe.spec.filters)
            for label, verdict in zip(mine, found, strict=True):
                others = tuple(name for name in label.verdicts if not is_of_text(name))
                labels.append(replace(label, verdicts=verdict + others))
        for source, old in self._kept.items():  # of a tar, say, that cannot be read today: nothing is lost
            if source not in self._entries:
                labels += old.labels
        return labels

    def _voting(self, entry: _Entry) -> list[str]:
        """Return the caption of each frame, and as many from elsewhere at most."""
        texts = [answer.captions[0] for answer in entry.answers]
        candidates = self._recipe.spec.candidates
        return texts if candidates is None else texts + candidates.within(entry.decoded.clip, len(texts))

    def _label(self, entry: _Entry, elected: tuple[list[str], list[float]] | None, old: Kept) -> Pseudolabel:
        captions: tuple[str, ...] = ()
        log_probs: tuple[float, ...] = ()
        confidence: float | None = None
        if elected is not None:
            texts, votes = elected
            order = medoid_first(votes)
            captions = tuple(texts[index] for index in order)
            if len(texts) == len(entry.answers):  # those from elsewhere have none
                log_probs = tuple(value for index in order for value in entry.answers[index].log_probs[:1])
            confidence = votes[order[0]]
        elif entry.answers:
            (answer,) = entry.answers
            captions, log_probs, confidence = answer.captions, answer.log_probs, answer.confidence
        times = entry.decoded.clip.start, entry.decoded.clip.end
        near = () if entry.decoded.problem else old.near.get(times, ())
        return Pseudolabel(
            clip=entry.decoded.clip,
            captions=captions,
            log_probs=log_probs,
            confidence=confidence,
            frame_times=entry.decoded.times,
            teacher=self._recipe.teacher,
            revision=self._recipe.revision,
            settings=self._recipe.settings,
            seed=self._recipe.spec.seed,
            run=self._recipe.run,
            parent=old.parents.get(times),
            verdicts=entry.looks + near,
            error=entry.decoded.problem,
        )


def view_key(seed: int, clip: Clip, number: int) -> int:
    """Return 63 bits that name one view of one clip in one run: what its sampling noise is a function of."""
    text = f"{seed}\0{clip.source}\0{clip.start!r}\0{number}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "little") >> 1
