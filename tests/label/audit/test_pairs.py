"""Which clips are audited, and which words belong to them."""

from __future__ import annotations

import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.audits import label, write_corpus

from pseudocap.cli.main import main
from pseudocap.data.corpora.howto100m import read_transcripts
from pseudocap.errors import DataError
from pseudocap.label.audit.pairs import Candidates, draw_candidates, pair_up, speech_in_labels, speech_in_transcripts
from pseudocap.label.schema import read_labels
from pseudocap.label.teachers.base import View
from pseudocap.label.teachers.transcript import AsrTeacher
from pseudocap.types import Clip, Segment, Transcript

MANY = [label(f"film{film}.mp4", 8.0 * k, 8.0 * k + 8, f"{film} {k}") for film in range(40) for k in range(50)]


def speech(clip: Clip, *segments: tuple[float, float, str]) -> str | None:
    spoken = tuple(Segment(start=start, end=end, text=text) for start, end, text in segments)
    return speech_in_transcripts([clip], [Transcript(video="film", segments=spoken)]).get(clip)


def test_the_sample_depends_on_the_seed_and_not_on_the_order_of_the_labels() -> None:
    shuffled = random.Random(1).sample(MANY, len(MANY))
    assert draw_candidates(shuffled, n=3, seed=5) == draw_candidates(MANY, n=3, seed=5)
    assert draw_candidates(MANY, n=3, seed=6).labels != draw_candidates(MANY, n=3, seed=5).labels
    moved = [replace(each, clip=replace(each.clip, source=f"elsewhere/{each.clip.source}")) for each in MANY]
    here, there = (draw_candidates(labels, n=3, seed=5).labels for labels in (MANY, moved))
    assert [each.caption for each in there] == [each.caption for each in here]


def test_every_label_is_as_likely_as_any_other() -> None:
    labels = MANY[:100]
    first = [draw_candidates(labels, n=1, seed=seed).labels[0].caption for seed in range(2000)]
    counts = [first.count(each.caption) for each in labels]  # 20 each on average, deviation 4.4
    assert 3 < min(counts) < 20 < max(counts) < 42


def test_labels_that_failed_or_that_a_filter_refused_are_not_drawn() -> None:
    labels = [label("a.mp4", 0, 8, "", error="broken"), label("a.mp4", 8, 16, "x", verdicts=("short",))]
    drawn = draw_candidates([*labels, label("a.mp4", 16, 24, "good")], n=5, seed=0)
    assert (drawn.kept, [each.caption for each in drawn.labels]) == (1, ["good"])


def test_a_segment_belongs_to_the_one_clip_that_holds_its_middle() -> None:
    segments = ((0.0, 3.0, "one"), (7.0, 8.5, "two"), (7.9, 9.0, "three"), (20.0, 21.0, "four"))
    clips = [Clip(source="x/film.mp4", start=8.0 * k, end=8.0 * k + 8) for k in range(3)]
    assert [speech(clip, *segments) for clip in clips] == ["one two", "three", "four"]


def test_the_words_of_a_clip_are_those_that_the_teacher_of_speech_hears(tmp_path: Path) -> None:
    rng = random.Random(2)
    starts = sorted(rng.uniform(0, 60) for _ in range(40))
    segments = tuple(Segment(start=at, end=at + rng.uniform(0.1, 6), text=f"w{k}") for k, at in enumerate(starts))
    clips = [Clip(source="film.mp4", start=8.0 * k, end=8.0 * k + 8) for k in range(9)]
    transcript = Transcript(video="film", segments=segments)
    teacher = AsrTeacher(transcripts={"film": transcript})
    heard = teacher.caption([View(clip=clip, frames=None, key=0) for clip in clips])
    spoken = speech_in_transcripts(clips, [transcript])
    assert [spoken.get(clip, "") for clip in clips] == [answer.captions[0] for answer in heard]


