"""The teacher of the ASR baseline."""

from __future__ import annotations

from pseudocap.label.teachers.base import View
from pseudocap.label.teachers.transcript import AsrTeacher
from pseudocap.types import Clip, Segment, Transcript


def test_asr_says_what_is_said_in_the_clip() -> None:
    segments = ((0.0, 3.0, "hello"), (2.0, 5.0, "and welcome"), (7.0, 11.0, "today"), (15.0, 16.5, "we cook"))
    spoken = tuple(Segment(start=start, end=end, text=text) for start, end, text in segments)
    teacher = AsrTeacher(transcripts={"abc": Transcript(video="abc", segments=spoken)})
    clips = [Clip(source=source, start=s, end=s + 8) for source in ("x/abc.mp4", "other.mp4") for s in (0.0, 8.0)]
    said = [answer.captions[0] for answer in teacher.caption([View(clip=c, frames=None, key=0) for c in clips])]
    assert said == ["hello and welcome", "today we cook", "", ""]


def test_a_file_has_the_transcript_that_names_its_extension() -> None:
    names = ("film.mp4", "film.wav", "talk")
    spoken = {name: Transcript(video=name, segments=(Segment(start=0, end=1, text=name),)) for name in names}
    clips = [Clip(source=source, start=0, end=8) for source in ("film.wav", "x/film.mp4", "x/talk.mp4", "film.mkv")]
    answers = AsrTeacher(transcripts=spoken).caption([View(clip=clip, frames=None, key=0) for clip in clips])
    assert [answer.captions[0] for answer in answers] == ["film.wav", "film.mp4", "talk", ""]
