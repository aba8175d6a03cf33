"""Subtitles that players read: FFmpeg's own parsers read them."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from pseudocap.types import TimedCaption
from pseudocap.video.subtitles import clock, merge_equal, to_srt, to_vtt


def timed(*parts: tuple[float, float, str]) -> list[TimedCaption]:
    return [TimedCaption(start=start, end=end, text=text) for start, end, text in parts]


FILM = timed(
    (0.0, 8.0, "a dog runs"), (8.0, 16.0, "a man & a <b>dog</b> --> rest\n\nfor long"), (3600.0, 3605.25, "end")
)


@pytest.mark.parametrize(("suffix", "write"), [("srt", to_srt), ("vtt", to_vtt)])
def test_ffmpeg_reads_every_cue_at_its_time(tmp_path: Path, suffix: str, write: object) -> None:
    path = tmp_path / f"film.{suffix}"
    path.write_text(write(FILM), encoding="utf-8")  # type: ignore[operator]
    with av.open(path) as container:
        stream = container.streams.subtitles[0]
        cues = [packet for packet in container.demux(stream) if packet.size]
        found = [(float(cue.pts * stream.time_base), float(cue.duration * stream.time_base)) for cue in cues]
        texts = [bytes(cue).decode() for cue in cues]
    assert found == [(0.0, 8.0), (8.0, 8.0), (3600.0, 5.25)]
    assert texts[0] == "a dog runs"
    assert "for long" in texts[1]
    assert "-->" not in texts[1]


def test_equal_neighbours_become_one_and_others_stay() -> None:
    captions = timed((0, 8, "a"), (8, 16, "a"), (16, 20, "b"), (20, 28, "a"), (40, 48, "a"))
    assert list(merge_equal(captions)) == timed((0, 16, "a"), (16, 20, "b"), (20, 28, "a"), (40, 48, "a"))
    assert list(merge_equal([])) == []


def test_merging_waits_for_the_next_only() -> None:
    def endless() -> object:
        yield from timed((0, 8, "a"), (8, 16, "b"))
        raise AssertionError("no more should have been requested")

    assert next(merge_equal(endless())) == timed((0, 8, "a"))[0]  # type: ignore[arg-type]


def test_what_no_player_could_show_is_left_out() -> None:
    assert to_srt(timed((0, 0, "a still"), (0, 8, "  "))) == ""
    assert to_vtt([]).startswith("WEBVTT")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3723.04, "1:02:03.0")])
def test_people_read_minutes(seconds: float, text: str) -> None:
    assert clock(seconds) == text
