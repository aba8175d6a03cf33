"""Read checkpoints.yaml: one row per released weight, without torch, checked before anyone relies on it.

A registry of one's own is another such file, on a disk or at an address (`PSEUDOCAP_CHECKPOINTS`, `--checkpoints`).
Its rows come beside the shipped ones, and in place of those of the same name: whoever names a registry means it, and
so a team can pin or mirror what the package ships.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pseudocap.errors import CheckpointError, nearest
from pseudocap.files.sources import REPO
from pseudocap.regimes.table import REGIMES, RETRIEVAL
from pseudocap.regimes.table import VALOR as VALOR_REGIME

ENVIRONMENT = "PSEUDOCAP_CHECKPOINTS"
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
KIND = "kind"  # of what is no PseudoCap; such a row has a text model where others have a decoder
RETRIEVER, VALOR = KINDS = ("retriever", "valor")
RETRIEVER_FIELDS = {KIND: str, **{"text" if name == "decoder" else name: kind for name, kind in FIELDS.items()}}
EXTERNAL = "external"  # in place of a regime: a model of transformers, made by others and captioning by itself
EXTERNAL_FIELDS = {name: FIELDS[name] for name in ("name", "regime", "weights", "scores", "license")}
SEES = "sees"  # what such a model takes, which a row may say
AUDIO_ENCODER = "audio_encoder"  # of a captioner that hears
PICTURES_OR_VIDEO = ("pictures", "video")
PUBLISHED = "published"  # figures of captioners that cannot be loaded here: name, scores, weights
SHA256 = re.compile(r"[0-9a-f]{64}")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C the shipped rows take 8 ms in place of 60
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Describe a released weight, and the registry that names it. `values` are the fields as the file has them."""

    values: Mapping[str, Any]
    registry: str
    shipped: bool
    replaces_shipped: bool = False

    @property
    def name(self) -> str:
        return str(self.values["name"])

    @property
    def external(self) -> bool:
        """Return whether it names a captioner of another project, which transformers loads."""
        return self.values["regime"] == EXTERNAL

    @property
    def retriever(self) -> bool:
        """Return whether it names a retriever, which embeds and does not caption."""
        return self.values.get(KIND) == RETRIEVER

    @property
    def valor(self) -> bool:
        """Return whether it names a VALOR, which embeds, captions and answers."""
        return self.values.get(KIND) == VALOR

    @property
    def revision(self) -> str | None:
        revision = self.values["weights"].get("revision")
        return None if revision is None else str(revision)

    @property
    def sha256(self) -> str:
        return str(self.values["weights"]["sha256"])

    @property
    def weights(self) -> str:
        """Return where the checkpoint lies, in full: a path in a registry is relative to the registry's own folder."""
        source = str(self.values["weights"]["source"])
        if URL.match(self.registry):
            return self._beside_address(source)
        if URL.match(source):
            return source
        if self.revision is not None and REPO.fullmatch(source):  # which a directory has not
            return f"hf://{source}"
        folder = Path(self.registry).resolve().parent
        if source.startswith("~") or Path(source).is_absolute() or (folder / source).exists():
            return str(folder / Path(source).expanduser())
        return f"hf://{source}" if REPO.fullmatch(source) else str(folder / source)

    def _beside_address(self, source: str) -> str:
        """Require that a registry from elsewhere names what lies beside it or a repo, and nothing on this machine."""
        inside = source.removeprefix("./")
        if URL.match(source) and not source.lower().startswith(("file:", "local:")):
            return source
        if self.revision is not None and REPO.fullmatch(source):
            return f"hf://{source}"
        if URL.match(source) or inside.startswith(("/", "~")) or ".." in inside.split("/"):
            raise CheckpointError(
                f"{self.registry} ({self.name}): weights.source {source!r} leaves the registry's own folder; write a "
                "path below it, an address, or hf://owner/repo"
            )
        return f"{self.registry.rpartition('/')[0]}/{inside}"


