"""Build an index of videos, and keep it up to date: only what is new, changed or gone is done.

    build_index("index", ["films/a.mp4", "films/b.mp4"], retriever, name="openai/clip-vit-base-patch32")

Files are written whole, some at a time, in one transaction of LanceDB each time, so that a run that is killed at any
moment leaves an index with every file once or not at all; the next run goes on. One run works on an index at a time.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from itertools import chain, tee
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from pseudocap.errors import DataError, first_line
from pseudocap.file_retriever import FileRetriever
from pseudocap.files.claim import claimed
from pseudocap.files.lock import locked
from pseudocap.files.remote import AnyPath, RemotePath, any_path
from pseudocap.search.manifest import IndexManifest, settle_manifest
from pseudocap.search.plan import FileState, IndexPlan, plan_index
from pseudocap.search.reading import ClipSettings, FilmPart, FilmRequest, crashed, read_film_part, read_rest
from pseudocap.search.table import KEY, STATE, clip_schema, of_files, open_table, require_lancedb
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Progress, TimedCaption
from pseudocap.video.shots import CutDetector
from pseudocap.workers import Pool

WRITTEN = 1024  # rows of complete files that wait to be written, ...
PATIENCE = 20.0  # ... or the seconds for which they do
RENEWED = 200  # files whose rows are changed or removed in one transaction
APPROXIMATE = 1_000_000  # clips from which on a vector index is made
KEPT_CAPTIONS = "kept"  # stands for the hash of captions, and equals none: any that are given replace them
KEPT = timedelta(hours=1)  # for how long a search that is under way may still read an older version

Captions = Mapping[str, Sequence[TimedCaption]]  # of files; one of all of a file ends at infinity


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """Report what a run did with its files, by their names; `failed` has the reason of each that gave less than all of
    its clips, in earlier runs too. `clips` and `files` count what is in the index now."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    moved: Mapping[str, str]
    gone: tuple[str, ...]
    unchanged: int
    recaptioned: int
    failed: Mapping[str, str]
    clips: int
    files: int
    seconds: float


