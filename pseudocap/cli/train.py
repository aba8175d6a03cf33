"""`pseudocap train REGIME --config FILE --trainer.max_steps ...`: pre-training, every setting typed and explained.

On LightningCLI, so `--print_config` prints all settings, a run saves those it had, and each can be given in a file, on
the command line, or both.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from pseudocap.cli.quiet import quieten
from pseudocap.errors import CheckpointError, ConfigError, DataError, nearest

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
OUT = "runs/train"
LAST = "checkpoints/last.ckpt"
REGIMES = {
    "asr": ("AsrBaseline", "pseudocap.regimes.asr", "TranscriptData"),
    "image-only": ("ImageOnly", "pseudocap.data", "StreamData"),
    "video-only": ("VideoOnly", "pseudocap.data", "StreamData"),
    "mixed": ("Mixed", "pseudocap.data", "StreamData"),
    "mixed-ext": ("MixedExtended", "pseudocap.data", "StreamData"),
}


ASKS = re.compile(r"--help$|-h$|--print_config|--[\w.]+\.help(=|$)")  # words that start no run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("regime", choices=list(REGIMES), help="what it learns from, and how long")
    parser.add_argument(
        "settings",
        nargs=argparse.REMAINDER,
        help="--config FILE, --out RUN, --resume, --model.*, --data.*, --trainer.*; `pseudocap train mixed --help` "
        "explains them all, `--print_config` prints them",
    )


def run(args: argparse.Namespace) -> int:
    words = _without_shortcuts(args.settings, args.regime)
    if not any(ASKS.match(word) for word in words):
        _refuse_absent(words)

    # Here, after everything that can be told without torch, which takes seconds to be imported.
    import importlib

    from pseudocap import regimes
    from pseudocap.cli.lightning_cli import TrainingCLI

    regime, home, data = REGIMES[args.regime]
    quieten()
    cli = TrainingCLI(
        getattr(regimes, regime),
        getattr(importlib.import_module(home), data),
        args=words,
        prog=f"pseudocap train {args.regime}",
    )
    cli.fit()
    if cli.trainer.is_global_zero:  # of several processes one tells
        print(f"{cli.trainer.global_step:,} steps; the captioner lies in {Path(cli.out) / 'last'}")
    return 0


def _without_shortcuts(settings: list[str], regime: str) -> list[str]:
    """`--config toy` or `--config paper` names a file that the package ships."""
    found = {path.stem.removeprefix(f"{regime}-"): path for path in CONFIGS.glob(f"{regime}-*.yaml")}
    shipped = {name: path for name, path in found.items() if "-" not in name}  # mixed-ext has its own
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
                f"--config {name}: there is no such file{nearest(name, shipped)}; shipped for {regime} are "
                f"{', '.join(sorted(shipped))}"
            )
        before = word
    return words


def _refuse_absent(words: list[str]) -> None:
    """What a run reads and where it writes, as its config and its options name them: told now where it cannot be. All
    other settings are LightningCLI's to judge."""
    from pseudocap.files.sources import check_repo, is_directory

    settings = _settings(words)
    for name in ("images", "videos", "transcripts"):
        given = settings.get(f"data.{name}")
        if given is not None and not Path(given).exists():
            raise DataError(f"--data.{name} {given}: there is no such tar or folder")
    for which in ("decoder", "encoder"):
        given = settings.get(f"model.model.init_args.{which}")
        if given is not None and not is_directory(given):
            check_repo(given)
    checkpoint_of(settings.get("out", OUT), resume="--resume" in words or settings.get("resume") == "True")


def _settings(words: list[str]) -> dict[str, str]:
    """Plain ones by their dotted names, of config files and of options: the later one counts."""
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
    """What cannot be read is left to jsonargparse, which says why."""
    import yaml

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


def checkpoint_of(out: str, *, resume: bool) -> str | None:
    """Where training goes on. A run that was begun is neither overwritten nor gone on with unasked."""
    last = Path(out) / LAST
    if resume:
        if not last.exists():  # a file, or the folder that DeepSpeed writes
            raise CheckpointError(f"--resume: {last} is not there; this run has saved no checkpoint yet")
        return str(last)
    if last.exists():
        raise ConfigError(f"{out} holds a run already; go on with it (--resume), or name another --out")
    return None
