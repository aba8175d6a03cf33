"""Export what came of looking through rows: captions as JSON Lines, or labels as another labelling run.

Captions are those that may be trained on: accepted, or undecided where no filter objects. Labels keep every row: a
rejected one has the verdict `rejected`, an accepted one has none, and an edited one names the person as its teacher and
the row before as its parent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pseudocap.browse.rows import labels_with_ids
from pseudocap.browse.store import BrowseStore, RowState
from pseudocap.errors import ConfigError
from pseudocap.label.rewrite import rewrite
from pseudocap.label.run_folder import read_plan
from pseudocap.rows import row_line
from pseudocap.types import Progress, Pseudolabel

REJECTED, UNDECIDED = "rejected", "undecided"  # verdicts beside the filters'


def caption_lines(store: BrowseStore, *, accepted: bool = False) -> Iterator[str]:
    """Yield the rows that may be trained on as lines of JSON; with `accepted` those alone that somebody accepted."""
    for row in store.states():
        if row.kept and (row.decision or not accepted):
            rest = {"confidence": row.confidence, **row.rest}
            if row.edited:  # a person wrote it
                rest = {name: value for name, value in rest.items() if name not in ("confidence", "checkpoint", "run")}
            yield row_line(video=row.video, start=row.start, end=row.end, caption=row.caption, **rest)


def export_labels(
    labels: Path, out: Path, store: BrowseStore, *, accepted: bool = False, progress: Progress | None = None
) -> Mapping[str, object]:
    """Write the labels with their changes as a run of its own and return its statistics. With `accepted` rows that
    nobody decided about have the verdict `undecided`."""
    edits = Edits({state.id: state for state in store.states(changed=True)}, accepted=accepted)
    plan = read_plan(out)
    if plan is not None and plan.settings.get("edits") != edits.settings["edits"]:
        raise ConfigError(f"--export {out} holds labels without these edits; name another folder")
    return rewrite(labels, out, edits, progress=progress)


class Edits:
    """Apply changes to labels, for `rewrite`."""

    def __init__(self, states: Mapping[str, RowState], *, accepted: bool) -> None:
        self.states = states
        self.accepted = accepted
        content = sorted((state.id, state.caption, state.decision) for state in states.values())
        digest = hashlib.sha256(json.dumps([content, accepted]).encode()).hexdigest()
        self.settings: Mapping[str, object] = {"rewriter": "browse", "edits": digest[:16]}

    def rewrite(self, labels: Sequence[Pseudolabel]) -> list[list[Pseudolabel]]:
        """Return each label as it is after its changes."""
        return [[self._changed(label, self.states.get(row_id))] for row_id, label in labels_with_ids(labels)]

    def _changed(self, label: Pseudolabel, state: RowState | None) -> Pseudolabel:
        if state is not None and state.edited:
            by = {"editor": state.editor, "edited_at": state.edited_at}
            label = replace(
                label,
                captions=(state.caption,),
                log_probs=(),
                confidence=1.0,
                teacher=f"person:{state.editor}",
                revision=None,
                settings=json.dumps(by, sort_keys=True),
                error="",
            )
        decision = "" if state is None else state.decision
        if decision == "accepted":
            return replace(label, verdicts=())
        if decision == "rejected":
            return _objected(label, REJECTED)
        return _objected(label, UNDECIDED) if self.accepted and not label.failed else label


def _objected(label: Pseudolabel, verdict: str) -> Pseudolabel:
    return label if verdict in label.verdicts else replace(label, verdicts=(*label.verdicts, verdict))
