"""`pseudocap train REGIME --config FILE --trainer.max_steps ...`: pre-training, every setting typed and explained.

On LightningCLI, so `--print_config` prints all settings, a run saves those it had, and each can be given in a file, on
the command line, or both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pseudocap.errors import ConfigError, nearest

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
REGIMES = {
    "asr": ("AsrBaseline", "pseudocap.regimes.asr", "TranscriptData"),
    "image-only": ("ImageOnly", "pseudocap.data", "StreamData"),
    "video-only": ("VideoOnly", "pseudocap.data", "StreamData"),
    "mixed": ("Mixed", "pseudocap.data", "StreamData"),
    "mixed-ext": ("MixedExtended", "pseudocap.data", "StreamData"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("regime", choices=list(REGIMES), help="what it learns from, and how long")
    parser.add_argument(
        "settings",
        nargs=argparse.REMAINDER,
        help="--config FILE, --out RUN, --resume, --model.*, --data.*, --trainer.*; `pseudocap train mixed --help` "
        "explains them all, `--print_config` prints them",
    )


def run(args: argparse.Namespace) -> int:
    import importlib

    from pseudocap import regimes
    from pseudocap.cli.training import TrainingCLI, quieten

    regime, home, data = REGIMES[args.regime]
    quieten()
    cli = TrainingCLI(
        getattr(regimes, regime),
        getattr(importlib.import_module(home), data),
        args=_without_shortcuts(args.settings, args.regime),
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