def build_index(
    out: str | Path,
    files: Iterable[str],
    retriever: FileRetriever[Any],
    *,
    name: str,
    below: Sequence[str] = (),
    captions: Captions | None = None,
    clip_seconds: float = CLIP_SECONDS,
    min_seconds: float = MIN_SECONDS,
    cuts: CutDetector | None = None,
    num_frames: int | None = None,
    workers: int = 2,
    batch_size: int = 16,
    retry_failed: bool = False,
    approximate: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Index files by a retriever, which is found again by its `name`; files are absolute paths or addresses.

    What is not there any more `below` these folders is taken out. Without `captions` those of the index stay, of
    a changed file those of the same times. With `approximate` clips are searched through an IVF-PQ index, which from a
    million clips on is made in any case.
    """
    require_lancedb()
    started, home = time.monotonic(), any_path(out)
    frames = retriever.frames_of(num_frames)
    manifest = IndexManifest(
        retriever=name, identity=retriever.identity, dim=retriever.dim, frames=frames, reads_text=retriever.reads_text,
        clip_seconds=clip_seconds, min_seconds=min_seconds, cuts={} if cuts is None else dict(cuts.settings),
    )  # fmt: skip
    settings = ClipSettings(
        clip_seconds=clip_seconds, min_seconds=min_seconds, cuts=cuts, frames=frames, crop=retriever.crop,
        sound=retriever.sound, count=8 if retriever.crop else 2,  # entire frames are many bytes
    )  # fmt: skip
    with _alone_in(home):
        settle_manifest(home, manifest)
        schema = clip_schema(manifest.dim)
        table = open_table(home, schema)
        plan = plan_index(
            files, file_states(table), below=below, captioned=_hashes_of(captions), retry_failed=retry_failed
        )
        writer = _Writer(table=table, schema=schema, plan=plan, captions=captions)
        writer.settle_others()
        with (
            tempfile.TemporaryDirectory(prefix="pseudocap-") as scratch,
            Pool(workers, read_film_part, preload=(read_film_part.__module__,)) as pool,
        ):
            writer.write(_Films(retriever, settings, Path(scratch), batch_size).embedded(plan.todo, pool), progress)
        optimise(table, approximate=approximate, written=writer.written)
        return _report(plan, table, started)


def _report(plan: IndexPlan, table: Any, started: float) -> IndexReport:
    states = file_states(table)
    failed = {file: state.error for file, state in states.items() if state.error and file in plan.states}
    return IndexReport(
        new=tuple(plan.new), changed=tuple(plan.changed), moved=plan.moved, gone=tuple(plan.gone),
        unchanged=len(plan.unchanged), recaptioned=len(plan.recaptioned), failed={**plan.unreadable, **failed},
        clips=table.count_rows("vector IS NOT NULL"), files=len(states), seconds=time.monotonic() - started,
    )  # fmt: skip


def file_states(table: Any) -> dict[str, FileState]:
    """Return what the table knows of each of its files."""
    stored = table.search().select(list(STATE)).limit(None).to_arrow()
    columns = [stored[name].to_pylist() for name in STATE]
    return {row[0]: FileState(**dict(zip(STATE[1:], row[1:], strict=True))) for row in zip(*columns, strict=True)}


def optimise(table: Any, *, approximate: bool, written: bool, limit: int = APPROXIMATE) -> None:
    """Make the indices that the rows need, and bring them and the files of the table up to date. Above the limit of
    rows vectors have one in any case."""
    from lancedb.index import FTS, IvfPq

    there = {index.columns[0] for index in table.list_indices()}
    if "caption" not in there and table.count_rows("caption <> ''"):
        table.create_index("caption", config=FTS())
    if "vector" not in there and (approximate or table.count_rows() > limit):
        try:
            table.create_index("vector", config=IvfPq(distance_type="cosine"))
        except RuntimeError as error:
            raise DataError(f"an approximate index cannot be made ({first_line(error)}); leave it out") from error
    if written:
        table.optimize(cleanup_older_than=KEPT)


@dataclass(eq=False, kw_only=True, slots=True)
class EmbeddedFilm:
    """Hold a film with its clips as they were embedded so far."""

    file: str
    content: str = ""
    error: str = ""
    times: list[tuple[float, float]] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    read: bool = False

    @property
    def complete(self) -> bool:
        return self.read and len(self.vectors) == len(self.times)


class _Films:
    """Read files and embed their clips, in batches that span files."""

    def __init__(self, retriever: FileRetriever[Any], settings: ClipSettings, scratch: Path, batch_size: int) -> None:
        self._retriever, self._settings, self._scratch, self._batch_size = retriever, settings, scratch, batch_size
        self._waiting: list[tuple[EmbeddedFilm, Any]] = []
        self._absent: dict[str, str] = {}  # why a file could not be fetched

    def embedded(self, files: Sequence[str], pool: Pool) -> Iterator[EmbeddedFilm]:
        """Yield the films in their order, each once all of its clips are embedded."""
        begun: deque[EmbeddedFilm] = deque()
        requests, ahead = tee(self._requests(files))
        for file, request, head in zip(files, requests, pool.ordered(ahead, crashed=crashed), strict=True):
            film = EmbeddedFilm(file=file)
            begun.append(film)
            for part in chain([head], read_rest(request, head, pool)):
                self._take(film, part)
            film.error = self._absent.pop(file, film.error.replace(request.path, file))
            if "://" in file:
                Path(request.path).unlink(missing_ok=True)
            film.read = True
            while begun and begun[0].complete:
                yield begun.popleft()
        self._embed()
        yield from begun

    def _requests(self, files: Sequence[str]) -> Iterator[FilmRequest]:
        for number, file in enumerate(files):
            yield FilmRequest(path=self._local(file, number), settings=self._settings)

    def _local(self, file: str, number: int) -> str:
        """Return where a file lies here; what lies elsewhere is fetched, and where it cannot be, is not there."""
        if "://" not in file:
            return file
        target = self._scratch / f"{number}{Path(file).suffix}"
        try:
            RemotePath(file).fetch(target)
        except (OSError, DataError) as error:
            self._absent[file] = f"{file}: it cannot be fetched: {first_line(error)}"
            target.unlink(missing_ok=True)
        return str(target)

    def _take(self, film: EmbeddedFilm, read: FilmPart) -> None:
        film.content, film.error = film.content or read.content, film.error or read.part.error
        for (start, end, frames), heard in zip(read.part.clips, read.sounds, strict=True):
            film.times.append((start, end))
            self._waiting.append((film, self._retriever.take(frames, heard)))
            if len(self._waiting) == self._batch_size:
                self._embed()

    def _embed(self) -> None:
        if self._waiting:
            vectors = self._retriever.embed_clips([seen for _, seen in self._waiting]).numpy()
            for (film, _), vector in zip(self._waiting, vectors, strict=True):
                film.vectors.append(vector)
            self._waiting = []


@dataclass(kw_only=True)
class _Writer:
    """Write whole files: those that the table has already are replaced."""

    table: Any
    schema: pyarrow.Schema
    plan: IndexPlan
    captions: Captions | None
    written: bool = False
    _films: list[EmbeddedFilm] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def settle_others(self) -> None:
        """Write what needs no film to be read: names, times and captions that have changed, and what is gone."""
        names, gone = self.plan.renewed, self.plan.gone
        for some in _parts(list(names)):
            self._renew({old: names[old] for old in some})
        for some in _parts(gone):
            self.table.delete(of_files(some))
        self.written = bool(names or gone)

    def _renew(self, names: Mapping[str, str]) -> None:
        """Give the rows of files, by their former names, what they are named now, their marks and new captions."""
        rows = self.table.search().where(of_files(names)).limit(None).to_arrow()
        columns = {name: rows[name].to_pylist() for name in self.schema.names if name != "vector"}
        columns["file"] = [names[file] for file in columns["file"]]
        columns["mark"] = [self.plan.states[file].mark for file in columns["file"]]
        for row, file in enumerate(columns["file"]):
            if file in self.plan.recaptioned:
                # No search is to find the row of a file without clips.
                clip = (columns["start"][row], columns["end"][row]) if rows["vector"][row].is_valid else None
                columns["caption"][row] = caption_of(*clip, self._given(file)) if clip else ""
                columns["captioned"][row] = self.plan.states[file].captioned
        self._replace(pyarrow.table({**columns, "vector": rows["vector"]}, schema=self.schema), names)

    def write(self, films: Iterable[EmbeddedFilm], progress: Progress | None) -> None:
        """Write films as they come, some at a time."""
        for done, film in enumerate(films, start=1):
            self._films.append(film)
            rows = sum(len(each.times) for each in self._films)
            if rows >= WRITTEN or time.monotonic() - self._since >= PATIENCE:
                self._flush()
            if progress is not None:
                progress(done, len(self.plan.todo))
        self._flush()

    def _flush(self) -> None:
        """Write the films that wait as one transaction; those that replace others as a second one."""
        changed = set(self.plan.changed)
        for replacing in (False, True):
            films = [film for film in self._films if (film.file in changed) == replacing]
            if not films:
                continue
            rows = pyarrow.concat_tables([self._rows(film, replacing) for film in films])
            if replacing:
                self._replace(rows, [film.file for film in films])
            else:
                self.table.add(rows)
            self.written = True
        self._films, self._since = [], time.monotonic()

    def _replace(self, rows: pyarrow.Table, files: Iterable[str]) -> None:
        merge = self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        merge = merge.when_not_matched_by_source_delete(of_files(files))
        merge.execute(rows, on_bad_vectors="null")  # of files that could not be read

    def _rows(self, film: EmbeddedFilm, replacing: bool) -> pyarrow.Table:
        if not all(np.isfinite(vector).all() for vector in film.vectors):
            film.error, film.times = f"{film.file}: the retriever gives vectors of it that are not numbers", []
        state = replace(self.plan.states[film.file], content=film.content, error=film.error)
        columns = self._columns(film.file, film.times or [(0.0, 0.0)], state)
        if film.times:
            if replacing and self.captions is None:
                columns["caption"] = kept = self._kept(film.file, film.times)
                columns["captioned"] = [KEPT_CAPTIONS if any(kept) else ""] * len(kept)
            values = pyarrow.array(np.concatenate(film.vectors).astype(np.float32))
            columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(
                values, self.schema.field("vector").type.list_size
            )
        else:
            columns |= {"caption": [""], "vector": [None]}
        return pyarrow.table(columns, schema=self.schema)

    def _kept(self, file: str, times: Sequence[tuple[float, float]]) -> list[str]:
        """Return the captions that a file's clips get from its clips in the table."""
        columns = ["start", "end", "caption"]
        rows = self.table.search().where(of_files([file])).select(columns).limit(None).to_list()
        same = {(row["start"], row["end"]): row["caption"] for row in rows}
        before = [TimedCaption(start=row["start"], end=row["end"], text=row["caption"]) for row in rows]
        return [same.get(each) or caption_of(*each, [one for one in before if one.text]) for each in times]

    def _columns(self, file: str, times: Sequence[tuple[float, float]], state: FileState) -> dict[str, Any]:
        """Return the columns of a file's rows but for their vectors."""
        repeated = {name: [value] * len(times) for name, value in asdict(state).items()}
        starts, ends = map(list, zip(*times, strict=True))
        captions = [caption_of(start, end, self._given(file)) for start, end in times]
        return {"file": [file] * len(times), "start": starts, "end": ends, "caption": captions, **repeated}

    def _given(self, file: str) -> Sequence[TimedCaption]:
        return (self.captions or {}).get(file, ())


def caption_of(start: float, end: float, captions: Sequence[TimedCaption]) -> str:
    """Return the captions of the stretches that a clip has at least half in common with, of it or of them; where there
    is none, those of all of its file."""
    stretches, entire = [], []
    for each in captions:
        common = min(end, each.end) - max(start, each.start)
        if each.end == float("inf"):
            entire.append(each.text)
        elif common > 0 and common >= min(end - start, each.end - each.start) / 2:
            stretches.append(each.text)
    return "; ".join(dict.fromkeys(stretches or entire))


def _parts(files: Sequence[str]) -> Iterator[Sequence[str]]:
    return (files[first : first + RENEWED] for first in range(0, len(files), RENEWED))


def _hashes_of(captions: Captions | None) -> Callable[[str], str | None]:
    def hash_of(file: str) -> str | None:
        if captions is None:
            return None
        given = [[each.start, each.end, each.text] for each in captions.get(file, ())]
        return hashlib.sha256(json.dumps(given).encode("utf-8", "surrogateescape")).hexdigest() if given else ""

    return hash_of


def _alone_in(out: AnyPath) -> AbstractContextManager[None]:
    return claimed(out, "indexing") if isinstance(out, RemotePath) else locked(out, "indexing")
