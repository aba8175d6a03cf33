"""checkpoints.yaml: one row per released weight, read without torch and checked before anyone relies on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pseudocap.errors import CheckpointError, nearest

REGIMES = ("asr", "image-only", "video-only", "mixed", "mixed-ext")
FIELDS: dict[str, type] = {
    "name": str,
    "regime": str,
    "decoder": dict,
    "encoder": dict,
    "weights": dict,
    "preprocess": dict,
    "config": str,
    "scores": list,
    "license": str,
    "made_by": dict,
}


def find_manifest() -> Path:
    """The shipped checkpoints.yaml: inside the package in a wheel, beside it in a source tree or editable install."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "checkpoints.yaml", package.parent / "checkpoints.yaml"):
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"checkpoints.yaml is neither in {package} nor beside it; the installation is incomplete: install it again"
    )


def list_checkpoints(path: Path | str | None = None) -> list[dict[str, Any]]:
    """The rows of the shipped manifest, or of the one at `path`."""
    source = Path(path) if path is not None else find_manifest()
    try:
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{source}: there is no such manifest") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{source} is not readable as YAML: {error}") from error
    rows = document.get("checkpoints") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise CheckpointError(f"{source} must hold one list named 'checkpoints'")
    for position, row in enumerate(rows):
        _check_row(row, where=f"{source}, row {position}")
    names = [row["name"] for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CheckpointError(f"{source}: the names {', '.join(twice)} stand there more than once")
    return rows


def _check_row(row: object, *, where: str) -> None:
    if not isinstance(row, dict):
        raise CheckpointError(f"{where} is not a mapping of fields")
    where = f"{where} ({row.get('name', 'no name')})"
    for key in row:
        if key not in FIELDS:
            raise CheckpointError(f"{where}: unknown field {key!r}{nearest(str(key), FIELDS)}")
    for key, kind in FIELDS.items():
        if key not in row:
            raise CheckpointError(f"{where}: the field {key!r} is missing")
        if not isinstance(row[key], kind):
            raise CheckpointError(f"{where}: {key} must be a {kind.__name__}, not {row[key]!r}")
    if row["regime"] not in REGIMES:
        raise CheckpointError(f"{where}: regime {row['regime']!r} is none of {', '.join(REGIMES)}")
    for key in ("decoder", "encoder", "weights"):
        if "source" not in row[key]:
            raise CheckpointError(f"{where}: {key} must name its source (a repo or a packaged path)")
    if "sha256" not in row["weights"]:
        raise CheckpointError(f"{where}: weights must carry the sha256 of the file")