def find_manifest() -> Path:
    """Find the shipped checkpoints.yaml: inside the package in a wheel, beside it in a source tree or editable one."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "checkpoints.yaml", package.parent / "checkpoints.yaml"):
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"checkpoints.yaml is neither in {package} nor beside it; the installation is incomplete: install it again"
    )


def list_checkpoints(path: Path | str | None = None) -> list[dict[str, Any]]:
    """Return the rows of the manifest at `path`; without it shipped rows and those that PSEUDOCAP_CHECKPOINTS adds."""
    if path is not None:
        return read_manifest(path)
    return [dict(row.values) for row in all_rows().values()]


def all_rows(registry: str | Path | None = None, *, local_files_only: bool = False) -> dict[str, Row]:
    """Return the shipped rows and those of a registry (by default that of PSEUDOCAP_CHECKPOINTS), by name."""
    shipped = str(find_manifest())
    rows = {values["name"]: Row(values=values, registry=shipped, shipped=True) for values in read_manifest(shipped)}
    chosen = str(registry) if registry is not None else os.environ.get(ENVIRONMENT, "")
    if chosen:
        for values in read_manifest(chosen, local_files_only=local_files_only):
            name = values["name"]
            twin = name in rows
            rows[name] = Row(values=values, registry=chosen, shipped=False, replaces_shipped=twin)
    return rows


def offer(name: str, rows: Mapping[str, Row], registry: str | Path | None = None) -> str:
    """Return the tail of a message about an unknown name: the nearest row, and the command that lists all."""
    if not rows:
        return "; no weights are released yet"
    option = "" if registry is None else f" --checkpoints {registry}"
    return f"{nearest(name, rows)}; `pseudocap zoo list{option}` lists the {len(rows)} that have a name"


def read_manifest(source: str | Path, *, local_files_only: bool = False) -> list[dict[str, Any]]:
    """Return the checked rows of one file, on this disk or at an address."""
    try:
        document = yaml.load(_text(str(source), local_files_only), LOADER)
    except FileNotFoundError:
        raise CheckpointError(f"{source}: there is no such manifest") from None
    except IsADirectoryError:
        raise CheckpointError(f"{source} is a directory; name the file of rows in it (checkpoints.yaml)") from None
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


def read_published() -> list[dict[str, Any]]:
    """Return the shipped figures of captioners that no row can name: their weights are not public, or in a format of
    their own."""
    source = find_manifest()
    entries: list[dict[str, Any]] = yaml.load(source.read_text(encoding="utf-8"), LOADER).get(PUBLISHED, [])
    for position, entry in enumerate(entries):
        _check_citations(entry, f"{source}, {PUBLISHED} {position} ({entry.get('name', 'no name')})")
    return entries


def _text(source: str, local_files_only: bool) -> str:
    if not URL.match(source):
        return Path(source).expanduser().read_text(encoding="utf-8")
    from pseudocap.hub.addresses import fetch_address  # fsspec, for those who have such a registry

    folder, _, name = source.rpartition("/")
    found = fetch_address(folder, [name], local_files_only=local_files_only)
    return (found / name).read_text(encoding="utf-8")


def _check_row(row: object, *, where: str) -> None:
    if not isinstance(row, dict):
        raise CheckpointError(f"{where} is not a mapping of fields")
    where = f"{where} ({row.get('name', 'no name')})"
    if row.get(KIND, RETRIEVER) not in KINDS:
        raise CheckpointError(f"{where}: kind is {row[KIND]!r} and may be {' or '.join(KINDS)}; captioners have none")
    ours = RETRIEVER_FIELDS if KIND in row else FIELDS
    fields = EXTERNAL_FIELDS if row.get("regime") == EXTERNAL else ours
    optional = (SEES,) if fields is EXTERNAL_FIELDS else () if row.get(KIND) == RETRIEVER else (AUDIO_ENCODER,)
    for key in row:
        if key not in fields and key not in optional:
            raise CheckpointError(f"{where}: unknown field {key!r}{nearest(str(key), fields)}")
    for key, kind in fields.items():
        if key not in row:
            raise CheckpointError(f"{where}: the field {key!r} is missing")
        if not isinstance(row[key], kind):
            raise CheckpointError(f"{where}: {key} must be a {kind.__name__}, not {row[key]!r}")
    if not re.fullmatch(r"[\w.-]+", row["name"]):
        raise CheckpointError(f"{where}: a name is letters, digits, '.', '-' and '_', not {row['name']!r}")
    of_kind = {RETRIEVER: (RETRIEVAL.name,), VALOR: (VALOR_REGIME.name,)}
    regimes = of_kind.get(str(row.get(KIND)), (*REGIMES, EXTERNAL))
    if row["regime"] not in regimes:
        raise CheckpointError(f"{where}: regime {row['regime']!r} is none of {', '.join(regimes)}")
    _check_sources(row, where)


def _check_sources(row: Mapping[str, Any], where: str) -> None:
    for key in ("decoder", "text", "encoder", AUDIO_ENCODER, "weights"):
        named = row.get(key, {"source": key})
        if not isinstance(named, dict) or not isinstance(named.get("source"), str) or not named["source"]:
            raise CheckpointError(f"{where}: {key} must name its source (a repo, an address or a packaged path)")
    if row["regime"] == EXTERNAL:
        _check_external(row, where)
    elif "sha256" not in row["weights"]:
        raise CheckpointError(f"{where}: weights must carry the sha256 of the file")
    elif not SHA256.fullmatch(str(row["weights"]["sha256"])):
        raise CheckpointError(
            f"{where}: weights.sha256 must be 64 hexadecimal digits, not {row['weights']['sha256']!r}"
        )


def _check_external(row: Mapping[str, Any], where: str) -> None:
    if row.get(SEES, "video") not in PICTURES_OR_VIDEO:
        raise CheckpointError(f"{where}: {SEES} must be {' or '.join(PICTURES_OR_VIDEO)}, not {row[SEES]!r}")
    size = row["weights"].get("gigabytes", 1)
    if isinstance(size, bool) or not isinstance(size, int | float) or size <= 0:
        raise CheckpointError(f"{where}: weights.gigabytes must be a number above 0, not {size!r}")
    _check_citations(row, where)


def _check_citations(row: Mapping[str, Any], where: str) -> None:
    """Require that figures of others say where they are published."""
    for score in row["scores"]:
        if not isinstance(score, dict) or not isinstance(score.get("metrics"), dict) or not score.get("cited"):
            raise CheckpointError(f"{where}: each of its scores needs dataset, metrics, and cited: the paper and table")
