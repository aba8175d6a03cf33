"""Find retrievers by name, ours and others', without torch: what is no retriever is reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pseudocap.errors import CheckpointError, InputError
from pseudocap.files.sources import HUB_SCHEME, SHIPPED_SCHEME, find_file, pin_revision, read_json
from pseudocap.hub.external import find_external
from pseudocap.hub.fetch import CONFIG_FILE, MODEL_TYPE, fetch, find_row, split_written
from pseudocap.hub.manifest import URL
from pseudocap.model.retrieval_config import MODEL_TYPE as RETRIEVER_TYPE
from pseudocap.model.valor_config import MODEL_TYPE as VALOR

Kind = Literal["ours", "valor", "image-text", "open_clip", "captions"]
OPEN_CLIP_FILE = "open_clip_config.json"
KINDS: dict[str | None, Kind] = {  # by the model_type; clip and siglip embed texts and images in one space
    RETRIEVER_TYPE: "ours",
    VALOR: "valor",
    "clip": "image-text",
    "siglip": "image-text",
    OPEN_CLIP_FILE: "open_clip",
}
EXAMPLE = "name a retriever of ours, a CLIP or SigLIP of transformers, or CAPTIONER+SENTENCE_ENCODER"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRetriever:
    """Locate a retriever; `sentences` is the encoder that reads captions, where `source` is a captioner. `access` holds
    the commit of a repo, so that all of its files come from the same."""

    kind: Kind
    source: str
    sentences: str = ""
    access: dict[str, Any] = field(default_factory=lambda: {"revision": None, "local_files_only": False, "token": None})


def find_retriever(
    name: str | Path, *, revision: str | None = None, checkpoints: str | Path | None = None
) -> FoundRetriever:
    """Find a row of checkpoints.yaml, a directory, a repo (`owner/repo@revision`), an address of one of ours, or
    CAPTIONER+SENTENCE_ENCODER, each by such a name."""
    text = str(name)
    captioner, plus, sentences = text.partition("+")
    if plus and not Path(text).expanduser().exists():
        return _captions(captioner, sentences, checkpoints)
    source, written = split_written(text)
    access = {"revision": revision or written, "local_files_only": False, "token": None}
    if (row := find_row(source, checkpoints)) is not None and row.external:
        source, access["revision"] = row.weights, access["revision"] or row.revision
    elif row is not None and (row.retriever or row.valor):
        return FoundRetriever(kind="valor" if row.valor else "ours", source=source, access=access)
    elif row is None and URL.match(source) and not source.startswith((HUB_SCHEME, SHIPPED_SCHEME)):
        return FoundRetriever(kind="ours", source=text, access={**access, "revision": revision})
    found = MODEL_TYPE if row is not None and not row.external else _kind(source, access)
    if found in KINDS:
        return FoundRetriever(kind=KINDS[found], source=source, access=access)
    if found == MODEL_TYPE:
        raise CheckpointError(f"{source} is a captioner; search its captions: {text}+SENTENCE_ENCODER")
    if found is None:
        raise CheckpointError(f"{source} has a {CONFIG_FILE} without a model_type, so it is no retriever; {EXAMPLE}")
    raise CheckpointError(f"{source} is a {found!r}, which is no retriever that is read here; {EXAMPLE}")


def _captions(captioner: str, sentences: str, checkpoints: str | Path | None) -> FoundRetriever:
    if not captioner or not sentences:
        raise InputError(f"{captioner}+{sentences} is half of CAPTIONER+SENTENCE_ENCODER; name both")
    if find_external(captioner, checkpoints=checkpoints) is None:
        fetch(captioner, checkpoints=checkpoints)
    source, written = split_written(sentences)
    find_file(source, CONFIG_FILE, revision=written)
    return FoundRetriever(kind="captions", source=captioner, sentences=sentences)


def _kind(source: str, access: dict[str, Any]) -> str | None:
    """Return the model_type of config.json, or the name of open_clip's config where there is no other; the commit goes
    into `access`."""
    try:
        path = find_file(source, CONFIG_FILE, **access)
    except CheckpointError as error:
        try:
            path = find_file(source, OPEN_CLIP_FILE, **access)
        except CheckpointError:
            raise error from None
    access["revision"] = pin_revision(source, path, access["revision"])
    if path.name == OPEN_CLIP_FILE:
        return OPEN_CLIP_FILE
    kind = read_json(path).get("model_type")
    return kind if isinstance(kind, str) else None