@pytest.mark.parametrize("called", ["film.2024", "films/film.2024", "film.2024.mp4", "film.2024.webm"])
def test_a_name_with_dots_is_matched_as_a_whole(called: str) -> None:
    clips = [Clip(source=f"x/{name}.mp4", start=0, end=8) for name in ("film.2024", "film")]
    transcript = Transcript(video=called, segments=(Segment(start=1, end=2, text="hello"),))
    assert speech_in_transcripts(clips, [transcript]) == {clips[0]: "hello"}


def test_a_clip_in_which_nobody_speaks_has_no_words() -> None:
    assert speech(Clip(source="film.mp4", start=0, end=8), (8.0, 9.0, "later")) is None
    assert speech(Clip(source="another.mp4", start=0, end=8), (1.0, 2.0, "elsewhere")) is None


def test_speech_that_was_labelled_is_found_clip_by_clip() -> None:
    here, other = Clip(source="videos/film.mp4", start=0.0, end=8.0), Clip(source="film.mp4", start=8.0, end=16.0)
    rows = [label("moved/film.mp4", 0.0, 8.0, "hello"), label("moved/film.mp4", 8.0, 16.0, "")]
    assert speech_in_labels([here, other], rows) == {here: "hello"}


def test_pairs_are_taken_in_the_order_of_the_draw_past_silent_clips_and_lost_files(tmp_path: Path) -> None:
    write_corpus(tmp_path, films=2)
    drawn = draw_candidates(read_labels(tmp_path / "labels"), n=6, seed=3)
    (tmp_path / "videos" / "film1.mp4").write_text("no film")
    silent, *rest = (each for each in drawn.labels if "film0" in each.clip.source)
    spoken = {each.clip: "words" for each in drawn.labels if each is not silent}
    draw = pair_up(drawn, spoken, n=2)
    assert [pair.pseudolabel for pair in draw.pairs] == [each.caption for each in rest]
    assert draw.silent == 1
    assert all("film1.mp4" in problem and "FFmpeg" in problem for problem in draw.missing)


def test_no_pair_at_all_is_reported_with_its_reason(tmp_path: Path) -> None:
    lost = draw_candidates([label(str(tmp_path / "lost.mp4"), 0, 8, "a")], n=1, seed=0)
    with pytest.raises(DataError, match="must be called 'lost'"):
        pair_up(lost, {}, n=1)
    with pytest.raises(DataError, match="say where the videos lie"):
        pair_up(lost, {lost.labels[0].clip: "words"}, n=1)
    with pytest.raises(DataError, match="no label has a caption"):
        pair_up(Candidates(labels=(), kept=0), {}, n=1)
    with pytest.raises(DataError, match="--n is 0"):
        draw_candidates([], n=0, seed=0)


@pytest.mark.slow
def test_what_the_labelling_writes_is_audited_also_from_tars_and_beside_labelled_speech(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    write_corpus(tmp_path, films=2, clips=2)
    with tarfile.open(tmp_path / "tars" / "00000.tar", "w") as tar:
        for film in sorted((tmp_path / "videos").iterdir()):
            tar.add(film, film.name)
    source, seen, heard = str(tmp_path / "tars"), str(tmp_path / "seen"), str(tmp_path / "heard")
    cut = ["--clip-seconds", "2", "--min-seconds", "1", "--min-words", "1"]
    assert main(["label", source, "--teacher", "null", "--out", seen, *cut]) == 0
    speech = ["--teacher", "asr", "--transcripts", str(tmp_path / "caption.json")]
    assert main(["label", source, *speech, "--out", heard, *cut]) == 0
    drawn = draw_candidates(read_labels(seen), n=10, seed=0)
    clips = [each.clip for each in drawn.labels]
    spoken = speech_in_labels(clips, read_labels(heard))
    assert spoken == speech_in_transcripts(clips, read_transcripts(tmp_path / "caption.json"))
    draw = pair_up(drawn, spoken, n=10)
    assert (len(draw.pairs), draw.silent, draw.missing) == (4, 0, ())
    assert all(pair.asr.endswith(f"at {pair.start:g}") for pair in draw.pairs)
