"""A captioner measured on a split: whose captions are scored, with which intervals, and who judges their truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pseudocap import PseudoCap
from pseudocap.evaluate.captioner import (
    ZERO_SHOT,
    HeldOut,
    caption_views,
    one_against_the_others,
    report_captions,
    score_files,
)
from pseudocap.evaluate.views import BLIND, PLAIN, VIEWS, read_views, write_views
from pseudocap.metrics import score

VIDEOS = [
    HeldOut(key="v1", path=Path("a.mp4"), references=("a red ball rolls to the left", "a red ball rolls")),
    HeldOut(key="v2", path=Path("b.mkv"), references=("a dog barks at the moon", "the dog barks at a moon")),
]
RIGHT = {"v1": "a red ball rolls to the left", "v2": "a dog barks at the moon"}
WRONG = {"v1": "a dog barks at the moon", "v2": "a red ball rolls to the left"}


def test_a_report_scores_every_view_and_has_intervals_of_the_plain_one() -> None:
    report = report_captions({PLAIN: RIGHT, "reversed": WRONG}, VIDEOS)
    expected = score(predictions=RIGHT, references={video.key: video.references for video in VIDEOS})
    assert report["scores"][PLAIN] == {metric: round(value, 3) for metric, value in expected.items()}
    assert report["scores"][PLAIN]["CIDEr-D"] > report["scores"]["reversed"]["CIDEr-D"]
    low, high = report["intervals over films"]["CIDEr-D"]
    assert low <= report["scores"][PLAIN]["CIDEr-D"] <= high
    assert report["films"] == 2
    assert "truth" not in report


def test_a_judge_is_asked_for_the_plain_the_zero_shot_and_the_blind_captions() -> None:
    def judge(captions: Mapping[str, str]) -> dict[str, float]:
        return {"right": 100 * sum(captions[key] == RIGHT[key] for key in RIGHT) / 2}

    captions = {PLAIN: RIGHT, "reversed": RIGHT, BLIND: {**RIGHT, "v2": "nothing"}, ZERO_SHOT: WRONG}
    assert report_captions(captions, VIDEOS, judge)["truth"] == {
        PLAIN: {"right": 100},
        ZERO_SHOT: {"right": 0},
        BLIND: {"right": 50},
    }
    assert set(report_captions({PLAIN: RIGHT}, VIDEOS, judge)["truth"]) == {PLAIN}


def test_captions_of_memories_stand_under_the_keys_of_their_videos(
    model: PseudoCap, films: Path, tmp_path: Path
) -> None:
    videos = [HeldOut(key=f"k-{video.key}", path=films / video.path, references=video.references) for video in VIDEOS]
    write_views(tmp_path, [video.path for video in videos], model.config.preprocess, model.encoder.encode)
    captions = caption_views(model, read_views(tmp_path), videos)
    assert list(captions) == list(VIEWS)
    texts, scores = score_files(model, videos, batch_size=2, max_new_tokens=32)
    assert captions[PLAIN] == texts
    assert texts == {video.key: model.caption(video.path, max_new_tokens=32) for video in videos}
    assert scores == score(predictions=texts, references={video.key: video.references for video in videos})


def test_people_who_say_the_same_reach_what_their_own_captions_reach() -> None:
    alike = {video.key: [RIGHT[video.key]] * 20 for video in VIDEOS}
    expected = score(predictions=RIGHT, references=alike)
    assert one_against_the_others(alike) == pytest.approx(dict(expected))
    apart = {key: [*texts[:16], "nobody agrees with this", *texts[17:]] for key, texts in alike.items()}
    assert one_against_the_others(apart)["BLEU-4"] == pytest.approx(80, abs=1)  # one of the five who are asked
