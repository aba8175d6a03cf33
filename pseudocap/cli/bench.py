"""Measure what the papers claim, one command each: `pseudocap bench regimes | ablation NAME | model N | throughput |
search | mining | mined | duplicates A B | retrieval DATA | transcripts FILE | sound`."""

from __future__ import annotations

import argparse

from pseudocap.cli.actions import add_actions
from pseudocap.cli.bench_duplicates import DUPLICATES
from pseudocap.cli.bench_mined import MINED
from pseudocap.cli.bench_mining import MINING
from pseudocap.cli.bench_model import MODEL
from pseudocap.cli.bench_regimes import ABLATION, REGIMES_BENCH
from pseudocap.cli.bench_retrieval import RETRIEVAL
from pseudocap.cli.bench_search import SEARCH
from pseudocap.cli.bench_sound import SOUND
from pseudocap.cli.bench_throughput import THROUGHPUT
from pseudocap.cli.bench_transcripts import TRANSCRIPTS

ACTIONS = {
    "regimes": REGIMES_BENCH,
    "ablation": ABLATION,
    "model": MODEL,
    "retrieval": RETRIEVAL,
    "throughput": THROUGHPUT,
    "search": SEARCH,
    "mining": MINING,
    "mined": MINED,
    "duplicates": DUPLICATES,
    "transcripts": TRANSCRIPTS,
    "sound": SOUND,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(parser, ACTIONS)


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)
