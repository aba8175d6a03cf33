"""Split a corpus by lists of ids, and refuse to test on what was trained on.

The case in point: the 1k-A retrieval split of MSR-VTT trains on 9,000 videos, and 1,990 of them are test
videos of the captioning split. A caption score after such training measures memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path, PurePosixPath

from pseudocap.data.corpora.base import SPLITS, Corpus, Mismatch
from pseudocap.data.videos import plain_name
from pseudocap.errors import ConfigError, DataError, nearest
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo, Origin


def read_list(path: str | PathLike[str]) -> list[str]:
    """Read ids of videos: one a line, or of a .csv the column `video_id`."""
    path = Path(path)
    ids: dict[str, None] = {}
    if path.suffix.lower() == ".csv":
        found = [
            (line, reading.field(row, "video_id", str, where=f"{path}, line {line}"))
            for line, row in reading.csv_rows(path)
        ]
    else:
        found = list(reading.lines(path))
    for line, text in found:
        name = reading.identifier(text, "video_id", where=f"{path}, line {line}")
        if name in ids:
            raise DataError(f"{path}, line {line}: {name!r} appears twice; a split lists a video once")
        ids[name] = None
    if not ids:
        raise DataError(f"{path} lists no video")
    return list(ids)


def resplit(corpus: Corpus, lists: Mapping[str, str | PathLike[str] | None], *, allow_leak: bool = False) -> Corpus:
    """Return the corpus with the splits of these lists: a file of ids, or None to leave the split out.

    A split that is not mentioned stays as the annotations have it. Videos that train shares with any other are refused,
    or with `allow_leak` recorded as a Mismatch that every result reports.
    """
    for name in lists:
        if name not in SPLITS:
            raise DataError(f"split {name!r} is none of {', '.join(SPLITS)}{nearest(name, SPLITS)}")
    by_id: dict[str, CaptionedVideo] = {row.id: row for row in corpus.rows}
    rows: list[CaptionedVideo] = []
    sources: dict[str, str] = {}
    files = list(corpus.files)
    for split in (*SPLITS, *(name for name in corpus.splits if name not in SPLITS)):
        path = lists.get(split)
        if path is not None:
            files.append(Path(path))
            names = read_list(path)
            if unknown := [name for name in names if name not in by_id]:
                problem = (
                    f"{len(unknown):,} of its {len(names):,} videos are not in {corpus.name}, {unknown[0]!r} first"
                )
                raise DataError(f"{path}: {problem}; take the list that belongs to these annotations")
            rows += [replace(by_id[name], split=split) for name in names]
        elif split not in lists:
            rows += [row for row in corpus.rows if row.split == split]
        sources[split] = Path(path).name if path is not None else "the annotations"
    narrowed = replace(corpus, rows=tuple(rows), files=tuple(files))
    leaks: list[Mismatch] = []
    for split in narrowed.splits:
        if split != "train" and "train" in narrowed.splits:
            leaks += refuse_leak(narrowed.split("train"), narrowed.split(split), allow_leak=allow_leak, sources=sources)
    return replace(narrowed, mismatches=(*corpus.mismatches, *leaks))


def hold_out(
    corpus: Corpus,
    share: float,
    *,
    seed: int,
    train: str = "train",
    val: str = "val",
    is_there: Callable[[CaptionedVideo], bool] = lambda row: True,
) -> Corpus:
    """Split off this share of the training videos for validation, at least one of them; none of a single video.

    A video goes with all its stretches. Which ones is a function of the seed and their names, so a corpus that grows
    keeps those that it had where they still belong. Only videos that are present are drawn and counted: a missing one
    would validate nothing.
    """
    if isinstance(share, bool) or not 0 <= share < 1:
        raise ConfigError(f"the share that is held out must be from 0 to below 1, not {share!r}")
    names = {plain_name(row.video) for row in corpus.rows if row.split == train and is_there(row)}
    if share == 0 or len(names) < 2:
        return corpus
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogatepass")).digest())
    held = set(drawn[: max(1, round(share * len(names)))])
    rows = (
        replace(row, split=val) if row.split == train and plain_name(row.video) in held else row for row in corpus.rows
    )
    return replace(corpus, rows=tuple(rows))


def refuse_leak(
    train: Corpus, held_out: Corpus, *, allow_leak: bool = False, sources: Mapping[str, str] | None = None
) -> tuple[Mismatch, ...]:
    """Refuse to hold out a split of which videos are trained on; `sources` names the origin of each split.

    Both corpora are narrowed to one split. With `allow_leak` the number is returned, for the results.
    """
    trained = {row.id for row in train.rows}
    held = {row.id for row in held_out.rows}
    if not (shared := len(trained & held)):
        return ()
    split = held_out.splits[0]
    if not allow_leak:
        origin = {name: f" ({source})" for name, source in (sources or {}).items()}
        way_out = (
            "take them out of one of the two, or force it (CaptionData(allow_leak=True)), which every result reports"
        )
        if sources is not None:  # of a corpus with lists of its own
            way_out = (
                "the 9k training list of MSR-VTT belongs to the 1k-A retrieval split, not to the captioning one; take "
                f"lists of one split, leave {split} out (--split {split}=none), or force it (allow_leak, --allow-leak),"
                " which every result reports"
            )
        raise DataError(
            f"the training list{origin.get('train', '')} holds {shared:,} of the {len(held):,} videos of "
            f"{split}{origin.get(split, '')}: a score there would measure memory, not captioning; {way_out}"
        )
    return (Mismatch(what=f"videos of {split} that are trained on", expected=0, found=shared),)


def refuse_trained_on(trained: Corpus, test: Corpus, *, allow_leak: bool = False) -> tuple[Mismatch, ...]:
    """Refuse to test on what another corpus, or another split of the same one, has trained: videos of the same name in
    whatever folder and format or, of another corpus, of the same seconds of a page. With `allow_leak` the number is
    returned."""
    names = {PurePosixPath(plain_name(row.video)).name for row in trained.rows}
    stretches: dict[str, list[Origin]] = {}
    related = trained.name.partition("-")[0] == test.name.partition("-")[0]  # whose published splits are as they are
    for row in trained.rows:
        if row.origin is not None and not related:
            stretches.setdefault(_page(row.origin), []).append(row.origin)
    shared = [
        row.id
        for row in test.rows
        if PurePosixPath(plain_name(row.video)).name in names
        or (row.origin is not None and _overlap(row.origin, stretches.get(_page(row.origin), ())))
    ]
    if shared and not allow_leak:
        raise DataError(
            f"{len(shared):,} of the {len(test):,} videos of {test.name} {test.splits[0]} were trained on in "
            f"{trained.name} {', '.join(trained.splits)} ({shared[0]} first): a score there would measure memory; test "
            "on another split, or force it (allow_leak, --allow-leak), which the result reports"
        )
    what = f"videos of {test.splits[0]} that {trained.name} has trained on"
    return (Mismatch(what=what, expected=0, found=len(shared)),) if shared else ()


def _page(origin: Origin) -> str:
    """Return the id of a video on YouTube, or the address of any other page."""
    found = re.search(r"(?:v=|youtu\.be/)([\w-]{11})", origin.url)
    return found[1] if found else origin.url


def _overlap(origin: Origin, others: Iterable[Origin]) -> bool:
    return any(origin.start < other.end and other.start < origin.end for other in others)
