"""Pack labels and videos as WebDataset tars in video2dataset's layout: what streams, and other people's loaders, read.

    00000.tar         000000000.mp4 (or .jpg), 000000000.txt, 000000000.json, then 000000001...
    00000.parquet     a row for every label that was to be packed: key, caption, status, error
    pack.json         from which labels, and how; written first

A tar gets its name when it is complete, so an interrupted run goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, groupby, islice
from os import PathLike
from pathlib import Path

import pyarrow
import pyarrow.parquet

from pseudocap.errors import ConfigError, DataError, DecodeError, first_line
from pseudocap.files.atomic import unfinished_group
from pseudocap.files.tars import add_member
from pseudocap.label.cut import Cut, Cutting, cut_clips
from pseudocap.label.engines import CRASHED
from pseudocap.label.row_labels import read_any_labels, source_files
from pseudocap.label.run_folder import alone_in, write_json
from pseudocap.label.sources import fetch_media, member_of
from pseudocap.types import Clip, Progress, Pseudolabel
from pseudocap.workers import Pool

PACK = "pack.json"
PIECE = 16  # clips of one video that a worker cuts at once
RECORDED = ("captions", "log_probs", "confidence", "verdicts", "teacher", "revision", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPacking:
    """Set which labels are packed, and how. `verdicts` lets those through that the filters object to."""

    cutting: Cutting = field(default_factory=Cutting)
    shard_size: int = 1000
    verdicts: bool = False
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.shard_size <= 10_000:
            raise ConfigError(
                f"shard_size is {self.shard_size} and must lie between 1 and 10000: keys have four digits"
            )

    def wants(self, label: Pseudolabel) -> bool:
        if label.failed or not label.caption or (label.verdicts and not self.verdicts):
            return False
        if self.min_confidence is None:
            return True
        return label.confidence is not None and label.confidence >= self.min_confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Count what a run wrote: tars, samples by how they were cut, and why some are missing."""

    tars: int
    samples: int
    cuts: Mapping[str, int]
    failed: Mapping[str, str]


def pack(
    labels: str | PathLike[str],
    out: Path,
    packing: ClipPacking,
    *,
    root: str | PathLike[str] | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Packed:
    """Write the tars that are not there yet. `root` says where the videos lie now, if they have moved."""
    with alone_in(out, "packing") as scratch:
        document = {"labels": _fingerprint(labels), **asdict(packing)}
        _require_same(out, document)
        total = sum(packing.wants(label) for label in read_any_labels(labels, root=root))
        if not total:
            raise DataError(f"{labels} holds no label to pack; see `--with-verdicts`, and what stats.json says")
        wanted = (label for label in read_any_labels(labels, root=root) if packing.wants(label))
        cuts: Counter[str] = Counter()
        failed: dict[str, str] = {}
        with Pool(workers, partial(_cut_piece, cutting=packing.cutting, scratch=scratch)) as pool:
            for number, first in enumerate(range(0, total, packing.shard_size)):
                shard = list(islice(wanted, packing.shard_size))
                tar = out / f"{number:05d}.tar"
                if not _is_complete(tar):
                    found = pool.ordered(_pieces(shard), crashed=lambda piece: [Cut(problem=CRASHED) for _ in piece])
                    _write_shard(tar, number, shard, chain.from_iterable(found), cuts, failed)
                if progress is not None:
                    progress(first + len(shard), total)
    if not any(out.glob("*.tar")):
        name, reason = next(iter(failed.items()))
        raise DataError(
            f"none of the {total} clips can be cut ({name}: {reason}); where the videos have moved to, say it with "
            "--videos DIR"
        )
    return Packed(tars=number + 1, samples=cuts.total(), cuts=dict(sorted(cuts.items())), failed=failed)


def _is_complete(tar: Path) -> bool:
    """Return whether a complete tar is there: what failed, because the videos had moved, say, is tried again."""
    listed = tar.with_suffix(".parquet")
    if not (tar.exists() and listed.exists()):
        return False
    return bool(set(pyarrow.parquet.read_table(listed, columns=["status"])["status"].to_pylist()) <= {"success"})


def _fingerprint(labels: str | PathLike[str]) -> str:
    """Hash the rows' files, so that tars of other labels are not mixed in."""
    digest = hashlib.sha256()
    for path in source_files(labels):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _require_same(out: Path, document: Mapping[str, object]) -> None:
    path = out / PACK
    if path.exists():
        try:
            before = json.loads(path.read_bytes())
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}); choose another --out") from error
        if before != json.loads(json.dumps(document)):
            raise DataError(f"{out} holds tars of other labels or other settings; choose another --out")
    elif any(out.glob("*.tar")):
        raise DataError(f"{out} holds tars that were not packed here; choose another --out")
    else:
        write_json(path, document)


Piece = list[tuple[Clip, float]]


def _pieces(shard: list[Pseudolabel]) -> Iterator[Piece]:
    """Return the clips of one video at a time, each with the moment that its label is of."""
    for _, labels in groupby(shard, key=lambda label: label.clip.source):
        while some := list(islice(labels, PIECE)):
            times = [label.frame_times or (label.clip.centre,) for label in some]  # of several the middle one counts
            yield [(label.clip, its[len(its) // 2]) for label, its in zip(some, times, strict=True)]


def _cut_piece(clips: Piece, *, cutting: Cutting, scratch: Path) -> list[Cut]:
    copy = ""
    try:
        media = member_of(clips[0][0].source)
        path = media.address if media.is_local else (copy := fetch_media(media, scratch))
        return cut_clips(path, clips, cutting)
    except (DecodeError, DataError, OSError) as error:
        problem = error.problem if isinstance(error, DecodeError) else first_line(error)
        return [Cut(problem=problem) for _ in clips]
    finally:
        if copy:
            Path(copy).unlink(missing_ok=True)


def _write_shard(
    tar: Path,
    number: int,
    labels: list[Pseudolabel],
    cuts: Iterator[Cut],
    counted: Counter[str],
    failed: dict[str, str],
) -> None:
    rows = []
    try:
        with suppress(_EmptyError), unfinished_group(tar.with_suffix(".parquet"), tar) as (listed, scratch):
            with tarfile.open(scratch, "w") as archive:
                for index, (label, cut) in enumerate(zip(labels, cuts, strict=True)):
                    key = f"{number:05d}{index:04d}"
                    status = "failed_to_subsample" if cut.problem else "success"  # video2dataset's words
                    rows.append({"key": key, "caption": label.caption, "status": status, "error_message": cut.problem})
                    if cut.problem:
                        failed[f"{label.clip.source}, {label.clip.start:g} s"] = cut.problem
                        continue
                    counted[cut.how] += 1
                    add_member(archive, f"{key}.{'jpg' if cut.how == 'frame' else 'mp4'}", cut.media)
                    add_member(archive, f"{key}.txt", label.caption.encode())
                    metadata = {
                        "key": key,
                        "cut": cut.how,
                        **asdict(label.clip),
                        "settings": json.loads(label.settings),
                    }
                    metadata |= {name: getattr(label, name) for name in RECORDED}
                    add_member(archive, f"{key}.json", json.dumps(metadata, sort_keys=True).encode())
            if not any(row["status"] == "success" for row in rows):
                raise _EmptyError
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), listed)
    except OSError as error:
        raise DataError(
            f"{tar} cannot be written ({first_line(error)}); the tars before it are complete: make room, and run again"
        ) from error


class _EmptyError(Exception):
    """Report a tar without samples, which is not written: the next run tries again."""
