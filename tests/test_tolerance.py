from __future__ import annotations

import pytest

from pseudocap.errors import ConfigError
from pseudocap.tolerance import Tolerance


def test_just_the_share_may_fail_and_one_more_may_not() -> None:
    tolerance = Tolerance(0.1)
    assert tolerance.objection(100, 1000, "clips failed") == ""
    assert tolerance.objection(101, 1000, "clips failed") == (
        "101 of 1,000 clips failed, more than max_failure_rate 0.1 allows"
    )
    assert Tolerance(0.0).objection(0, 5, "clips failed") == ""
    assert Tolerance(0.0).objection(1, 5, "clips failed")
    assert Tolerance(1.0).objection(5, 5, "clips failed") == ""


def test_a_share_of_few_is_a_share_of_the_least() -> None:
    tolerance = Tolerance(0.1, least=20, option="--max-failure-rate")
    assert tolerance.objection(2, 3, "clips failed") == ""
    assert "3 of 3 clips failed, more than --max-failure-rate 0.1" in tolerance.objection(3, 3, "clips failed")
    assert tolerance.objection(3, 30, "clips failed") == ""


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"--rate must be a share from 0 to 1, not {share!r}"):
        Tolerance(share, option="--rate")
