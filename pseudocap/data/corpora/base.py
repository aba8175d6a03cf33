"""Hold a corpus as one value: its rows, their origin, what was checked, and hashes that go into every result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError, nearest
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo, Origin

Annotations = str | PathLike[str] | Sequence[str | PathLike[str]]
SPLITS = ("train", "val", "test")
NAMES = {name: name for name in SPLITS}  # of splits in the names of files
VALIDATION = ("val", "valid", "validate", "validation", "dev")  # in any case


def split_name(name: str) -> str:
    """Return how a split is called here: val by all its names."""
    return "val" if name.lower() in VALIDATION else name


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """Record a figure that is not what it must be, where the caller chose to continue all the same."""

    what: str
    expected: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Hold rows with unique ids within a split, in the order of the files. Readers make it; `split` narrows it."""

    name: str
    rows: tuple[CaptionedVideo, ...]
    files: tuple[Path, ...]
    mismatches: tuple[Mismatch, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that have rows: train, val, test, then others."""
        names = {row.split for row in self.rows}
        return (*(name for name in SPLITS if name in names), *sorted(names - set(SPLITS)))

    def split(self, name: str) -> Corpus:
        name = name if name in self.splits else split_name(name)
        if name not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise DataError(f"{self.name} has no split {name!r}{nearest(name, self.splits)}; it has {known}")
        return replace(self, rows=tuple(row for row in self.rows if row.split == name))

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Return the languages that its captions are asked for in; none where they are all in one."""
        return tuple(sorted({row.language for row in self.rows if row.language}))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        videos = Counter(row.split for row in self.rows)
        captions: Counter[str] = Counter()
        for row in self.rows:
            captions[row.split] += len(row.captions)
        return {name: {"videos": videos[name], "captions": captions[name]} for name in self.splits}

    @cached_property
    def content_hash(self) -> str:
        """Hash what is learned from with sha256: ids, videos, times, captions and questions, in no order, from whatever
        file."""
        content = sorted(
            json.dumps(
                [row.split, row.id, row.video, row.start, row.end, sorted(row.captions)]
                + [each for each in (row.question, row.language) if each]
            )
            for row in self.rows
        )
        return _sha256(content)

    def split_hash(self, name: str) -> str:
        """Hash the ids of a split with sha256, in no order: equal means that the same videos were used."""
        return hash_ids(row.id for row in self.rows if row.split == name)

    def provenance(self) -> dict[str, Any]:
        """Describe the data of a result, for JSON; files by name, without their folders on this machine."""
        return {
            "corpus": self.name,
            "content_sha256": self.content_hash,
            "splits": {name: {**self.counts[name], "ids_sha256": self.split_hash(name)} for name in self.splits},
            "files": [path.name for path in self.files],
            "mismatches": [asdict(mismatch) for mismatch in self.mismatches],
        }


def hash_ids(ids: Iterable[str]) -> str:
    """Hash ids with sha256, in no order."""
    return _sha256(sorted(ids))


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


class Checks:
    """Compare files with what their corpus fixes: a difference is an error, or with `allow_partial` a Mismatch."""

    def __init__(self, *, allow_partial: bool) -> None:
        self._allow_partial = allow_partial
        self._kept: list[Mismatch] = []
        self._skipped: Counter[str] = Counter()

    def expect(self, what: str, expected: int, found: int, *, where: str, detail: str = "") -> None:
        """Compare a figure with the expected one; `detail` names the first offender."""
        if expected == found:
            return
        if not self._allow_partial:
            more = f" ({detail})" if detail else ""
            raise DataError(
                f"{where}: {found:,} {what}, and there must be {expected:,}{more}; fetch the files again, or allow a "
                "partial corpus (allow_partial, --allow-partial), which every result then reports"
            )
        self._kept.append(Mismatch(what=what, expected=expected, found=found))

    def skip(self, what: str, error: DataError) -> None:
        """Refuse a row that cannot be used, or leave it out and count it."""
        if not self._allow_partial:
            raise DataError(f"{error}; or leave out what is broken (allow_partial, --allow-partial)") from error
        self._skipped[what] += 1

    def caption(self, text: object, *, where: str, name: str = "caption") -> tuple[str, ...]:
        """Return a caption; none where it cannot be used and may be left out."""
        try:
            return (reading.caption(text, where=where, name=name),)
        except DataError as error:
            self.skip("unusable captions", error)
            return ()

    def leave_out(self, what: str) -> None:
        """Count a row that is as it may be, and of no use here."""
        self._skipped[what] += 1

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        left_out = (Mismatch(what=what, expected=0, found=found) for what, found in self._skipped.items())
        return (*self._kept, *left_out)


def fixed_corpus(
    name: str,
    rows: Sequence[CaptionedVideo],
    *,
    files: tuple[Path, ...],
    checks: Checks,
    videos: Mapping[str, int],
    captions_each: int | Mapping[str, int] | None = None,
    of: str = "videos",
) -> Corpus:
    """Build a corpus whose counts are known: the videos of every split (or the rows of another kind: `of`) and, unless
    None, the captions of every video, by split where they differ.

    Videos without any caption are counted, then left out.
    """
    where = ", ".join(str(path) for path in files)
    found = Counter(row.split for row in rows)
    for split, expected in videos.items():
        checks.expect(f"{of} in {split}", expected, found[split], where=where)
    if captions_each is None:
        _expect_captions(checks, f"{of} with captions", rows, [row for row in rows if not row.captions], where=where)
    elif isinstance(captions_each, int):
        odd = [row for row in rows if len(row.captions) != captions_each]
        _expect_captions(checks, f"videos with {captions_each} captions", rows, odd, where=where)
    else:
        for split, each in captions_each.items():
            mine = [row for row in rows if row.split == split]
            odd = [row for row in mine if len(row.captions) != each]
            _expect_captions(checks, f"videos in {split} with {each} captions", mine, odd, where=where)
    usable = tuple(row for row in rows if row.captions)
    return Corpus(name=name, rows=usable, files=files, mismatches=checks.mismatches)


def _expect_captions(
    checks: Checks, what: str, rows: Sequence[CaptionedVideo], odd: Sequence[CaptionedVideo], *, where: str
) -> None:
    detail = f"{odd[0].id} has {len(odd[0].captions)}" if odd else ""
    checks.expect(what, len(rows), len(rows) - len(odd), where=where, detail=detail)


def youtube(video: str, start: float, end: float) -> Origin:
    """Return these seconds of a video on YouTube as an origin."""
    return Origin(url=f"https://www.youtube.com/watch?v={video}", start=start, end=end)


def annotation_files(annotations: Annotations, layouts: Sequence[Sequence[str]], *, corpus: str) -> tuple[Path, ...]:
    """Return the files that were named, or those of the one layout, of several of a corpus, in a folder."""
    if not isinstance(annotations, str | PathLike):
        return tuple(file for path in annotations for file in annotation_files(path, layouts, corpus=corpus))
    folder = Path(annotations)
    if folder.is_file():
        return (folder,)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such file or folder; name the annotations of {corpus}")
    found = [names for names in layouts if any((folder / name).is_file() for name in names)]
    if len(found) == 1:
        return tuple(folder / name for name in found[0] if (folder / name).is_file())
    if found:
        several = " and ".join(names[0] for names in found)
        raise DataError(f"{folder} holds {corpus} more than once ({several}); name the file that is meant")
    wanted = "; or ".join(" with ".join(names) for names in layouts)
    raise DataError(f"{folder} holds no annotations of {corpus}; wanted are {wanted}")


def split_files(
    annotations: Annotations,
    layout: Sequence[str],
    *others: Sequence[str],
    corpus: str,
    names: Mapping[str, str] = NAMES,
) -> dict[Path, str]:
    """Return the files of a corpus with their splits, by the one of `names` that the name of each holds; `others` are
    layouts that it has elsewhere."""
    files = {}
    for path in annotation_files(annotations, (layout, *others), corpus=corpus):
        found = [split for name, split in names.items() if name in path.name.lower()]
        if len(found) != 1:
            raise DataError(f"{path}: its name must say which split it is: one of {', '.join(names)}")
        files[path] = found[0]
    return files
