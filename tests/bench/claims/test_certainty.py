"""How certain a mean is: intervals that cover, claims that need both kinds of chance."""

from __future__ import annotations

import numpy as np
import pytest

from pseudocap.bench.claims.cells import Cell
from pseudocap.bench.claims.certainty import CLAIMS, Claim, judge_claim, mean_over_seeds, verdict_of
from pseudocap.bench.claims.measured import Measured
from pseudocap.bench.claims.results import claims_by_captions
from pseudocap.metrics.references import References
from pseudocap.metrics.resample import Interval
from pseudocap.metrics.suite import Scores, score
from pseudocap.zoo.recipe import FULL_RECIPE

FILMS = [f"film{number}" for number in range(40)]
REFERENCES = References({film: [f"a {film} runs to the left", f"the {film} runs"] for film in FILMS})
CLAIM = CLAIMS[0]


def measured(right: int, *, first: int = 0) -> Scores:
    """A captioner that is right about so many films."""
    said = {film: f"a {film} runs to the left" if first <= n < first + right else "a b" for n, film in enumerate(FILMS)}
    return score(predictions=said, references=REFERENCES, metrics=["CIDEr-D"])


@pytest.mark.parametrize("seeds", [2, 3, 5, 40])
def test_the_interval_over_seeds_covers_the_truth_as_often_as_it_says(seeds: int) -> None:
    drawn = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, seeds))
    intervals = [mean_over_seeds(row)[1] for row in drawn.tolist()]
    covered = np.mean([each is not None and each.low <= 3.0 <= each.high for each in intervals])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_one_seed_has_no_interval_and_decides_nothing() -> None:
    assert mean_over_seeds([4.0])[1] is None
    judged = judge_claim(CLAIM, {(CLAIM.better, 0): measured(40), (CLAIM.worse, 0): measured(0)})
    assert judged is not None
    assert (judged.over_seeds, judged.verdict) == (None, "not decided")
    assert judged.over_films.low > 0


def test_a_claim_holds_where_every_seed_and_the_films_say_so_and_is_reversed_with_its_sides() -> None:
    cells = {(CLAIM.better, seed): measured(30 + seed) for seed in range(3)}
    cells |= {(CLAIM.worse, seed): measured(10 + seed % 2) for seed in range(3)}
    judged = judge_claim(CLAIM, cells)
    turned = judge_claim(Claim(text="turned", better=CLAIM.worse, worse=CLAIM.better), cells)
    assert judged is not None
    assert turned is not None
    assert judged.verdict == "holds"
    assert turned.verdict == "does not hold: the reverse does"
    assert turned.difference == pytest.approx(-judged.difference)
    assert judged.over_films.low < judged.difference < judged.over_films.high


def test_a_claim_is_judged_for_every_number_of_captions_by_its_own_cells() -> None:
    found = {}
    for seed in range(3):
        for captions, (better, worse) in {10: (30 + seed, 10), 100: (10, 30 + seed), None: (20, 20)}.items():
            for regime, right in ((CLAIM.better, better), (CLAIM.worse, worse)):
                cell = Cell(regime=regime, seed=seed, plan=FULL_RECIPE.regime, captions=captions)
                found[cell] = Measured(report={}, plain=measured(right))
    judged = claims_by_captions(found)
    assert {number: each["verdict"] for number, (each,) in judged.items()} == {
        "10": "holds",
        "100": "does not hold: the reverse does",
    }


def test_the_papers_claims_have_the_sides_that_their_words_have() -> None:
    sides = {claim.text: (claim.better, claim.worse) for claim in CLAIMS}
    assert sides == {
        "pseudolabels of video beat ASR": ("video-only", "asr"),
        "images and video together beat images alone": ("mixed", "image-only"),
        "images and video together beat video alone": ("mixed", "video-only"),
        "longer is better": ("mixed-ext", "mixed"),
    }


def test_the_difference_and_its_interval_over_films_are_of_the_mean_of_all_seeds() -> None:
    """Where the films of one seed alone would say the contrary."""
    ours, theirs = [measured(5), measured(40), measured(40)], [measured(10)] * 3
    cells = {(CLAIM.better, seed): scores for seed, scores in enumerate(ours)}
    cells |= {(CLAIM.worse, seed): scores for seed, scores in enumerate(theirs)}
    judged = judge_claim(CLAIM, cells)
    assert judged is not None
    expected = np.mean([one["CIDEr-D"] - other["CIDEr-D"] for one, other in zip(ours, theirs, strict=True)])
    assert judged.difference == pytest.approx(expected)
    assert 0 < judged.over_films.low < expected < judged.over_films.high


def test_seeds_that_disagree_decide_nothing() -> None:
    cells = {(CLAIM.better, seed): measured(20) for seed in range(3)}
    cells |= {(CLAIM.worse, seed): measured(right) for seed, right in enumerate((5, 20, 35))}
    judged = judge_claim(CLAIM, cells)
    assert judged is not None
    assert judged.verdict == "not decided"


def test_only_seeds_that_both_regimes_have_are_paired() -> None:
    cells = {(CLAIM.better, 0): measured(20), (CLAIM.better, 1): measured(30), (CLAIM.worse, 1): measured(10)}
    judged = judge_claim(CLAIM, cells)
    assert judged is not None
    assert judged.seeds == (1,)
    assert judge_claim(CLAIM, {(CLAIM.better, 0): measured(20)}) is None


def test_both_intervals_must_lie_on_one_side() -> None:
    above, across, below = Interval(low=1, high=2), Interval(low=-1, high=2), Interval(low=-2, high=-1)
    assert verdict_of(above, above) == "holds"
    assert {verdict_of(above, across), verdict_of(across, above), verdict_of(above, below)} == {"not decided"}
    assert verdict_of(below, below) == "does not hold: the reverse does"
