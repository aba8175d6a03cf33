"""Pre-train, every setting typed and explained: `pseudocap train REGIME --config FILE --trainer.max_steps ...`.

On LightningCLI, so `--print_config` prints all settings, a run saves those it had, and each can be given in a file, on
the command line, or both.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pseudocap.cli.quiet import quieten
from pseudocap.cli.resuming import resumable
from pseudocap.cli.train_settings import refuse_absent, with_shipped_configs
from pseudocap.regimes.table import TRAINABLE

ASKS = re.compile(r"--help$|-h$|--print_config|--[\w.]+\.help(=|$)")  # words that start no run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("regime", choices=list(TRAINABLE), help="what it learns from, and how long")
    parser.add_argument(
        "settings",
        nargs=argparse.REMAINDER,
        help="--config FILE, --out RUN, --resume, --model.*, --data.*, --trainer.*; `pseudocap train mixed --help` "
        "explains them all, `--print_config` prints them",
    )


def run(args: argparse.Namespace) -> int:
    words = with_shipped_configs(args.settings, TRAINABLE[args.regime])
    if not any(ASKS.match(word) for word in words):
        refuse_absent(words, TRAINABLE[args.regime])

    # Here, after everything that can be checked without torch, which takes seconds to be imported.
    from pseudocap.cli.lightning_cli import TrainingCLI

    quieten()
    row = TRAINABLE[args.regime]
    cli = TrainingCLI(row.load(), row.load_data(), args=words, prog=f"pseudocap train {row.name}")
    with resumable(cli.out):
        cli.fit()
    if cli.trainer.is_global_zero:  # of several processes one reports
        print(f"{cli.trainer.global_step:,} steps; the {row.learner} is {Path(cli.out) / 'last'}")
    return 0
