"""A search finds what an exact comparison finds, within its filters, and says what has become of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.colour_retriever import ColourRetriever, index_colours, write_colours

from pseudocap.errors import DataError, InputError
from pseudocap.search import VideoIndex
from pseudocap.search.build import optimise
from pseudocap.search.index import SearchHit
from pseudocap.search.query import SearchQuery
from pseudocap.search.table import open_table
from pseudocap.types import TimedCaption
from pseudocap.video.picture import jpeg


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_colours(folder / "a.mp4", "red", "green", "blue")
    write_colours(folder / "b [1].mp4", "white", "red")
    write_colours(folder / "it's.mkv", "green", "white")
    (folder / "still.jpg").write_bytes(jpeg(np.full((32, 48, 3), (30, 30, 200), np.uint8)))
    return folder


@pytest.fixture(scope="module")
def built(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("indices") / "index"
    captions = {
        str(films / "a.mp4"): [
            TimedCaption(start=0, end=2, text="a fire engine isn't late"),
            TimedCaption(start=2, end=4, text="a meadow"),
        ],
        str(films / "it's.mkv"): [TimedCaption(start=0, end=float("inf"), text="snow on 100% of a meadow")],
    }
    index_colours(out, sorted(films.iterdir()), captions=captions)
    return out


@pytest.fixture
def index(built: Path) -> VideoIndex:
    return VideoIndex.open(built, retriever=ColourRetriever())


def found(hits: list[SearchHit]) -> list[tuple[str, float]]:
    return [(Path(hit.file).name, hit.start) for hit in hits]


def test_hits_are_those_of_an_exact_comparison_in_its_order(index: VideoIndex, films: Path) -> None:
    hits = index.search("a red film", top=8)
    assert found(hits)[:2] in ([("a.mp4", 0.0), ("b [1].mp4", 2.0)], [("b [1].mp4", 2.0), ("a.mp4", 0.0)])
    assert (len(index), len(hits), index.search("red", top=3)) == (8, 8, hits[:3])
    retriever = ColourRetriever()
    wanted = retriever.embed_text(["red"])[0]
    vectors = retriever.embed_video([films / "still.jpg"])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    still = next(hit for hit in hits if hit.file.endswith("still.jpg"))
    assert still.score == pytest.approx(float(vectors[0] @ wanted), abs=1e-5)
    assert (still.start, still.end, still.note) == (0.0, 0.0, "")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"file": "a.mp4"}, {("a.mp4", 0.0), ("a.mp4", 2.0), ("a.mp4", 4.0)}),
        ({"file": "*.m?v"}, {("it's.mkv", 0.0), ("it's.mkv", 2.0)}),
        ({"file": "b [1].mp4"}, {("b [1].mp4", 0.0), ("b [1].mp4", 2.0)}),
        ({"file": "it's*"}, {("it's.mkv", 0.0), ("it's.mkv", 2.0)}),
        ({"file": "4"}, set()),
        ({"after": 4}, {("a.mp4", 4.0)}),
        ({"after": np.float64(2), "before": np.float32(4)}, {("a.mp4", 2.0), ("b [1].mp4", 2.0), ("it's.mkv", 2.0)}),
        ({"after": 2, "before": 4}, {("a.mp4", 2.0), ("b [1].mp4", 2.0), ("it's.mkv", 2.0)}),
        (
            {"before": 1, "file": "films*/*"},
            {("a.mp4", 0.0), ("b [1].mp4", 0.0), ("it's.mkv", 0.0), ("still.jpg", 0.0)},
        ),
        ({"caption": "ISN'T"}, {("a.mp4", 0.0)}),
        ({"caption": "100%"}, {("it's.mkv", 0.0), ("it's.mkv", 2.0)}),
        ({"caption": "meadow", "file": "a*"}, {("a.mp4", 2.0)}),
    ],
)
def test_filters(filters: dict, expected: set, index: VideoIndex) -> None:
    assert set(found(index.search("red", top=100, **filters))) == expected


def test_like_a_clip_of_the_index_nothing_is_decoded_and_itself_is_left_out(built: Path, films: Path) -> None:
    index = VideoIndex.open(built, retriever="no such retriever")
    assert found(index.like(films / "a.mp4", 1.0))[0] == ("b [1].mp4", 2.0)
    assert found(index.like(films / "a.mp4", 2.0))[0] == ("it's.mkv", 0.0)
    assert found(index.like(films / "still.jpg"))[0] == ("a.mp4", 4.0)
    assert not any(name == "a.mp4" for name, _ in found(index.like(films / "a.mp4", top=20)))


def test_like_a_file_that_is_not_in_the_index(index: VideoIndex, tmp_path: Path) -> None:
    film = write_colours(tmp_path / "other.mp4", "white", "blue", seconds=4)
    assert {name for name, _ in found(index.like(film, 6.0))[:2]} == {"a.mp4", "still.jpg"}
    with pytest.raises(InputError, match="has no second 60"):
        index.like(film, 60)
    picture = tmp_path / "other.jpg"
    picture.write_bytes(jpeg(np.full((32, 48, 3), (30, 200, 30), np.uint8)))
    assert set(found(index.like(picture))[:2]) == {("a.mp4", 2.0), ("it's.mkv", 0.0)}


def test_hybrid_fuses_the_ranks_of_colours_and_words(index: VideoIndex) -> None:
    plain, hybrid = (index.search("white meadow", hybrid=each, top=8) for each in (False, True))
    assert found(plain)[0] in (("b [1].mp4", 0.0), ("it's.mkv", 2.0))
    assert found(hybrid)[0] == ("it's.mkv", 2.0)  # white, and of a caption with a meadow
    words = [("a.mp4", 2.0), ("it's.mkv", 0.0), ("it's.mkv", 2.0)]
    assert set(words) <= set(found(hybrid)[:4])
    assert hybrid[0].score == pytest.approx(1 / 61 + 1 / 61, abs=2e-3)
    assert set(found(index.search("white meadow", hybrid=True, file="a.mp4"))) == {
        ("a.mp4", 0.0), ("a.mp4", 2.0), ("a.mp4", 4.0)
    }  # fmt: skip
    assert index.search("white meadow", hybrid=True, top=2) == hybrid[:2]
    index.search('a "quoted" AND (odd: query*', hybrid=True)


def test_above_a_number_of_clips_an_approximate_index_finds_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(60):
        write_colours(folder / f"{number:02d}.mp4", *("red", "green", "blue", "white", "red"))
    index_colours(tmp_path / "index", sorted(folder.iterdir()))
    for limit in (300, 299):
        optimise(open_table(tmp_path / "index"), approximate=False, written=False, limit=limit)
        indices = open_table(tmp_path / "index").list_indices()
        assert [each.index_type for each in indices] == (["IvfPq"] if limit < 300 else [])
    index = VideoIndex.open(tmp_path / "index", retriever=ColourRetriever())
    hits = index.search("blue", top=60)
    assert {hit.start for hit in hits} == {4.0}
    assert hits[0].score == pytest.approx(1.0, abs=0.01)


def test_a_file_that_moved_or_changed_is_reported_with_its_hit(tmp_path: Path) -> None:
    moved, changed = (write_colours(tmp_path / name, "red") for name in ("moved.mp4", "changed.mp4"))
    index_colours(tmp_path / "index", [moved, changed])
    moved.unlink()
    changed.write_bytes(b"another film")
    hits = VideoIndex.open(tmp_path / "index", retriever=ColourRetriever()).search("red")
    assert {Path(hit.file).name: hit.note for hit in hits} == {
        "moved.mp4": "moved or removed since it was indexed",
        "changed.mp4": "changed since it was indexed",
    }


def test_what_another_run_adds_is_found_by_an_open_index(tmp_path: Path) -> None:
    red, blue = write_colours(tmp_path / "red.mp4", "red"), write_colours(tmp_path / "blue.mp4", "blue")
    index_colours(tmp_path / "index", [red])
    index = VideoIndex.open(tmp_path / "index", retriever=ColourRetriever())
    assert found(index.search("blue")) == [("red.mp4", 0.0)]
    captions = {str(red): [TimedCaption(start=0, end=2, text="a fire engine")]}
    index_colours(tmp_path / "index", [red, blue], captions=captions)
    assert found(index.search("blue", top=1)) == [("blue.mp4", 0.0)]
    assert found(index.search("a fire engine", hybrid=True, caption="fire")) == [("red.mp4", 0.0)]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "the query is empty"),
        ({"text": " \n"}, "the query is empty"),
        ({"text": "red", "like": "a.mp4"}, "not for both"),
        ({"like": "a.mp4", "hybrid": True}, "hybrid search is by text"),
        ({"text": "red", "top": 0}, "top must be 1 to 10,000"),
        ({"text": "red", "after": -1.0}, "after is -1"),
        ({"text": "red", "after": 3.0, "before": 3.0}, "there is no moment"),
        ({"like": "a.mp4", "at": float("nan")}, "at is nan"),
    ],
)
def test_a_query_that_cannot_be_is_refused(fields: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        SearchQuery(**fields)


def test_an_index_that_cannot_be_searched_is_refused_with_the_reason(built: Path, films: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no index"):
        VideoIndex.open(tmp_path)
    with pytest.raises(DataError, match=r"was made by the retriever colours .* another or has changed since"):
        VideoIndex.open(built, retriever=ColourRetriever(salt="other")).search("red")
    blind = tmp_path / "blind"
    index_colours(blind, [films / "a.mp4"], ColourRetriever(reads=False))
    index = VideoIndex.open(blind, retriever=ColourRetriever(reads=False))
    with pytest.raises(InputError, match="has no text tower"):
        index.search("red")
    assert set(found(index.like(films / "a.mp4", 1.0))) == {("a.mp4", 2.0), ("a.mp4", 4.0)}
    plain = tmp_path / "plain"
    index_colours(plain, [films / "a.mp4"])
    with pytest.raises(InputError, match="has no captions to search"):
        VideoIndex.open(plain, retriever=ColourRetriever()).search("red", hybrid=True)
    manifest = blind / "index.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(DataError, match=r"has format 9 .* reads format 1"):
        VideoIndex.open(blind)
    manifest.write_text("{")
    with pytest.raises(DataError, match=r"index.json is damaged"):
        VideoIndex.open(blind)


def test_importing_search_loads_neither_torch_nor_lancedb() -> None:
    code = (
        "import sys; from pseudocap.search.query import SearchQuery; import pseudocap.search, pseudocap.search.index\n"
        "print(sorted({'torch', 'lancedb', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
