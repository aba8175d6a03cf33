"""Find captioners of other projects, which transformers loads, by the names that ours have; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.files.sources import HUB_SCHEME, SHIPPED_SCHEME
from pseudocap.hub.fetch import MODEL_TYPE, find_row, model_type, split_written
from pseudocap.hub.manifest import URL
from pseudocap.model.valor_config import MODEL_TYPE as VALOR


@dataclass(frozen=True, kw_only=True, slots=True)
class External:
    """Locate a model of transformers: a directory or a repo, as `ImageTextModel` takes it. `kind` is its `model_type`,
    unless a row names it."""

    source: str
    revision: str | None = None
    kind: str | None = None


def find_external(
    name: str | Path, *, revision: str | None = None, checkpoints: str | Path | None = None
) -> External | None:
    """Return where a model of transformers lies: a row of checkpoints.yaml that names one, a directory, a repo, or
    `owner/repo@revision`. None is a captioner of ours, or what is nowhere: `fetch` loads the one and reports the other.
    """
    text, written = split_written(str(name))
    revision = revision or written
    if (row := find_row(text, checkpoints)) is not None:
        return External(source=row.weights, revision=revision or row.revision) if row.external else None
    if URL.match(text) and not text.startswith((HUB_SCHEME, SHIPPED_SCHEME)):
        return None
    try:
        kind = model_type(text, revision)
    except CheckpointError:
        return None
    return None if kind in (None, MODEL_TYPE, VALOR) else External(source=text, revision=revision, kind=kind)


def refuse_frames(frames: str | None, name: str | Path) -> None:
    """Refuse a choice of frames for a captioner of ours."""
    if frames is not None:
        raise ConfigError(
            f"frames is {frames}, which is for image-text models of transformers; {name} is a PseudoCap and "
            "sees frames from all of a clip (num_frames says how many): leave frames out"
        )
