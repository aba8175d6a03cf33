"""Read groups of modalities on the command line: v,a and av=0.6,v=0.3,a=0.1."""

from __future__ import annotations

import argparse
import math

from pseudocap.errors import ConfigError
from pseudocap.regimes.modality_groups import checked_groups, checked_probabilities


def group_names(text: str) -> tuple[str, ...]:
    try:
        return checked_groups(text.split(","), "modalities")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def language_shares(text: str) -> dict[str, float]:
    try:
        shares = {name: float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not of the form en=0.5,es=0.5") from error
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise argparse.ArgumentTypeError(f"the shares of {text} must not be negative and must sum to 1")
    return shares


def group_probabilities(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return checked_probabilities({name: float(share) for name, share in pairs})
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not of the form av=0.6,v=0.3,a=0.1") from error
