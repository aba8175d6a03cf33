"""VideoCC's own file is read with or without a header, and what is mined is written as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.data.corpora.videocc import read_videocc, video_of
from pseudocap.errors import DataError
from pseudocap.mine.videocc import write_videocc
from pseudocap.types import CaptionedVideo, Clip, Pseudolabel

LINES = (
    "https://www.youtube.com/watch?v=abc-D_1,1000000,11000000,a dog runs\n"
    'https://youtu.be/xyz?t=3,0,10000000,"a dog, a cat"\n'
    "https://www.youtube.com/watch?v=abc-D_1,1000000,11000000,a dog on a beach\n"
)


def label(source: str, start: float, *captions: str, **fields: object) -> Pseudolabel:
    clip = Clip(source=source, start=start, end=start + 10)
    own = {"log_probs": (), "confidence": 0.7, "frame_times": (start,), "teacher": "mined", "revision": None}
    return Pseudolabel(clip=clip, captions=captions, settings="{}", seed=0, **{**own, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("header", ["", "Video URL,Start timestamp,End timestamp,Caption\n"])
def test_pairs_of_one_stretch_are_one_row(tmp_path: Path, header: str) -> None:
    (tmp_path / "video_cc_public.csv").write_text(header + LINES)
    corpus = NamedCorpus.of(f"videocc:{tmp_path}").read(split="test")
    texts = ("a dog runs", "a dog on a beach")
    assert corpus.rows[0] == CaptionedVideo(
        id="abc-D_1#1.000-11.000", video="abc-D_1", captions=texts, split="train", start=1.0, end=11.0
    )
    assert (corpus.rows[1].video, corpus.rows[1].captions) == ("xyz", ("a dog, a cat",))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    labels = [
        label("films/abc.mp4", 1.25, "a dog", 'he says "run", twice'),
        label("00000.tar/b.mp4", 0.0, "the sea"),
        label("c.mp4", 0.0, "objected", verdicts=("short",)),
    ]
    assert write_videocc(tmp_path / "mined.csv", labels) == 3
    assert (tmp_path / "mined.csv").read_text().splitlines()[1] == (
        "https://www.youtube.com/watch?v=abc,1250000,11250000,a dog"
    )
    found = {(row.video, row.start, row.end): row.captions for row in read_videocc(tmp_path / "mined.csv").rows}
    assert found == {("abc", 1.25, 11.25): ("a dog", 'he says "run", twice'), ("b", 0.0, 10.0): ("the sea",)}


def test_videos_are_named_by_their_address() -> None:
    assert video_of("https://www.youtube.com/watch?t=1&v=A_b-9") == "A_b-9"
    assert video_of("https://films.example/a/b.c.mp4") == "b.c"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,1,2\n", "line 1: 3 cells, and wanted are video_url, start_us, end_us, caption"),
        (
            "https://youtu.be/a,2000000,1000000,x\n",
            "start_us is 2e.06 and end_us is 1e.06; seconds with 0 <= start < end",
        ),
        ("https://youtu.be/a,0,1000000, \n", "line 1.*: caption is empty"),
        ("video,start,end,caption\n", "holds no pair of a clip and a caption"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "own.csv").write_text(line)
    with pytest.raises(DataError, match=message):
        read_videocc(tmp_path / "own.csv")
    (tmp_path / "own.csv").write_text(line + LINES)
    assert len(read_videocc(tmp_path / "own.csv", allow_partial=True)) == 2
