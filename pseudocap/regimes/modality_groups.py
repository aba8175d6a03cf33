"""Draw the modalities that a step learns from as a function of (seed, rank, step): sight and sound, sight or sound.

So one captioner serves with and without sound. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from pseudocap.errors import ConfigError, nearest
from pseudocap.memory import GROUPS

_GROUPS = 6  # what the random numbers are for, beside those of data/stream


def checked_probabilities(given: Mapping[str, float]) -> dict[str, float]:
    """Return the probability of each group, in the order of GROUPS; they must sum to 1."""
    checked_groups(given, "modality_groups")
    for name, probability in given.items():
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ConfigError(f"modality_groups.{name} is a probability, from 0 to 1, not {probability!r}")
    if not math.isclose(total := sum(given.values()), 1, abs_tol=1e-6):
        raise ConfigError(f"modality_groups sum to {total:g} and must sum to 1, as av 0.6, v 0.3, a 0.1 do")
    return {name: float(given.get(name, 0.0)) for name in GROUPS}


def checked_groups(given: Iterable[str], what: str) -> tuple[str, ...]:
    """Return names of groups in the order of GROUPS; ConfigError where one is unknown."""
    names = tuple(given)
    for name in names:
        if name not in GROUPS:
            raise ConfigError(f"{what} are of {', '.join(GROUPS)}, not {name!r}{nearest(str(name), GROUPS)}")
    return tuple(name for name in GROUPS if name in names)


def draw_group(probabilities: Mapping[str, float], *, seed: int, rank: int, step: int) -> str:
    """Return the group of a step."""
    draw = np.random.default_rng([seed, rank, step, _GROUPS]).random()
    reached = 0.0
    for name, probability in probabilities.items():
        reached += probability
        if draw < reached:
            return name
    return max(probabilities, key=lambda name: probabilities[name])  # where rounding left a gap below 1
