"""What an explanation's arrays become when they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from pseudocap.explain.arrays import heat


def test_heat_is_what_is_looked_at_above_the_even_share() -> None:
    assert not heat(np.full(64, 1 / 64)).any()
    assert heat(np.array([0.7, 0.1, 0.1, 0.1])).tolist() == pytest.approx([0.6, 0, 0, 0])
    sharp = np.r_[0.9, np.full(63, 0.1 / 63)]
    assert (heat(sharp)[0], heat(sharp)[1:].max()) == (1, 0)
