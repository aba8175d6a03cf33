"""A run carries captions to clips, resumes to the same bytes, and says why where it cannot."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.mining import SHORT, ColourEmbedder, contents, mined, rows, write_films, write_photos
from helpers.tars import write_tar

from pseudocap.errors import DataError
from pseudocap.label.engines import LocalEngine
from pseudocap.label.sources import find_sources
from pseudocap.label.work import Work
from pseudocap.mine import pipeline
from pseudocap.mine.films import FilmFacts, FilmFilter
from pseudocap.mine.match import Matcher
from pseudocap.mine.pipeline import LocalMining
from pseudocap.mine.shard import FilmsRead, Mined, ShardMiner
from pseudocap.mine.spans import Spans


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films of 4 s to each colour, and two photographs."""
    folder = tmp_path_factory.mktemp("world")
    write_films(folder / "films", a="red blue", b="green", c="white blue red")
    write_photos(folder / "photos", red="a red car|red", blue="the blue sea")
    return folder


STRETCHES = {("a.mp4", "red.png"): 0, ("a.mp4", "blue.png"): 4, ("c.mp4", "blue.png"): 4, ("c.mp4", "red.png"): 8}


def test_captions_go_to_the_clips_that_look_alike(world: Path, tmp_path: Path) -> None:
    result = mined(world / "films", world / "photos", tmp_path / "out")
    found = rows(tmp_path / "out")
    assert {(row.clip.source, row.parent) for row in found} == set(STRETCHES)
    for row in found:
        (moment,), start = row.frame_times, STRETCHES[row.clip.source, row.parent or ""]
        assert start < moment < start + 4
        assert row.clip.start <= moment <= row.clip.end
        assert row.captions == (("a red car", "red") if row.parent == "red.png" else ("the blue sea",))
        assert row.confidence is not None
        assert 0.99 < row.confidence <= 1.0
        assert (row.teacher, row.revision) == ("mined", "colours-1")
        assert json.loads(row.settings)["threshold"] == 0.9
    clips = {row.clip for row in found}
    assert (result.seeds, result.films, result.frames, result.clips) == (2, 3, 24, len(clips))
    assert (result.captions, result.matches) == (3, sum(len(row.captions) for row in found))
    assert result.hours == pytest.approx(sum(clip.end - clip.start for clip in clips) / 3600)


