"""Answer GET /search: the clips of an index that are most like a text."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as QueryField

from pseudocap.search.index import VideoIndex
from pseudocap.search.query import TOP, SearchQuery

MOST = 1000  # hits of an answer


def add_search(app: FastAPI, index: VideoIndex, *, root: Path | None) -> None:
    """Add the route. A file below the root is named from there, as `path` of POST /caption takes it; of any other the
    name alone is given, since where it lies is nobody's business."""

    @app.get(
        "/search",
        summary="Find clips by text",
        responses={400: {"description": "an empty query, or a filter that cannot be"}},
    )
    def search(
        q: Annotated[str, QueryField(description="what to look for", max_length=1000)],
        top: Annotated[int, QueryField(description="hits", ge=1, le=MOST)] = TOP,
        file: Annotated[str, QueryField(description="a pattern of paths, such as *.mp4", max_length=1000)] = "",
        after: Annotated[float | None, QueryField(description="clips that reach beyond this second")] = None,
        before: Annotated[float | None, QueryField(description="clips that begin before this second")] = None,
        caption: Annotated[str, QueryField(description="a text within the caption", max_length=1000)] = "",
        hybrid: Annotated[bool, QueryField(description="rank by the words of captions too")] = False,
    ) -> dict[str, Any]:
        query = SearchQuery(
            text=q, top=top, file=file, after=after, before=before, caption=caption, hybrid=hybrid
        )  # fmt: skip
        return {"query": q, "hits": [{**asdict(hit), "file": _named(hit.file, root)} for hit in index.find(query)]}


def _named(file: str, root: Path | None) -> str:
    if root is not None and Path(file).is_relative_to(root):
        return str(Path(file).relative_to(root))
    return file.rpartition("/")[2]
