"""Serve the page on which a rater judges: only the clips of the audit, by the pair's id.

    GET  /api/next?rater=R                  the first pair that R has not judged, and how far R has come
    POST /api/answer {rater, pair, better, left, right}   keep an answer, then as /api/next
         {rater, pair, kind}             of a text that is judged alone
    POST /api/undo {rater, pair}            take an answer back and show that pair again

Which text is the pseudolabel never leaves the server. The page itself, its clips and frames, and who may ask for them:
pseudocap/label/pages/local_server.py.
"""

from __future__ import annotations

from typing import Any

from pseudocap.label.audit.judgement import (
    KINDS,
    Judgement,
    checked_rater,
    judgement_alone,
    judgement_of_sides,
    left_of,
    one_of,
    order_of,
    sides_of_judgement,
)
from pseudocap.label.audit.store import AuditStore
from pseudocap.label.pages.local_server import LocalServer, PageContent, Query, ServedClip, assemble_page

ALIGNED = ("correct", "wrong")  # of a text alone: at least one frame is aligned with it, or none


class Audit:
    """Answer what the page requests, apart from HTTP. `rater` is the name for whoever gives none."""

    def __init__(self, store: AuditStore, *, rater: str) -> None:
        self.store = store
        self.rater = checked_rater(rater)

    def read_next(self, query: Query) -> dict[str, Any]:
        """Answer a GET for the rater that it names."""
        return self.next(checked_rater(query.get("rater", self.rater)))

    def clip(self, pair_id: str) -> ServedClip | None:
        """Return where the clip of a pair lies."""
        pair = self.store.pairs.get(pair_id)
        return None if pair is None else ServedClip(source=pair.source, start=pair.start, end=pair.end)

    def next(self, rater: str) -> dict[str, Any]:
        """Return the first pair in this rater's order that is not judged; `pair` is None when all are."""
        given = self.store.judgements(rater)
        judged = {judgement.pair for judgement in given}
        order = order_of(self.store.pairs, seed=self.store.seed, rater=rater)
        return {
            "rater": rater,
            "judged": len(judged),
            "total": len(order),
            "last": given[-1].pair if given else None,
            "alone": self.store.alone,
            "pair": next((self._pair_data(pair, rater) for pair in order if pair not in judged), None),
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store an answer and go on."""
        rater, pair = self._named(request)
        if self.store.alone:
            aligned = one_of(request.get("kind"), ALIGNED, field="kind") == ALIGNED[0]
            self.store.put(judgement_alone(rater=rater, pair=pair, aligned=aligned))
            return self.next(rater)
        judgement = judgement_of_sides(
            rater=rater,
            pair=pair,
            seed=self.store.seed,
            better=one_of(request.get("better"), ("left", "right", "tie"), field="better"),  # type: ignore[arg-type]
            left=one_of(request.get("left"), KINDS, field="left"),  # type: ignore[arg-type]
            right=one_of(request.get("right"), KINDS, field="right"),  # type: ignore[arg-type]
        )
        self.store.put(judgement)
        return self.next(rater)

    def undo(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take an answer back and display the pair with it, so that only what was wrong needs another answer."""
        rater, pair = self._named(request)
        taken = self.store.take_back(rater, pair)
        return {**self.next(rater), "pair": self._pair_data(pair, rater, taken)}

    def _named(self, request: dict[str, Any]) -> tuple[str, str]:
        return checked_rater(request.get("rater")), one_of(request.get("pair"), tuple(self.store.pairs), field="pair")

    def _pair_data(self, pair_id: str, rater: str, answer: Judgement | None = None) -> dict[str, Any]:
        pair = self.store.pairs[pair_id]
        texts = [pair.pseudolabel, pair.asr]
        if not self.store.alone and left_of(pair_id, seed=self.store.seed, rater=rater) == "asr":
            texts.reverse()
        data = {"id": pair_id, "start": pair.start, "end": pair.end, "left": texts[0], "right": texts[1]}
        return {**data, "answer": sides_of_judgement(answer) if answer else None}


class AuditServer(LocalServer):
    """Serve one audit on 127.0.0.1."""

    def __init__(self, store: AuditStore, *, rater: str, port: int) -> None:
        self.audit = Audit(store, rater=rater)
        content = PageContent(
            html=assemble_page("pseudocap.label.audit"),
            clip=self.audit.clip,
            reads={"/api/next": self.audit.read_next},
            writes={"/api/answer": self.audit.answer, "/api/undo": self.audit.undo},
        )
        super().__init__(content, port=port)
