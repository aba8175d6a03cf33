"""Search an index: clips by their likeness to a text or a clip, VideoIndex; what is found, SearchHit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pseudocap.errors import InputError, PseudocapError
from pseudocap.files.remote import AnyPath, any_path
from pseudocap.search.manifest import IndexManifest, require_manifest, require_retriever
from pseudocap.search.query import TOP, SearchQuery
from pseudocap.search.table import of_files, open_table, stamp_of
from pseudocap.video.subtitles import clock

if TYPE_CHECKING:
    import numpy as np

    from pseudocap.file_retriever import FileRetriever

FUSED = 100  # hits of each of the two rankings that a hybrid search fuses, at least
PROBES = 32  # partitions of an approximate index that are read
REFINED = 30  # how many times the hits are candidates, compared exactly
RETURNED = ["file", "start", "end", "caption", "size", "mark"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """Hold a clip that was found: seconds of a file, its score (a similarity, or a fused rank), its caption where it
    has one, and a `note` where the file has changed since."""

    file: str
    start: float
    end: float
    score: float
    caption: str = ""
    note: str = ""

    @property
    def still(self) -> bool:
        """Return whether it is a picture, which lasts no time."""
        return self.end <= self.start

    @property
    def times(self) -> tuple[str, str]:
        """Return its start and its end as a reader has them; nothing of a picture."""
        return ("", "") if self.still else (clock(self.start), clock(self.end))


class VideoIndex:
    """Search the clips of one index. Threads may share it; what another run adds is found within seconds."""

    def __init__(
        self,
        address: AnyPath,
        manifest: IndexManifest,
        retriever: FileRetriever[Any] | str | None,
        **loading: Any,
    ) -> None:
        self.address, self.manifest = address, manifest
        self._table = open_table(address)
        self._named, self._loading, self._lock = retriever, loading, Lock()
        self._retriever: FileRetriever[Any] | None = None

    @classmethod
    def open(
        cls,
        address: str | Path,
        *,
        retriever: FileRetriever[Any] | str | None = None,
        device: str = "auto",
        checkpoints: str | Path | None = None,
    ) -> VideoIndex:
        """Open an index by its folder or address. Its retriever is loaded at the first text, by the name that the index
        has of it, or is the one that is given: by another name, or as it is."""
        home = any_path(address)
        return cls(home, require_manifest(home), retriever, device=device, checkpoints=checkpoints)

    def __len__(self) -> int:
        """Count the clips."""
        return int(self._table.count_rows("vector IS NOT NULL"))

    def search(
        self,
        text: str,
        *,
        top: int = TOP,
        file: str = "",
        after: float | None = None,
        before: float | None = None,
        caption: str = "",
        hybrid: bool = False,
    ) -> list[SearchHit]:
        """Return the clips that are most like a text, the best first; the filters are SearchQuery's. `hybrid` ranks by
        the words of captions too (BM25), and fuses both by reciprocal rank."""
        query = SearchQuery(
            text=text, top=top, file=file, after=after, before=before, caption=caption, hybrid=hybrid
        )  # fmt: skip
        return self.find(query)

    def like(
        self,
        example: str | Path,
        at: float | None = None,
        *,
        top: int = TOP,
        file: str = "",
        after: float | None = None,
        before: float | None = None,
        caption: str = "",
    ) -> list[SearchHit]:
        """Return the clips that look most like a file, video or image, or like the clip of it around a second; itself
        left out. Of a file of the index nothing is decoded."""
        query = SearchQuery(
            like=str(example), at=at, top=top, file=file, after=after, before=before, caption=caption
        )  # fmt: skip
        return self.find(query)

    def find(self, query: SearchQuery) -> list[SearchHit]:
        """Return what a query finds."""
        conditions = [query.condition]
        if query.like:
            vector, itself = self._vector_like(query)
            conditions.append(itself)
        else:
            self.manifest.require_text(self.address)
            with self._lock:
                vector = self.retriever.embed_text([query.text.strip()])[0].numpy()
        where = " AND ".join(f"({each})" for each in conditions if each)
        return self._hits(self._fused(vector, query, where)) if query.hybrid else self.nearest(vector, query.top, where)

    def nearest(self, vector: np.ndarray, top: int = TOP, where: str = "") -> list[SearchHit]:
        """Return the clips whose vectors are nearest to one of length one; `where` is a condition of SQL on the columns
        of the table."""
        rows = self._builder(vector, where).select([*RETURNED, "_distance"]).limit(top).to_list()
        return self._hits(rows)

    def _hits(self, rows: list[dict[str, Any]]) -> list[SearchHit]:
        notes = {file: note_of(row) for file, row in {row["file"]: row for row in rows}.items()}
        return [
            SearchHit(
                file=row["file"], start=row["start"], end=row["end"], caption=row["caption"], note=notes[row["file"]],
                score=row.get("_relevance_score", 1 - row.get("_distance", 1.0)),
            )
            for row in rows
        ]  # fmt: skip

    @property
    def retriever(self) -> FileRetriever[Any]:
        """Return the retriever of the index, loaded once; another one is refused."""
        if self._retriever is None:
            named = self._named or self.manifest.retriever
            if isinstance(named, str):
                from pseudocap.external_retrieval import load_retriever

                name, loaded = named, load_retriever(named, **self._loading)
            else:
                name, loaded = type(named).__name__, named
            require_retriever(self.address, self.manifest, loaded.identity, name)
            self._retriever = loaded
        return self._retriever

    @property
    def _indexed(self) -> set[str]:
        """Return the columns that have an index, those that another run has made since among them."""
        return {index.columns[0] for index in self._table.list_indices()}

    def _builder(self, vector: np.ndarray, where: str) -> Any:
        search = self._table.search(vector, query_type="vector", vector_column_name="vector")
        if "vector" in self._indexed:
            search = search.distance_type("cosine").nprobes(PROBES).refine_factor(REFINED)
        else:
            search = search.distance_type("dot")  # of vectors of length one the same, and faster
        return search.where(where) if where else search

    def _fused(self, vector: np.ndarray, query: SearchQuery, where: str) -> list[dict[str, Any]]:
        """Rank by the vector and by the words of captions, and fuse the two by reciprocal rank."""
        if "caption" not in self._indexed:
            raise InputError("this index has no captions to search; give them to `pseudocap index` with --captions")
        from lancedb.query import MatchQuery
        from lancedb.rerankers import RRFReranker

        count = max(FUSED, query.top)
        words = self._table.search(MatchQuery(query.text, "caption"), query_type="fts")
        words = (words.where(where) if where else words).select([*RETURNED, "_score"])
        by_vector = self._builder(vector, where).select([*RETURNED, "_distance"])
        by_vector, by_words = (each.with_row_id(True).limit(count).to_arrow() for each in (by_vector, words))
        fused: list[dict[str, Any]] = RRFReranker().rerank_hybrid(query.text, by_vector, by_words).to_pylist()
        return fused[: query.top]

    def _vector_like(self, query: SearchQuery) -> tuple[np.ndarray, str]:
        """Return the vector of a file or of a clip of it, and the condition that leaves it out of the hits."""
        import numpy as np

        file = query.like if "://" in query.like else str(Path(query.like).expanduser().resolve())
        itself = of_files([file])
        stored = self._table.search().where(f"{itself} AND vector IS NOT NULL").select([*RETURNED, "vector"])
        rows = sorted(stored.limit(None).to_list(), key=lambda row: float(row["start"]))
        if rows and not note_of(rows[0]) and (query.at is None or query.at <= rows[-1]["end"]):
            if query.at is not None:
                rows = [min(rows, key=lambda row: _seconds_from(row, query.at))]
                itself += f" AND start = {rows[0]['start']!r}"
            vector = np.mean([row["vector"] for row in rows], axis=0)
        else:
            with self._lock:
                vector = self._embedded(file, query.at)
            itself = itself if query.at is None else ""
        return vector / max(float(np.linalg.norm(vector)), 1e-12), f"NOT ({itself})" if itself else ""

    def _embedded(self, file: str, at: float | None) -> np.ndarray:
        """Embed a file, or the clip around a second of it."""
        from pseudocap.video.decode import open_video

        if "://" in file:
            raise InputError(f"{file} is not in the index as it is now; name a file of this machine, or index it again")
        with open_video(file) as video:
            length = video.info.duration
            if at is not None and at > length:
                raise InputError(f"{file} has no second {at:g}: it lasts {length:.1f} s")
        half = self.manifest.clip_seconds / 2
        start = 0.0 if at is None else max(0.0, min(at - half, length - 2 * half))
        end = length if at is None else min(length, start + 2 * half)
        clip = self.retriever.decode(file, num_frames=self.manifest.frames, start=start, end=end)
        vector: np.ndarray = self.retriever.embed_clips([clip])[0].numpy()
        return vector


def note_of(row: Mapping[str, Any]) -> str:
    """Return what has become of a hit's file since it was indexed; nothing where it is the same."""
    try:
        size, mark = stamp_of(row["file"])
    except (OSError, PseudocapError):
        return "moved or removed since it was indexed"
    return "" if (size, mark) == (row["size"], row["mark"]) else "changed since it was indexed"


def _seconds_from(row: Mapping[str, Any], at: float | None) -> float:
    """Return how far a moment is from a clip, 0 within it; of two neighbours the later has their border."""
    assert at is not None
    return 0.0 if row["start"] <= at < row["end"] else min(abs(row["start"] - at), abs(row["end"] - at)) + math.ulp(1.0)
