"""Check `score`: which videos a number covers, how certain it is, and why it cannot be computed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import pseudocap
from pseudocap.errors import DataError
from pseudocap.metrics import compare, score

Captions = dict[str, list[str]]
MadeUp = tuple[dict[str, str], Captions]


def test_scores_are_a_dictionary_of_values_times_100(made_up: MadeUp) -> None:
    predictions, references = made_up
    scores = pseudocap.score(predictions=predictions, references=references)
    assert list(scores) == ["CIDEr-D", "BLEU-4", "ROUGE-L"]
    assert json.loads(json.dumps(scores)) == dict(scores)
    assert scores["CIDEr-D"] == pytest.approx(np.mean(list(scores.per_video("CIDEr-D").values())))


def test_scoring_loads_no_torch() -> None:
    code = (
        "import sys; from pseudocap import score;"
        "score(predictions={1: 'a', 2: 'b'}, references={1: ['a'], 2: ['b']}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_line_tells_how_many_videos_and_shouts_when_some_are_missing(made_up: MadeUp) -> None:
    predictions, references = made_up
    assert (
        str(score(predictions=predictions, references=references)).splitlines()[0] == "60 videos, all of the references"
    )
    part = {video: text for video, text in predictions.items() if video != "v9"} | {"w": "a cat"}
    scores = score(predictions=part, references=references, allow_missing=True)
    assert str(scores).splitlines()[0] == (
        "ONLY 59 of 60 videos (without a prediction: 1); predictions without references: 1"
    )
    assert (scores.n, scores.missing, scores.coverage.unknown) == (59, ("v9",), ("w",))


def test_the_rarity_of_words_is_counted_over_all_references_also_when_videos_are_missing(made_up: MadeUp) -> None:
    predictions, references = made_up
    full = score(predictions=predictions, references=references).per_video("CIDEr-D")
    part = {video: predictions[video] for video in list(predictions)[:20]}
    some = score(predictions=part, references=references, allow_missing=True).per_video("CIDEr-D")
    assert some == pytest.approx({video: full[video] for video in part})


@pytest.mark.parametrize(
    ("predictions", "references", "says"),
    [
        ({"a": "x"}, {"a": ["x"], "b": ["y"]}, r"videos without a prediction: 1 of 2 \('b'\).*allow_missing=True"),
        ({"a": "x", "c": "z"}, {"a": ["x"]}, r"predictions without references: 1 \('c'\)"),
        ({1: "x"}, {"1": ["x"]}, r"no video has both.*predictions are of 1, references of '1'.*same ids"),
        ({}, {"a": ["x"]}, "no video has both"),
        ({"a": ["x"]}, {"a": ["x"]}, r"prediction of video 'a' must be one caption, not \['x'\]"),
        ({"a": "x"}, {"a": "x"}, "references of video 'a' must be a list of captions, not 'x'"),
        ({"a": "x"}, {"a": []}, "video 'a' has no reference caption"),
        ({"a": "x"}, {"a": [None]}, "must be a list of captions"),
        ({"a": "x"}, {}, "references are empty"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_way_out(predictions: dict, references: dict, says: str) -> None:
    with pytest.raises(DataError, match=says):
        score(predictions=predictions, references=references)


def test_no_common_video_is_an_error_even_when_some_may_be_missing() -> None:
    with pytest.raises(DataError, match="no video has both"):
        score(predictions={"a": "x"}, references={"b": ["x"]}, allow_missing=True)


@pytest.mark.parametrize(
    ("name", "says"),
    [("cider", "coco-caption calls CIDEr is CIDEr-D"), ("ROUGE", "did you mean 'ROUGE-L'"), ("x", "CIDEr")],
)
def test_an_unknown_metric_is_refused_before_anything_is_done(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        score(predictions={}, references={}, metrics=[name])


def test_intervals_hold_the_value_and_come_again_with_the_same_seed(made_up: MadeUp) -> None:
    predictions, references = made_up

    def intervals(seed: int) -> dict:
        return score(predictions=predictions, references=references, bootstrap=200, seed=seed).intervals

    scores = score(predictions=predictions, references=references, bootstrap=200)
    for name, value in scores.items():
        assert scores.intervals[name].low < value < scores.intervals[name].high
    assert intervals(0) == scores.intervals
    assert intervals(1) != scores.intervals


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says(made_up: MadeUp) -> None:
    predictions, references = made_up
    scores = score(predictions=predictions, references=references, metrics=["ROUGE-L"], bootstrap=4000)
    values = np.array(list(scores.per_video("ROUGE-L").values()))
    width = 2 * 1.96 * values.std() / np.sqrt(len(values))
    found = scores.intervals["ROUGE-L"]
    assert found.high - found.low == pytest.approx(width, rel=0.08)


def test_one_sample_is_no_bootstrap(made_up: MadeUp) -> None:
    predictions, references = made_up
    with pytest.raises(DataError, match="at least 2"):
        score(predictions=predictions, references=references, bootstrap=1)


def test_a_system_is_not_better_than_itself(made_up: MadeUp) -> None:
    predictions, references = made_up
    for found in compare(predictions=predictions, baseline=predictions, references=references, samples=100).values():
        assert (found.value, found.interval.low, found.interval.high, found.p) == (0, 0, 0, 1)


def test_where_some_are_missing_only_videos_that_both_have_are_compared(made_up: MadeUp) -> None:
    predictions, references = made_up
    copied = {video: texts[0] for video, texts in references.items()}
    names = sorted(references)
    ours, theirs = (
        {name: each[name] for name in some} for each, some in ((copied, names[5:]), (predictions, names[:40]))
    )
    both = {name: each for name, each in references.items() if name in names[5:40]}
    options = {
        "samples": 50,
        "metrics": ("BLEU-4", "ROUGE-L"),
    }  # how rare a word is, CIDEr-D counts over all references
    found = compare(predictions=ours, baseline=theirs, references=references, allow_missing=True, **options)
    for one, other in ((ours, theirs), (ours, predictions), (copied, theirs)):
        narrow = [{name: each[name] for name in both} for each in (one, other)]
        expected = compare(predictions=narrow[0], baseline=narrow[1], references=both, **options)
        assert found == expected
    with pytest.raises(DataError):
        compare(predictions=ours, baseline=theirs, references=references, **options)


def test_a_system_that_copies_a_reference_beats_one_that_says_the_same_of_all(made_up: MadeUp) -> None:
    _, references = made_up
    copied = {video: texts[0] for video, texts in references.items()}
    dull = dict.fromkeys(references, "a man is in the kitchen")
    better = compare(predictions=copied, baseline=dull, references=references, samples=200)
    worse = compare(predictions=dull, baseline=copied, references=references, samples=200)
    for name, found in better.items():
        assert found.interval.low > 0
        assert found.p == pytest.approx(1 / 201)
        assert worse[name].value == pytest.approx(-found.value)


def test_chance_gives_any_p_when_two_systems_are_equally_good(made_up: MadeUp) -> None:
    _, references = made_up
    generator = np.random.default_rng(3)
    ps = []
    for _ in range(60):
        pairs = {video: generator.permutation([texts[0], "a dog runs"]).tolist() for video, texts in references.items()}
        ours, theirs = ({video: pair[side] for video, pair in pairs.items()} for side in (0, 1))
        found = compare(predictions=ours, baseline=theirs, references=references, metrics=["ROUGE-L"], samples=200)
        ps.append(found["ROUGE-L"].p)
    assert 0.3 < np.mean(ps) < 0.7
    assert np.mean(np.array(ps) < 0.05) < 0.2


def test_groups_split_the_videos_and_keep_each_caption_s_score(made_up: MadeUp) -> None:
    predictions, references = made_up
    scores = score(predictions=predictions, references=references)
    groups = {video: "even" if int(video[1:]) % 2 == 0 else "odd" for video in references if video != "v0"}
    parts = scores.by(groups)
    assert {name: part.n for name, part in parts.items()} == {"(none)": 1, "even": 29, "odd": 30}
    assert {k: v for part in parts.values() for k, v in part.per_video("CIDEr-D").items()} == scores.per_video(
        "CIDEr-D"
    )
    total = sum(part["ROUGE-L"] * part.n for part in parts.values())
    assert total / scores.n == pytest.approx(scores["ROUGE-L"])
