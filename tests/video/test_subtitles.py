"""Subtitles that players read: FFmpeg's own parsers read them."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def cues_of(text: str) -> list[tuple[str, list[str]]]:
    """The time and the lines of each cue of SubRip."""
    return [(lines[1], lines[2:]) for lines in (cue.strip().split("\n") for cue in text.split("\n\n")) if lines[0]]


def test_cues_are_two_lines_of_42_letters_that_end_at_a_word() -> None:
    words = "a man in a long brown coat walks slowly over the wet grass of a park while a small dog runs ahead of him"
    (_, short), *long = cues_of(to_srt(timed((0.0, 4.0, " ".join(words.split()[:14])), (4.0, 12.0, words))))
    assert short == ["a man in a long brown coat walks slowly", "over the wet grass of"]
    assert len(long) == 2
    assert all(len(lines) <= 2 and max(map(len, lines)) <= 42 for _, lines in long)
    assert " ".join(line for _, lines in long for line in lines) == words
    first, last = (time.split(" --> ") for time, _ in long)
    assert (first[0], last[1]) == ("00:00:04,000", "00:00:12,000")
    assert first[1] == last[0] > "00:00:09,000"  # the first has most of the text, and so of the time
    vtt = to_vtt(timed((0.0, 4.0, "a & " * 20)))
    assert "&amp; a &amp;" in vtt
    assert max(map(len, vtt.replace("&amp;", "&").splitlines())) <= 42


def test_a_cue_that_nobody_could_read_stays_until_the_next() -> None:
    text = "a brown dog runs over the grass of a park"
    ((picture, _),) = cues_of(to_srt(timed((0.0, 0.04, text))))
    assert picture == f"00:00:00,000 --> 00:00:0{len(text) / 15:.3f}".replace(".", ",")
    times = [time for time, _ in cues_of(to_srt(timed((0.0, 0.5, "a dog"), (1.0, 1.2, "a cat"), (9.0, 17.0, text))))]
    assert times == [
        "00:00:00,000 --> 00:00:01,000",
        "00:00:01,000 --> 00:00:03,000",
        "00:00:09,000 --> 00:00:17,000",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3723.04, "1:02:03.0")])
def test_people_read_minutes(seconds: float, text: str) -> None:
    assert clock(seconds) == text


TEXTS = st.text("ab cdefg  \n\u00e9\u4e2d\U0001f600-><&{}0,:", max_size=200)


@given(spans=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 10)), max_size=6), texts=st.lists(TEXTS, min_size=6))
def test_any_captions_are_cues_that_players_read_in_order_with_all_their_words(
    spans: list[tuple[float, float]], texts: list[str]
) -> None:
    captions, now = [], 0.0
    for (gap, length), text in zip(spans, texts, strict=False):
        captions.append(TimedCaption(start=now + gap, end=now + gap + length, text=text))
        now += gap + length
    blocks = to_srt(captions).rstrip("\n").split("\n\n") if to_srt(captions) else []
    kept = [each for each in captions if each.text.strip() and round(each.end, 3) > round(each.start, 3)]
    written, latest = [], 0.0
    for number, block in enumerate(blocks, start=1):
        count, times, *lines = block.split("\n")
        assert count == str(number)
        start, end = (seconds_of(time) for time in times.split(" --> "))
        assert latest - 0.0015 <= start <= end
        latest = end
        assert 1 <= len(lines) <= 2
        assert all(0 < len(line) <= 42 for line in lines)
        written += lines
    letters = "".join(" ".join(each.text.split()).replace("-->", "->") for each in kept)
    assert "".join("".join(written).split()) == "".join(letters.split())


def seconds_of(time: str) -> float:
    hours, minutes, rest = time.split(":")
    assert len(rest) == 6
    return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))


def test_a_line_from_right_to_left_keeps_its_full_stop_where_it_belongs() -> None:
    captions = [
        TimedCaption(start=0, end=2, text="كلب يركض على العشب."),
        TimedCaption(start=2, end=4, text="a dog runs: כלב."),
        TimedCaption(start=4, end=6, text="12 כלבים רצים."),
    ]
    texts = [block.split("\n")[2] for block in to_srt(captions).split("\n\n")]
    assert [text.strip() for text in texts] == [
        "\u202bكلب يركض على العشب.\u202c",
        "a dog runs: כלב.",
        "\u202b12 כלבים רצים.\u202c",
    ]
    assert "\u202bكلب" in to_vtt(captions)
    longer = to_srt([TimedCaption(start=0, end=9, text="كلب يركض على العشب " * 4)]).split("\n\n")[0].split("\n")[2:]
    assert len(longer) >= 2
    assert all(line.startswith("\u202b") and line.endswith("\u202c") for line in longer if line), "each line for itself"