def test_overlapping_spans_are_one_clip_with_the_captions_of_each(world: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", red="a red car", blue="the blue sea", white="snow", green="grass")
    spec = replace(SHORT, threshold=0.5, apart=0.0, spans=Spans(span=5.0, longest=60.0))
    mined(world / "films", photos, tmp_path / "out", spec)
    joined = [row for row in rows(tmp_path / "out") if row.clip.source == "c.mp4"]
    assert {(row.clip.start, row.clip.end) for row in joined} == {(0.0, 12.0)}
    assert {row.caption: row.parent for row in joined} == {
        "a red car": "red.png", "the blue sea": "blue.png", "snow": "white.png"
    }  # fmt: skip
    similarities = [row.confidence for row in joined]
    assert similarities == sorted(similarities, key=lambda value: -value)  # type: ignore[operator, arg-type]


def test_only_the_best_matches_of_all_shards_count(world: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", blue="the sea")
    mined(world / "films", tmp_path / "photos", tmp_path / "out", replace(SHORT, top=1))
    assert [(row.clip.source, row.caption) for row in rows(tmp_path / "out")] == [("a.mp4", "the sea")]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == [
        f"{number:06d}.parquet" for number in range(3)
    ]


def test_workers_and_a_frame_index_change_no_byte(world: Path, tmp_path: Path) -> None:
    mined(world / "films", world / "photos", tmp_path / "none")
    mined(world / "films", world / "photos", tmp_path / "two", workers=2, frame_index=tmp_path / "index")
    embedder = ColourEmbedder()
    mined(world / "films", world / "photos", tmp_path / "stored", frame_index=tmp_path / "index", embedder=embedder)
    assert embedder.embedded == 2  # the seeds alone
    assert contents(tmp_path / "none") == contents(tmp_path / "two") == contents(tmp_path / "stored")


def test_folders_whose_videos_have_the_same_names_share_a_frame_index(world: Path, tmp_path: Path) -> None:
    reds, blues = write_films(tmp_path / "reds", a="red"), write_films(tmp_path / "blues", a="blue")
    for films, caption in ((reds, "a red car"), (blues, "the blue sea"), (reds, "a red car")):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        mined(films, world / "photos", out, frame_index=tmp_path / "index")
        assert {row.caption for row in rows(out)} == {caption}


def test_a_relative_frame_index_is_the_same_folder_for_every_process(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    class Elsewhere(LocalMining):
        """Mine in another directory, as an actor of Ray does."""

        def mine(self, works: Sequence[Work], miner: ShardMiner, scratch: Path) -> Iterator[Mined | FilmsRead]:
            with contextlib.chdir(tmp_path / "elsewhere"):
                yield from super().mine(works, miner, scratch)

    mined(world / "films", world / "photos", tmp_path / "out", frame_index="index", engine=Elsewhere(workers=0))
    assert len(list((tmp_path / "index").glob("*.npz"))) == 3
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_a_shard_fetched_is_removed_with_its_end(world: Path, tmp_path: Path) -> None:
    (name,) = find_sources(str(world / "films/a.mp4")).names
    tar = write_tar(tmp_path / "films/0.tar", [(name, (world / "films/a.mp4").read_bytes())])
    works = [Work(number=number, names=(f"file://{tar}",), root="") for number in range(2)]
    embedder, scratch = ColourEmbedder(), tmp_path / "scratch"
    miner = ShardMiner(embedder=embedder, matcher=Matcher(seeds=np.eye(3, dtype=np.float32)), spec=SHORT)
    scratch.mkdir()
    with closing(miner.mine(works, LocalEngine(0), scratch)) as steps:
        for step in steps:
            if isinstance(step, Mined):
                assert step.count == 8
                assert not (scratch / str(step.number)).exists()


def test_a_finished_run_does_nothing_again_and_a_new_video_is_mined_alone(world: Path, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", a="red", b="green")
    mined(films, world / "photos", tmp_path / "out")
    before = contents(tmp_path / "out")
    embedder = ColourEmbedder()
    mined(films, world / "photos", tmp_path / "out", embedder=embedder)
    assert (embedder.embedded, contents(tmp_path / "out")) == (0, before)
    write_films(films, c="blue")
    result = mined(films, world / "photos", tmp_path / "out", embedder=embedder)
    assert (embedder.embedded, result.clips) == (4, 2)
    assert {row.clip.source for row in rows(tmp_path / "out")} == {"a.mp4", "c.mp4"}


def test_what_was_begun_and_not_merged_goes_on_to_the_same_bytes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mined(world / "films", world / "photos", tmp_path / "whole")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "merge_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            mined(world / "films", world / "photos", tmp_path / "out")
    (tmp_path / "out/matches/000001.npz").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "statistics", stop)  # after the labels
        with pytest.raises(KeyboardInterrupt):
            mined(world / "films", world / "photos", tmp_path / "out")
    mined(world / "films", world / "photos", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_broken_video_and_a_broken_seed_are_reported_and_retried(world: Path, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", a="red")
    (films / "b.mp4").write_text("no film")
    photos = write_photos(tmp_path / "photos", red="a car", blue="the sea")
    (photos / "blue.png").write_bytes(b"no picture")
    index = tmp_path / "index"
    result = mined(films, photos, tmp_path / "out", frame_index=index)
    assert list(result.failed_seeds) == ["blue.png"]
    assert [row.clip.source for row in rows(tmp_path / "out") if row.failed] == ["b.mp4"]
    assert result.stats["failed"] == 1
    write_films(films, b="red")
    mined(films, photos, tmp_path / "out", frame_index=index, retry_failed=True)
    assert [(row.clip.source, row.failed) for row in rows(tmp_path / "out")] == [("a.mp4", False), ("b.mp4", False)]
    with pytest.raises(DataError, match="1 of 2 seeds cannot be decoded, more than --max-failure-rate 0 allows"):
        mined(films, photos, tmp_path / "strict", max_failure_rate=0.0)


def test_videos_are_left_out_by_what_is_known_of_them(world: Path, tmp_path: Path) -> None:
    films = FilmFilter(facts={"a": FilmFacts(views=3.0), "c": FilmFacts(views=5000.0)}, day=date(2026, 1, 1))
    result = mined(world / "films", world / "photos", tmp_path / "out", replace(SHORT, films=films))
    assert result.left_out == {"too few views": 1}
    assert {row.clip.source for row in rows(tmp_path / "out")} == {"c.mp4"}


def test_corrected_facts_redo_the_videos_that_they_concern(world: Path, tmp_path: Path) -> None:
    photos, index, embedder = world / "photos", tmp_path / "index", ColourEmbedder()

    def sources_of(out: str, **views: float) -> set[str]:
        films = FilmFilter(facts={name: FilmFacts(views=known) for name, known in views.items()}, day=date(2026, 1, 1))
        spec = replace(SHORT, films=films)
        mined(world / "films", photos, tmp_path / out, spec, frame_index=index, embedder=embedder)
        return {row.clip.source for row in rows(tmp_path / out)}

    assert sources_of("out", a=3.0) == {"c.mp4"}
    before = embedder.embedded
    assert sources_of("out", a=5000.0, c=3.0) == {"a.mp4"}
    assert embedder.embedded - before == 8  # of a.mp4 alone
    assert sources_of("other", a=3.0, c=3000.0) == {"c.mp4"}  # what is indexed follows
    before = embedder.embedded
    assert sources_of("other", a=4.0, c=4000.0, new=1.0) == {"c.mp4"}
    assert embedder.embedded == before  # nothing changes


class WithoutNorm(ColourEmbedder):
    def embed(self, pictures: object) -> np.ndarray:
        from pseudocap.mine.features import unit_vectors

        return unit_vectors(np.full((1, 3), self.value, np.float32), "flat")

    value = 0.0


def test_mistakes_are_one_clear_line_each(world: Path, tmp_path: Path) -> None:
    films, photos = world / "films", write_photos(tmp_path / "photos", green="grass")
    with pytest.raises(DataError, match=r"no frame of 1 videos .* 1 seeds: the best similarity is -0\.\d+, below"):
        mined(films / "a.mp4", photos, tmp_path / "none")
    torn = write_films(tmp_path / "torn", a="red")
    (torn / "b.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"below --threshold 1; lower it \(--threshold 0\.9\d* finds some\)") as caught:
        mined(torn, write_photos(tmp_path / "reds", red="a car"), tmp_path / "named", replace(SHORT, threshold=1.0))
    assert "Not decoded: b.mp4: " in str(caught.value)
    flat = WithoutNorm()
    with pytest.raises(DataError, match="encoder flat gives a vector whose norm is 0"):
        mined(films, photos, tmp_path / "flat", embedder=flat)
    flat.value = np.nan
    with pytest.raises(DataError, match="whose norm is nan"):
        mined(films, photos, tmp_path / "nan", embedder=flat)
    mined(films, photos, tmp_path / "out", frame_index=tmp_path / "index")
    with pytest.raises(DataError, match="index of frames with encoder 'colours', and this run has 'others'"):
        mined(films, photos, tmp_path / "other", frame_index=tmp_path / "index", embedder=ColourEmbedder("others"))
    with pytest.raises(DataError, match=r"holds labels with threshold 0\.9, and this run has 0\.5"):
        mined(films, photos, tmp_path / "out", replace(SHORT, threshold=0.5))
    stored = tmp_path / "index/000000.npz"
    for damaged in (stored.read_bytes()[:-40], b"no arrays"):
        stored.write_bytes(damaged)
        with pytest.raises(DataError, match=r"000000.npz is damaged \(.*\); remove it, and run again"):
            mined(films, photos, tmp_path / "damaged", frame_index=tmp_path / "index")


@pytest.mark.slow
def test_killed_at_any_moment_a_run_goes_on_to_the_same_bytes(
    world: Path, tmp_path: Path, start_mining: Callable[..., Any]
) -> None:
    write_films(world / "many", **{f"film{number}": "red blue" if number % 2 else "green white" for number in range(8)})
    mined(world / "many", world / "photos", tmp_path / "whole")
    out, kills = tmp_path / "out", 0
    while kills < 3:
        run, before = start_mining(world / "many", world / "photos", out, "1"), len(list(out.glob("matches/*.npz")))
        while run.poll() is None and len(list(out.glob("matches/*.npz"))) < before + 1 + kills % 2:
            time.sleep(0.002)
        if run.poll() is not None:
            break
        run.send_signal(signal.SIGKILL)
        run.wait()
        kills += 1
    assert kills >= 2
    last = start_mining(world / "many", world / "photos", out, "1")
    assert last.wait() == 0, last.stderr and last.stderr.read().decode()
    assert contents(out) == contents(tmp_path / "whole")
