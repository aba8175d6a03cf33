"""Options of where labelling and mining run: in processes of this machine, or by actors of a Ray cluster."""

from __future__ import annotations

import argparse

from pseudocap.cli.options import add_option
from pseudocap.errors import ConfigError


def add_cluster_options(parser: argparse.ArgumentParser, *, actor: str, meaning: str) -> None:
    """Declare them; `actor` is the word for what works there, `meaning` what its number is of."""
    group = parser.add_argument_group("where it runs")
    group.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="processes of this machine, or Ray Data (local)"
    )
    add_option(group, "--address", str, "A", "of the Ray cluster; default: $RAY_ADDRESS, or this machine")
    add_option(group, f"--gpus-per-{actor}", float, "N", "or a fraction (1 where there are GPUs)")
    add_option(group, f"--{actor}s", "1:", "MIN:MAX", f"{meaning}; no MAX: as fit the cluster")


def refuse_cluster_options(args: argparse.Namespace, *, actor: str) -> None:
    """Refuse options of a cluster where none is used."""
    gpus = f"gpus-per-{actor}"
    if args.engine == "local" and (args.address is not None or getattr(args, gpus.replace("-", "_")) is not None):
        raise ConfigError(f"--address and --{gpus} belong to --engine ray")
