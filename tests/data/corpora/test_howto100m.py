from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from pseudocap.data.corpora import json_members
from pseudocap.data.corpora.howto100m import join_segments, read_howto100m, read_transcripts
from pseudocap.errors import DataError
from pseudocap.types import Segment, Transcript


def spoken(*segments: tuple[float, float, str]) -> dict[str, list[object]]:
    """A member of caption.json."""
    return {name: [segment[k] for segment in segments] for k, name in enumerate(("start", "end", "text"))}


def transcript(*times: tuple[float, float]) -> Transcript:
    return Transcript(
        video="v", segments=tuple(Segment(start=start, end=end, text=f"t{k}") for k, (start, end) in enumerate(times))
    )


def clips(*times: tuple[float, float], seconds: float = 8.0) -> list[tuple[float | None, float | None, str]]:
    return [(row.start, row.end, row.captions[0]) for row in join_segments(transcript(*times), seconds=seconds)]


def write(folder: Path, document: object) -> Path:
    path = folder / "caption.json"
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def test_neighbours_are_joined_to_about_eight_seconds() -> None:
    assert clips((0, 3), (3, 5), (5, 9), (9, 12)) == [(0, 9, "t0 t1 t2"), (9, 12, "t3")]
    assert clips((0, 3), (3, 5), (5, 9), (9, 12), seconds=4.5) == [(0, 5, "t0 t1"), (5, 9, "t2"), (9, 12, "t3")]
    assert clips((0, 30), (30, 32)) == [(0, 30, "t0"), (30, 32, "t1")]
    assert clips((0, 2), (60, 64)) == [(0, 2, "t0"), (60, 64, "t1")]
    assert clips() == []


def test_overlapping_segments_make_clips_that_do_not_overlap() -> None:
    assert clips((0, 6), (4, 10), (8, 14), (12, 18)) == [(0, 8, "t0 t1"), (8, 18, "t2 t3")]
    assert clips((0, 20), (0, 3), (9, 12)) == [(0, 9, "t0 t1"), (9, 12, "t2")]


def test_joining_keeps_every_word_once_in_order_whatever_the_times() -> None:
    draw = random.Random(0)
    for _ in range(200):
        starts = sorted(draw.choice([0, 1, 2.5, 4, 9, 20]) + draw.randrange(3) for _ in range(draw.randrange(1, 9)))
        times = [(start, start + draw.choice([0.5, 2, 7, 30])) for start in starts]
        found = clips(*times)
        assert " ".join(text for *_, text in found) == " ".join(f"t{k}" for k in range(len(times)))
        assert all(start < end for start, end, _ in found)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))


def test_caption_json_keeps_times_as_given_sorts_them_and_leaves_out_what_is_not_spoken(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "b": spoken((4, 9.5, "then \n stir"), (0.07, 4.2, "first \u2028 chop"), (5, 6, " "), (6, 7, None)),
            "a": spoken(),
        },
    )
    first, second = read_transcripts(path)
    assert first == Transcript(
        video="b",
        segments=(Segment(start=0.07, end=4.2, text="first chop"), Segment(start=4, end=9.5, text="then stir")),
    )
    assert second == Transcript(video="a", segments=())
    (row,) = read_howto100m(path).rows
    assert (row.id, row.video, row.captions, row.split) == ("b#0.070-9.500", "b", ("first chop then stir",), "train")


def test_a_csv_a_video_gives_the_same_as_caption_json(tmp_path: Path) -> None:
    segments = ((0.5, 4.0, 'say "chop", then'), (4.0, 9.0, "stir\nit"))
    folder = tmp_path / "csv"
    folder.mkdir()
    (folder / "abc.csv").write_bytes(
        b'\xef\xbb\xbf,start,end,text\r\n0,0.5,4.0,"say ""chop"", then"\r\n1,4.0,9.0,"stir\nit"\r\n2,9.0,9.5,\r\n'
    )
    one = read_howto100m(folder / "abc.csv")
    assert one.content_hash == read_howto100m(write(tmp_path, {"abc": spoken(*segments)})).content_hash
    assert one.content_hash == read_howto100m(folder).content_hash


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (spoken((0, 2, "a"), (5, 4, "b")), r"line 1 \(v\), segment 1: start is 5 and end is 4; seconds with"),
        (spoken((-1, 2, "a")), "start is -1 and end is 2"),
        (spoken(("0s", 2, "a")), "start is '0s' and must be a number"),
        (spoken((float("nan"), 2, "a")), "start is nan and must be a number"),
        (spoken((0, 2, 7)), "segment 0: text is 7 and must be a string"),
        ({**spoken((0, 2, "a")), "end": []}, r"\(v\): start, end and text have 0 and 1 entries"),
        ({"start": [], "end": []}, "the field 'text' is missing"),
        ([1], r"\(v\) is \[1\] and must be an object"),
    ],
)
def test_a_wrong_member_is_named(tmp_path: Path, member: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_howto100m(write(tmp_path, {"v": member}))


def test_reversed_segments_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    corpus = read_howto100m(write(tmp_path, {"v": spoken((0, 2, "a"), (5, 4, "b"))}), allow_partial=True)
    assert [(each.what, each.found) for each in corpus.mismatches] == [("unusable segments", 1)]
    assert corpus.rows[0].captions == ("a",)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_members_are_the_same_whatever_the_size_of_the_pieces(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {f"v\u00e9{k}": spoken((k + 0.25, k + 1e-3 + 1, '"} , \\ \u72ac \U0001f415')) for k in range(9)}
    path = tmp_path / "caption.json"
    path.write_text("\ufeff" + json.dumps(document, indent=k) if (k := chunk % 3) else json.dumps(document))
    monkeypatch.setattr(json_members, "CHUNK", chunk)
    assert {key: value for _, key, value in json_members.json_members(path)} == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {},\n "b": {"start": [1,]}}', r"line 2, column \d+: broken JSON"),
        ('{"a": {},\n "b": {"start": [1', r"line 2, column \d+: broken JSON"),
        ('{"a": {}\n "b": {}}', r"line 2, column 2: broken JSON: ',' is expected"),
        ('{"a": {}}\n, "b": {}}', r"line 2, column 1: broken JSON: nothing more is expected"),
        ("[1]", r"line 1, column 1: broken JSON: '{' is expected"),
        ("", r"line 1, column 1: broken JSON: '{' is expected"),
    ],
)
def test_broken_json_is_told_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "caption.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(json_members.json_members(path))


def test_other_bytes_than_utf8_are_told(tmp_path: Path) -> None:
    path = tmp_path / "caption.json"
    path.write_bytes('{"a": "caf\u00e9"}'.encode("latin1"))
    with pytest.raises(DataError, match=r"caption.json: byte 11, 0xe9, is not UTF-8"):
        list(json_members.json_members(path))


def test_memory_stays_flat_over_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_members, "CHUNK", 1 << 14)
    path = tmp_path / "caption.json"
    member = json.dumps(spoken(*((k, k + 1, "and now we stir the pot") for k in range(30))))
    path.write_text("{" + ", ".join(f'"v{k}": {member}' for k in range(400)) + "}")
    tracemalloc.start()
    videos = sum(len(each.segments) > 0 for each in read_transcripts(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert videos == 400
    assert peak < path.stat().st_size / 2
