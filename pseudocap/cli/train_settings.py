"""Check the settings of `pseudocap train` as far as it needs no torch: shipped configs, files, the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from pseudocap.cli.resuming import checkpoint_of
from pseudocap.data.corpora.named import OF_QUESTIONS, NamedCorpus
from pseudocap.errors import ConfigError, DataError, nearest
from pseudocap.files.sources import check_gguf, check_repo, is_directory
from pseudocap.regimes.table import ANSWERING, ASR, SELF_CRITICAL, RegimeRow

OUT = "runs/train"
TARS = "DIR, tars, or memories that `pseudocap encode` wrote of them"
NEEDED = {  # by regime and stream, where it is something else
    (SELF_CRITICAL.name, "images"): "DIR (or --data.videos DIR), memories that `pseudocap encode captions.jsonl` wrote",
    (ASR, "videos"): "DIR, the videos of the transcripts; or tars or memories, and --data.transcripts null",
    (ANSWERING.name, "videos"): "DIR, the videos that are asked about; or --data.memories DIR",
    (ASR, "transcripts"): "FILE, or null where --data.videos brings them",
}


def with_shipped_configs(settings: list[str], regime: RegimeRow) -> list[str]:
    """Replace `--config toy` and `--config paper` by the file that the package ships."""
    shipped = regime.configs()
    words = []
    before = ""
    for word in settings:
        option, _, name = word.rpartition("=")
        if "--config" not in (option, before) or Path(name).is_file():
            words.append(word)
        elif name in shipped:
            words.append(f"--config={shipped[name]}" if option else str(shipped[name]))
        else:
            raise ConfigError(
                f"--config {name}: there is no such file{nearest(name, shipped)}; shipped for {regime.name} are "
                f"{', '.join(sorted(shipped))}"
            )
        before = word
    return words


def refuse_absent(words: list[str], regime: RegimeRow) -> None:
    """Refuse a run whose data, backbones or folder cannot be, as its config and its options name them. LightningCLI
    checks all other settings."""
    settings = _settings(words)
    if regime is ANSWERING:
        _refuse_captions(settings)
    for name in ("images", "videos", "transcripts"):
        given, option = settings.get(f"data.{name}"), f"--data.{name}"
        if given is not None and not Path(given).exists():
            ours = option in (word.partition("=")[0] for word in words)
            way_out = "" if ours else f"; the config names it: give {option} {NEEDED.get((regime.name, name), TARS)}"
            raise DataError(f"{option} {given}: there is no such tar or folder{way_out}")
    for which in ("decoder", "encoder", "audio_encoder", "text"):
        given = settings.get(f"model.model.init_args.{which}")
        if given is not None and not is_directory(given):
            check = check_gguf if which == "decoder" and given.endswith(".gguf") else check_repo
            check(given)
    checkpoint_of(settings.get("out", OUT), resume="--resume" in words or settings.get("resume") == "True")


def _refuse_captions(settings: Mapping[str, str]) -> None:
    """Refuse data that is not there, or asks nothing."""
    source = settings.get("data.source")
    if source is None:
        raise ConfigError("--data.source is missing: the questions, as questions:asked.jsonl or msrvtt-qa:DIR")
    named = NamedCorpus.of(source)
    if not named.asks:
        kinds = ", ".join(f"{kind}:" for kind in OF_QUESTIONS)
        raise ConfigError(f"--data.source {source}: answering learns from questions; name them by one of {kinds}")
    named.require("--data.source")


def _settings(words: list[str]) -> dict[str, str]:
    """Read plain settings by their dotted names, of config files and of options: the later one counts."""
    found: dict[str, object] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option == "--config":
            found |= dict(_flat(_read(Path(value))))
        elif option.startswith("--"):
            found[option.removeprefix("--")] = value
    plain = {name: str(value) for name, value in found.items() if isinstance(value, str | bool)}
    return {name: value for name, value in plain.items() if value not in ("", "null") and value[0] not in "[{"}


def _read(config: Path) -> object:
    """Read the config file; one that cannot be read is left to jsonargparse, which reports why."""
    try:
        return yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _flat(document: object, where: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _flat(value, f"{where}.{name}" if where else str(name))
    else:
        yield where, document
