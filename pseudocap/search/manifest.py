"""Describe an index: which retriever made its vectors, and of which clips. index.json, beside the table of the clips.

It is written before the table and read before anything heavy is imported, so that an index that cannot be searched is
refused at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pseudocap.errors import DataError, InputError, first_line
from pseudocap.files.remote import AnyPath, write_atomic
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS
from pseudocap.version import __version__

FORMAT = 1
MANIFEST = "index.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexManifest:
    """Hold what all vectors of an index have in common. `cuts` are the settings of the detector that clips follow,
    empty for clips of a fixed length; `frames` is how many of a clip were embedded."""

    retriever: str
    identity: str
    dim: int
    frames: int
    reads_text: bool = True
    clip_seconds: float = CLIP_SECONDS
    min_seconds: float = MIN_SECONDS
    cuts: Mapping[str, Any] = field(default_factory=dict)

    def require_text(self, index: object) -> None:
        """Refuse a search by text where the retriever does not read."""
        if not self.reads_text:
            raise InputError(
                f"{self.retriever}, which made {index}, has no text tower; search by a file (--like), or index by "
                "another retriever"
            )


def read_manifest(out: AnyPath) -> IndexManifest | None:
    """Return the manifest of an index; None where there is none."""
    path = out / MANIFEST
    try:
        if not path.exists():
            return None
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise DataError(
                f"{path} has format {document['format']} (pseudocap {document.get('pseudocap', '?')}), and this "
                f"pseudocap {__version__} reads format {FORMAT}; index the videos anew, into another --out"
            )
        return IndexManifest(**{each.name: document[each.name] for each in fields(IndexManifest)})
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({first_line(error)}); index the videos anew, into another --out"
        ) from error


def require_manifest(index: AnyPath) -> IndexManifest:
    """Return the manifest of an index; DataError where there is none."""
    manifest = read_manifest(index)
    if manifest is None:
        raise DataError(f"{index} holds no index ({MANIFEST}); name the --out of a `pseudocap index`")
    return manifest


def settle_manifest(out: AnyPath, now: IndexManifest) -> None:
    """Continue an index that was made with the same settings, or begin one."""
    before = read_manifest(out)
    if before is None:
        document = {"format": FORMAT, "pseudocap": __version__, **asdict(now)}
        return write_atomic(out / MANIFEST, (json.dumps(document, indent=1) + "\n").encode())
    require_retriever(out, before, now.identity, now.retriever)
    values = {each.name: getattr(now, each.name) for each in fields(IndexManifest)}
    del values["retriever"]  # whose folder may have moved
    return require_settings(out, before, values)


def require_settings(index: AnyPath, before: IndexManifest, now: Mapping[str, Any]) -> None:
    """Refuse settings, by their fields' names, that are not those of the index."""
    for name, value in now.items():
        old, new = getattr(before, name), json.loads(json.dumps(value))
        if old != new:
            raise DataError(
                f"{index} was indexed with {name} {old!r}, and this run has {new!r}; take the same settings to go on, "
                "or another --out"
            )


def require_retriever(index: AnyPath, manifest: IndexManifest, identity: str, name: str) -> None:
    """Refuse a retriever whose vectors are not comparable to those of the index."""
    if identity != manifest.identity:
        raise DataError(
            f"{index} was made by the retriever {manifest.retriever} (identity {manifest.identity[:12]}), and {name} "
            f"(identity {identity[:12]}) is another or has changed since; name that one with --retriever, or index the "
            "videos anew, into another --out"
        )
