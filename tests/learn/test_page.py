"""The sentence of the report: whether it learned, and whether that may be chance."""

from __future__ import annotations

import pytest

from pseudocap.learn.measure import BEFORE, Change, Measurements
from pseudocap.learn.page import verdict
from pseudocap.metrics.suite import Scores, score
from pseudocap.regimes.finetune_report import CIDER


def scored(videos: int) -> Scores:
    captions = {f"{n}": [f"dog {n} runs"] for n in range(videos)}
    return score(
        predictions={name: texts[0] for name, texts in captions.items()}, references=captions, metrics=(CIDER,)
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(before=2.0, after=1.5, p=0.01), "improved, from 2.000 to 1.500."),
        (Change(before=2.0, after=1.5, p=0.05), "improved, from 2.000 to 1.500, and 12 are too few to exclude chance."),
        (Change(before=2.0, after=1.5), "improved, from 2.000 to 1.500, and 12 are too few to exclude chance."),
        (Change(before=2.0, after=2.0, p=0.01), "did not improve, from 2.000 to 2.000."),
    ],
)
def test_a_lower_loss_is_better_and_a_large_p_a_doubt(change: Change, expected: str) -> None:
    measured = Measurements(references={}, captions={}, videos=12, loss=change)
    assert verdict(measured) == f"The loss of held-out captions by the teacher {expected}"


def test_captions_by_people_go_before_the_loss_and_higher_is_better() -> None:
    measured = Measurements(
        references={}, captions={}, videos=12, loss=Change(before=1.0, after=9.0, p=0.001),
        scores={BEFORE: scored(3)}, changes={CIDER: Change(before=10.0, after=12.5, p=0.2)},
    )  # fmt: skip
    assert verdict(measured) == (
        "CIDEr-D against people's captions of 3 stretches improved, from 10.0 to 12.5, and 3 are too few to exclude "
        "chance."
    )
