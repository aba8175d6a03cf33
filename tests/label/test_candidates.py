"""Mined captions of a clip vote with the captions of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.label_worlds import SHORT, rows, run, write_film
from helpers.mining import mined, write_films, write_photos

from pseudocap.cli.main import main
from pseudocap.errors import ConfigError, DataError
from pseudocap.label.candidates import Candidate, MinedCandidates, read_candidates
from pseudocap.label.consensus import agreements
from pseudocap.label.shard import LabelSpec
from pseudocap.label.teachers.base import Answer, NullTeacher, View
from pseudocap.types import Clip

THREE = replace(SHORT, choice="consensus", count=3)


class Changing(NullTeacher):
    """Caption the frames of a clip with three things that have nothing in common."""

    def caption(self, views: Sequence[View]) -> list[Answer]:
        texts = ("a red car on a road", "two people play chess", "some boats at sea")
        return [Answer(captions=(texts[number % 3],), log_probs=(-1.0,)) for number, _ in enumerate(views)]


def candidates(*captions: str, time: float = 1.0) -> MinedCandidates:
    found = tuple(Candidate(time=time, similarity=0.9, caption=caption) for caption in captions)
    return MinedCandidates(run="mined", of={"a.mp4": found})


def test_a_mined_caption_elects_the_frames_caption_that_it_agrees_with(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films/a.mp4", frames=20)
    teacher = Changing(short_side=32)
    for captions, best in (
        (("boats at sea", "boats out at sea"), "some boats at sea"),
        (("people play chess", "they play chess"), "two people play chess"),
    ):
        spec = LabelSpec(framing=THREE, shard_size=2, batch_size=3, candidates=candidates(*captions))
        run(tmp_path / "films", tmp_path / captions[0], spec, teacher)
        first, second = rows(tmp_path / captions[0])
        assert first.captions[0] in (best, *captions)
        assert best in first.captions[:3]
        assert len(first.captions) == 5
        assert first.log_probs == ()
        assert (len(second.captions), len(second.log_probs)) == (3, 3)  # the moment lies in the first clip
        assert '"candidates": "mined"' in first.settings


def test_no_more_candidates_vote_than_frames_and_each_once() -> None:
    many = candidates("a", "b", "a", "c", "d")
    clip = Clip(source="a.mp4", start=0.0, end=2.0)
    assert many.within(clip, 3) == ["a", "b", "c"]
    assert many.within(replace(clip, start=1.5), 3) == []
    assert many.within(replace(clip, source="b.mp4"), 3) == []


def test_clips_may_have_different_numbers_of_captions() -> None:
    two, four = ("a dog runs", "a dog is running"), ("a boat", "a boat at sea", "a boat sails", "chess")
    found = agreements({0: two, 1: four})
    assert [len(scores) for scores in found.values()] == [2, 4]
    assert all(0 <= score <= 1 for scores in found.values() for score in scores)
    more = (*two, "dogs run", "a dog stands")
    assert agreements({0: four, 1: more})[0] == pytest.approx(found[1])  # its words are in no other clip
    assert agreements({0: four[::-1], 1: two})[0] == pytest.approx(found[1][::-1])  # the place changes no score


def test_a_mining_run_is_read_with_its_moments(tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", a="red blue")
    mined(films, write_photos(tmp_path / "photos", red="a red car|a car", blue="the sea"), tmp_path / "mined")
    found = read_candidates(tmp_path / "mined", root=str(films.resolve()))
    clip = Clip(source="a.mp4", start=0.0, end=4.0)
    assert found.within(clip, 5) == ["a red car", "a car"]
    assert found.within(replace(clip, start=4.0, end=8.0), 5) == ["the sea"]
    with pytest.raises(DataError, match=r"are of the videos in .*films, not of those in elsewhere"):
        read_candidates(tmp_path / "mined", root="elsewhere")
    with pytest.raises(DataError, match="holds no labelling run"):
        read_candidates(films, root="elsewhere")


def test_candidates_need_a_vote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="candidates vote with the captions of a clip's frames; frames is centre"):
        LabelSpec(candidates=candidates("a"))
    assert main(["label", str(tmp_path), "--teacher", "null", "--out", "out", "--candidates", "mined"]) == 2
    assert capsys.readouterr().err == "error: --candidates vote under --frames consensus, not centre; name it\n"
