"""An ablation's table says what its intervals are over."""

from __future__ import annotations

from typing import Any

import pytest

from pseudocap.bench.claims.ablation_report import ablation_table, arm_document
from pseudocap.bench.claims.ablations import Arm
from pseudocap.bench.claims.cells import Cell
from pseudocap.bench.claims.results import mean_document
from pseudocap.evaluate.captioner import ZERO_SHOT
from pseudocap.evaluate.views import PLAIN
from pseudocap.metrics.measures import METRICS
from pseudocap.zoo.recipe import FULL_RECIPE


def document(values: list[float], **more: Any) -> dict[str, Any]:
    scores = {way: {metric: mean_document(values) for metric in METRICS} for way in (PLAIN, ZERO_SHOT)}
    scores[PLAIN]["CIDEr-D"] |= more
    arm = {"settings": {"gate": "vector"}, "steps": 200, "diverged": 0, "scores": scores}
    told = {"ablation": "gate", "question": "?", "claimed": "nothing", "note": "", "command": "pseudocap bench"}
    return {**told, "arms": [arm], "seeds": list(range(len(values)))}


def test_one_seed_has_its_interval_over_films() -> None:
    text = "\n".join(ablation_table(document([37.7], **{"interval over films": [34.1, 41.2]})))
    assert "one seed has none over seeds; the bootstrap over films" in text
    assert "| vector | 200 | 37.7 (34.1 to 41.2 over films) | 37.7 |" in text


def test_several_seeds_have_theirs_over_seeds() -> None:
    text = "\n".join(ablation_table(document([37.0, 38.0, 39.0])))
    assert "Student's t over seeds" in text
    assert "| vector | 200 | 38.0 ± 2.5 |" in text


WHOLE = {
    "scores": {way: dict.fromkeys(METRICS, 37.7) for way in (PLAIN, ZERO_SHOT)},
    "intervals over films": {"CIDEr-D": [34.1, 41.2]},
}
DIVERGED: dict[str, Any] = {"diverged": "loss 1e9 at step 3"}


@pytest.mark.parametrize(
    ("told", "over_films"), [([WHOLE], True), ([WHOLE, DIVERGED], True), ([WHOLE, WHOLE], False), ([DIVERGED], None)]
)
def test_an_arm_of_which_one_seed_is_whole_has_its_interval_over_films(
    told: list[dict[str, Any]], over_films: bool | None
) -> None:
    cell = Cell(regime="mixed", seed=0, plan=FULL_RECIPE.regime, may_diverge=True)
    arm = arm_document(Arm(settings={"lr": 0.001}), told, cell)
    assert arm["diverged"] == told.count(DIVERGED)
    if over_films is None:
        assert arm["scores"] == {}
    else:
        assert ("interval over films" in arm["scores"][PLAIN]["CIDEr-D"]) == over_films
