"""Compare CIDEr-D, BLEU and ROUGE-L with pycocoevalcap's, caption by caption; and check their edge cases."""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pseudocap.metrics import References, score
from pseudocap.metrics.tokenize import tokenize

Captions = dict[str, list[str]]
ALL = ("CIDEr-D", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L")


def pycocoevalcap(predictions: dict[str, str], references: Captions) -> dict[str, tuple[float, list[float]]]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    theirs = {video: [tokenize(text) for text in texts] for video, texts in references.items()}
    ours = {video: [tokenize(predictions[video])] for video in references}
    found: dict[str, Any] = {
        "CIDEr-D": Cider().compute_score(theirs, ours),
        "ROUGE-L": Rouge().compute_score(theirs, ours),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        totals, captions = Bleu(4).compute_score(theirs, ours)
    return found | {f"BLEU-{n}": (totals[n - 1], captions[n - 1]) for n in (1, 2, 3, 4)}


def check_parity(predictions: dict[str, str], references: Captions) -> None:
    scores = score(predictions=predictions, references=references, metrics=ALL)
    for name, (total, captions) in pycocoevalcap(predictions, references).items():
        assert scores[name] == pytest.approx(total * 100, rel=1e-9), name
        np.testing.assert_allclose(
            list(scores.per_video(name).values()), np.array(captions) * 100, rtol=1e-6, atol=1e-9
        )


def test_scores_equal_pycocoevalcap_s_on_made_up_captions(made_up: tuple[dict[str, str], Captions]) -> None:
    check_parity(*made_up)


@pytest.mark.parametrize("words", [1, 63, 64, 65, 128, 129])
def test_rouge_is_exact_up_to_and_beyond_the_bits_of_an_integer(words: int) -> None:
    """A caption of so many words against itself, and against every other word of it."""
    caption = [f"word{number}" for number in range(words)]
    one = score(predictions={"a": " ".join(caption)}, references={"a": [" ".join(caption)]}, metrics=("ROUGE-L",))
    assert one["ROUGE-L"] == pytest.approx(100)
    half = caption[::2]
    other = score(predictions={"a": " ".join(caption)}, references={"a": [" ".join(half)]}, metrics=("ROUGE-L",))
    precision = len(half) / words
    assert other["ROUGE-L"] == pytest.approx(100 * 2.44 * precision / (1 + 1.44 * precision))


def test_scores_equal_pycocoevalcap_s_when_a_caption_has_more_words_than_an_integer_bits(
    made_up: tuple[dict[str, str], Captions],
) -> None:
    predictions, references = made_up
    predictions = predictions | {"v1": "the dog " * 50 + "runs"}
    check_parity(predictions, references | {"v1": ["a dog " * 40, "the dog runs " * 30]})


def test_known_values_of_the_msvd_test_videos(msvd: Callable[[str], Captions]) -> None:
    videos = msvd("test")
    scores = score(
        predictions={video: texts[0] for video, texts in videos.items()},
        references={video: texts[1:] for video, texts in videos.items()},
    )
    assert scores == pytest.approx({"CIDEr-D": 112.5460, "BLEU-4": 49.4517, "ROUGE-L": 75.7211}, abs=5e-5)
    assert scores.n == 670


@pytest.mark.slow
def test_scores_equal_pycocoevalcap_s_on_the_msvd_test_videos(msvd: Callable[[str], Captions]) -> None:
    videos = msvd("test")
    check_parity({video: texts[0] for video, texts in videos.items()}, {v: texts[1:] for v, texts in videos.items()})


def test_plain_cider_is_the_mean_cosine_of_rarity_weighted_n_grams(made_up: tuple[dict[str, str], Captions]) -> None:
    predictions, references = made_up
    grams = {
        video: [[_grams(tokenize(text), n) for n in (1, 2, 3, 4)] for text in [predictions[video], *texts]]
        for video, texts in references.items()
    }
    videos_with = Counter(
        gram for of_video in grams.values() for gram in {g for text in of_video[1:] for counts in text for g in counts}
    )

    def weights(counts: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
        return {gram: times * math.log(len(grams) / max(1, videos_with[gram])) for gram, times in counts.items()}

    def cosine(ours: Counter[tuple[str, ...]], theirs: Counter[tuple[str, ...]]) -> float:
        a, b = weights(ours), weights(theirs)
        scale = math.hypot(*a.values()) * math.hypot(*b.values())
        return sum(a[gram] * b[gram] for gram in a.keys() & b.keys()) / scale if scale else 0

    expected = [
        1000 * np.mean([cosine(text[0][n], other[n]) for other in text[1:] for n in range(4)])
        for text in grams.values()
    ]
    scores = score(predictions=predictions, references=references, metrics=["CIDEr"])
    np.testing.assert_allclose(list(scores.per_video("CIDEr").values()), expected, rtol=1e-9, atol=1e-9)


def _grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def test_a_perfect_caption_exceeds_100_in_cider_d_and_reaches_it_elsewhere() -> None:
    references = {n: [f"the {animal} runs over the wide field"] for n, animal in enumerate(["dog", "cat", "horse"])}
    scores = score(predictions={n: texts[0].upper() + "." for n, texts in references.items()}, references=references)
    assert scores["CIDEr-D"] > 100
    assert scores["BLEU-4"] == pytest.approx(100)
    assert scores["ROUGE-L"] == pytest.approx(100)


def test_an_empty_prediction_scores_nothing_even_against_an_empty_reference() -> None:
    scores = score(
        predictions={1: "", 2: "...", 3: "a dog runs"},
        references={1: ["a cat"], 2: ["", "!"], 3: ["a dog runs fast"]},
        metrics=ALL,
    )
    for name in ALL:
        assert [scores.per_video(name)[video] for video in (1, 2)] == pytest.approx([0, 0], abs=1e-4), name
        assert scores.per_video(name)[3] > 1, name


def test_an_empty_reference_counts_as_one_that_nothing_matches() -> None:
    references = {1: ["a dog runs"], 2: ["a cat sits"]}
    predictions = {1: "a dog runs", 2: "a cat sits"}
    full = score(predictions=predictions, references=references).per_video("CIDEr-D")[1]
    half = score(predictions=predictions, references=references | {1: ["a dog runs", ""]}).per_video("CIDEr-D")[1]
    assert half == pytest.approx(full / 2)


def test_with_one_video_cider_is_not_computed_and_the_others_are() -> None:
    scores = score(predictions={"v": "a dog"}, references={"v": ["a dog runs"]})
    assert set(scores) == {"BLEU-4", "ROUGE-L"}
    assert "one video" in scores.not_computed["CIDEr-D"]


def test_prepared_references_give_the_same_scores_again_and_again(made_up: tuple[dict[str, str], Captions]) -> None:
    predictions, references = made_up
    prepared = References(references)
    once = score(predictions=predictions, references=references, metrics=ALL)
    other = dict.fromkeys(predictions, "a man plays the guitar")
    for captions in (predictions, other, predictions):
        again = score(predictions=captions, references=prepared, metrics=ALL)
    assert again == once
    assert score(predictions=other, references=prepared, metrics=ALL) != once


def test_the_order_of_videos_changes_nothing(made_up: tuple[dict[str, str], Captions]) -> None:
    predictions, references = made_up
    backwards = dict(reversed(references.items()))
    turned = score(predictions=predictions, references=backwards, metrics=ALL)
    assert turned == pytest.approx(score(predictions=predictions, references=references, metrics=ALL), rel=1e-12)
