"""Serve the page on which people look through rows.

    GET  /api/rows?text=&verdict=&decision=&low=&high=&sort=&page=    a page of rows, and how many there are
    POST /api/change {editor, row, version, caption and/or decision}  change a row, and get it as it is then
    POST /api/undo {editor}                                           take back the editor's last change
    GET  /captions.jsonl                                              the rows that may be trained on

409 with the row as it is now where somebody has changed it meanwhile. The page itself, its clips and frames, and who
may ask for them: pseudocap/label/pages/local_server.py.
"""

from __future__ import annotations

from typing import Any

from pseudocap.browse.export import caption_lines
from pseudocap.browse.query import RowQuery
from pseudocap.browse.store import DECISIONS, BrowseStore
from pseudocap.errors import InputError, nearest
from pseudocap.label.pages.local_server import LocalServer, PageContent, Query, ServedClip, assemble_page
from pseudocap.label.pages.names import checked_name


class BrowseServer(LocalServer):
    """Serve one set of rows on 127.0.0.1. `editor` is the name of whoever gives none."""

    def __init__(self, store: BrowseStore, *, editor: str, port: int) -> None:
        self.store = store
        self.editor = checked_name(editor, field="editor")
        content = PageContent(
            html=assemble_page("pseudocap.browse"),
            clip=self._clip_of,
            reads={"/api/rows": self._rows},
            writes={"/api/change": self._change, "/api/undo": self._undo},
            downloads={"/captions.jsonl": lambda: "".join(caption_lines(store)).encode()},
        )
        super().__init__(content, port=port)

    def _clip_of(self, row_id: str) -> ServedClip | None:
        row = self.store.row(row_id)
        return None if row is None else ServedClip(source=row["path"], start=row["start"] or 0.0, end=row["end"])

    def _rows(self, query: Query) -> dict[str, Any]:
        editor = checked_name(query.get("editor", self.editor), field="editor")
        return {"editor": editor, **self.store.page(RowQuery.of(query))}

    def _change(self, request: dict[str, Any]) -> dict[str, Any]:
        row, version, decision = (request.get(name) for name in ("row", "version", "decision"))
        if not isinstance(row, str):
            raise InputError(f"row is {row!r:.40} and must be the id of one")
        if isinstance(version, bool) or not isinstance(version, int):
            raise InputError(f"version is {version!r:.40} and must be that of the row")
        if decision is not None and decision not in DECISIONS:
            hint = nearest(decision, DECISIONS[1:]) if isinstance(decision, str) else ""
            raise InputError(f"decision is {decision!r:.40} and must be accepted, rejected or empty{hint}")
        editor = checked_name(request.get("editor"), field="editor")
        return self.store.change(row, version, editor=editor, caption=request.get("caption"), decision=decision)

    def _undo(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.store.undo(checked_name(request.get("editor"), field="editor"))
