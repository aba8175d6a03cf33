from __future__ import annotations

from pseudocap.label.transcripts.recogniser import TimedWord
from pseudocap.label.transcripts.records import failed_record, record_of, video_ids


def word(start: float, end: float, text: str) -> TimedWord:
    return TimedWord(start=start, end=end, text=f" {text}")


def test_segments_end_with_sentences_at_pauses_and_before_they_become_long() -> None:
    words = [word(0, 1, "Hello."), word(1, 2, "We"), word(3, 4, "sew")]
    words += [word(10 + 3 * row, 13 + 3 * row, f"w{row}") for row in range(4)]
    record = record_of(words, "en")
    assert record["text"] == ["Hello.", "We", "sew", "w0 w1", "w2 w3"]
    assert record["start"] == [0, 1, 3, 10, 16]
    assert record["end"] == [1, 2, 4, 16, 22]
    assert record["words"][3] == [[10, 13, "w0"], [13, 16, "w1"]]
    assert record["language"] == "en"


def test_a_segment_lasts_some_time_and_silence_has_no_language() -> None:
    assert record_of([word(2, 2, "so")], "de")["end"] == [2.02]
    assert record_of([], "de") == {"start": [], "end": [], "text": [], "words": [], "language": None}
    assert failed_record("it is empty")["error"] == "it is empty"


def test_videos_are_called_by_their_names_and_by_all_of_it_where_two_would_be_the_same() -> None:
    names = [
        "a.mp4",
        "more/b.mp4",
        "00000.tar/000000012.mp4",
        "/films/c.x.mp4",
        "s3://films/d.mp4",
        "1/e.mp4",
        "2/e.mkv",
    ]
    ids = ["a", "more/b", "000000012", "c.x", "d", "1/e", "2/e"]
    assert list(video_ids(names).values()) == ids
    assert list(video_ids(["/x/a.mp4", "/y/a.mp4", "0.tar/a.mp4"]).values()) == ["/x/a", "/y/a", "0.tar/a"]
    assert list(video_ids(["s3://x/a.mp4", "s3://y/a.mp4"]).values()) == ["s3://x/a", "s3://y/a"]


def test_files_that_differ_by_the_extension_alone_keep_it() -> None:
    for folder in ("", "more/", "0.tar/", "/films/", "s3://films/"):
        names = [f"{folder}film.mp4", f"{folder}film.wav"]
        assert list(video_ids(names).values()) == names
    assert video_ids(["a.mp4", "a.wav", "a.mp4.mkv"]).keys() == set(video_ids(["a.mp4", "a.wav", "a.mp4.mkv"]).values())
