"""Check a captioner's or retriever's folder without torch: its kind, its parts, and whether its backbones lie where it
names them and are the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.files.sources import SHIPPED_SCHEME, check_gguf, read_json
from pseudocap.hub.fetch import CONFIG_FILE, WEIGHTS_FILE, Fetched
from pseudocap.model.config import Backbone, PseudoCapConfig
from pseudocap.model.retrieval_config import RetrieverConfig
from pseudocap.model.valor_config import MODEL_TYPE as VALOR
from pseudocap.model.valor_config import ValorConfig

Config = TypeVar("Config", PseudoCapConfig, RetrieverConfig, ValorConfig)
INSIDE_A_RUN = ("best", "last")  # where finetune and train leave a captioner


def read_config(folder: Path) -> PseudoCapConfig:
    return _config_of(folder, PseudoCapConfig, "PseudoCap checkpoint")


def existing(path: Path) -> Path:
    if not path.parent.is_dir():
        raise CheckpointError(f"{path.parent} is no folder, so no PseudoCap checkpoint; name one's (RUN/best)")
    if not path.is_file():
        inside = ", ".join(sorted(each.name for each in path.parent.iterdir())[:8]) or "nothing"
        near = [each for name in INSIDE_A_RUN if (each := path.parent / name / path.name).is_file()]
        hint = f"; did you mean {near[0].parent}?" if near else f" (it holds {inside})"
        raise CheckpointError(f"{path.parent} is no PseudoCap checkpoint: it has no {path.name}{hint}")
    return path


def check_folder(folder: Path, moved: Mapping[str, str | Path | None]) -> tuple[PseudoCapConfig, Path]:
    """Return config and weights. `moved` has the new address of backbones, by their names in `config.backbones`; the
    others must lie where the config says, and all directories that do not are reported at once."""
    return _checked(folder, read_config(folder), moved)


def read_retriever_config(folder: Path) -> RetrieverConfig:
    return _config_of(folder, RetrieverConfig, "retriever")


def check_retriever(folder: Path, moved: Mapping[str, str | Path | None]) -> tuple[RetrieverConfig, Path]:
    """Return config and weights of a retriever, as `check_folder` does of a captioner."""
    return _checked(folder, read_retriever_config(folder), moved)


def is_valor(found: Fetched) -> bool:
    """Return whether a folder that was fetched holds a VALOR, by its config alone."""
    return read_json(existing(found.folder / CONFIG_FILE)).get("model_type") == VALOR


def read_valor_config(folder: Path) -> ValorConfig:
    return _config_of(folder, ValorConfig, "VALOR")


def read_any_config(folder: Path) -> PseudoCapConfig | ValorConfig:
    """Return the config of whatever captions: a PseudoCap or a VALOR."""
    is_one = (folder / CONFIG_FILE).is_file() and read_json(folder / CONFIG_FILE).get("model_type") == VALOR
    return read_valor_config(folder) if is_one else read_config(folder)


def check_valor(folder: Path, moved: Mapping[str, str | Path | None]) -> tuple[ValorConfig, Path]:
    """Return config and weights of a VALOR, as `check_folder` does of a captioner."""
    return _checked(folder, read_valor_config(folder), moved)


def require_backbones(folder: Path, backbones: Mapping[str, Backbone], moved: Mapping[str, str | Path | None]) -> None:
    """Raise CheckpointError where directories of backbones are gone that `moved` has no new address of, and where a
    decoder in a GGUF file cannot be read."""
    gone = {}
    for which, backbone in backbones.items():
        source = backbone.source
        if moved.get(which) is None and Path(source).is_absolute() and not Path(source).exists():
            gone[which] = source
        elif (address := str(moved.get(which) or source)).endswith(".gguf"):
            check_gguf(address)
    if gone:
        lost = " and ".join(f"the {which} was at {source}" for which, source in gone.items())
        options = ", ".join(f"{which}=..." for which in gone)
        raise CheckpointError(
            f"{folder} was trained between backbones that are not there now: {lost}; "
            f"say where they lie, as source in {folder / CONFIG_FILE} or by from_pretrained({str(folder)!r}, {options})"
        )


def absolute(source: str | Path) -> str:
    """Return a directory's full path, so that a checkpoint still finds it from elsewhere; a repo's name as it is."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else str(source)


def moved(recorded: Backbone, override: str | Path | None) -> str:
    return recorded.source if override is None else absolute(override)


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


def _config_of(folder: Path, kind: type[Config], name: str) -> Config:
    path = existing(folder / CONFIG_FILE)
    try:
        return kind.from_dict(read_json(path))
    except ConfigError as error:
        raise CheckpointError(f"{path} is no {name}'s config: {error}") from error


def _checked(folder: Path, config: Config, moved: Mapping[str, str | Path | None]) -> tuple[Config, Path]:
    weights = existing(folder / WEIGHTS_FILE)
    require_backbones(folder, config.backbones, moved)
    return config, weights
