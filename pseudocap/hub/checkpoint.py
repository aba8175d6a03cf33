"""A captioner's folder: its config, and the frozen backbones that its adapters must stand between."""

from __future__ import annotations

from pathlib import Path

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.hub.fetch import CONFIG_FILE
from pseudocap.model.config import Backbone, PseudoCapConfig
from pseudocap.model.weights import read_json
from pseudocap.places import SHIPPED_SCHEME


def read_config(folder: Path) -> PseudoCapConfig:
    path = existing(folder / CONFIG_FILE)
    try:
        return PseudoCapConfig.from_dict(read_json(path))
    except ConfigError as error:
        raise CheckpointError(f"{path} is no PseudoCap checkpoint's config: {error}") from error


def existing(path: Path) -> Path:
    if not path.is_file():
        inside = ", ".join(sorted(each.name for each in path.parent.iterdir())[:8]) or "nothing"
        raise CheckpointError(f"{path.parent} is no PseudoCap checkpoint: it has no {path.name} (it holds {inside})")
    return path


def absolute(source: str | Path) -> str:
    """A directory by its full path, so that a checkpoint still finds it from elsewhere; a repo's name as it is."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else str(source)


def moved(recorded: Backbone, override: str | Path | None) -> str:
    return recorded.source if override is None else absolute(override)


def require_there(folder: Path, backbones: dict[str, tuple[Backbone, str | Path | None]]) -> None:
    """Directories that have moved since are told all at once, and where to say so."""
    gone = {
        which: recorded.source
        for which, (recorded, override) in backbones.items()
        if override is None and Path(recorded.source).is_absolute() and not Path(recorded.source).exists()
    }
    if gone:
        moved = " and ".join(f"the {which} was at {source}" for which, source in gone.items())
        options = ", ".join(f"{which}=..." for which in gone)
        raise CheckpointError(
            f"{folder} was trained between backbones that are not there now: {moved}; "
            f"say where they lie: from_pretrained({str(folder)!r}, {options})"
        )


def require_same(which: str, recorded: Backbone, found: Backbone, folder: Path) -> None:
    original = f"{recorded.source}{f', revision {recorded.revision}' if recorded.revision else ''}"
    remedy = f"find the original ({original}) and give it as {which}="
    if found.source == recorded.source:
        remedy = "its files have changed since the checkpoint was saved: restore them"
        if found.source.startswith(SHIPPED_SCHEME):
            remedy = "this version of pseudocap ships other weights by that name: install the version it was made with"
    if recorded.fingerprint != found.fingerprint:
        raise CheckpointError(
            f"the {which} in {found.source} is not the one that {folder} was trained with: its weights have "
            f"fingerprint {found.fingerprint[:12]}, not {recorded.fingerprint[:12]}; {remedy}"
        )
    if recorded.tokenizer != found.tokenizer:
        raise CheckpointError(
            f"the tokenizer in {found.source} is not the one that {folder} was trained with: it splits or numbers "
            f"words differently ({found.tokenizer[:12]}, not {recorded.tokenizer[:12]}); {remedy}"
        )
