"""Files of many requests are captioned in common batches, each as if it were alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from helpers.shaded_films import write_film

from pseudocap import PseudoCap
from pseudocap.caption_files import caption_densely, caption_files
from pseudocap.captioner import FileCaptioner
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError, InputError
from pseudocap.serve.batching import BatchingCaptioner
from pseudocap.serve.parts import ClipLengths
from pseudocap.types import Preprocess
from pseudocap.video.reader import Frames

GREEDY = FileDecoding(max_new_tokens=6)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [write_film(folder / f"{number}.mp4", 2 + number % 3, seed=number) for number in range(8)]


class Watched(FileCaptioner[Any]):
    """A captioner whose batches are seen, and that waits to be let go."""

    def __init__(self, model: PseudoCap, fails_at: str = "") -> None:
        self.model, self.fails_at, self.go, self.batches = model, fails_at, threading.Event(), list[int]()
        self.go.set()

    def frames_of(self, num_frames: int | None) -> int:
        return self.model.frames_of(num_frames)

    def prepare(self, frames: Frames) -> Any:
        return self.model.prepare(frames)

    @property
    def crop(self) -> Preprocess:
        return self.model.crop

    @property
    def toy_notice(self) -> str:
        return ""

    def caption_clips(self, clips: Sequence[Any], decoding: FileDecoding) -> list[str]:
        if decoding.prompt == self.fails_at != "":
            raise RuntimeError("out of memory")
        self.go.wait(60)
        self.batches.append(len(clips))
        return self.model.caption_clips(clips, decoding)


def batching(model: FileCaptioner[Any], **options: Any) -> BatchingCaptioner:
    return BatchingCaptioner(model, **{"workers": 0, "batch_size": 4, "gather": 60.0, **options})


def test_files_of_equal_options_share_batches_and_others_do_not(model: PseudoCap, films: list[Path]) -> None:
    watched = Watched(model)
    captioner = batching(watched)
    beams = FileDecoding(max_new_tokens=6, beams=2)
    futures = [captioner.submit(film, GREEDY, seconds=60) for film in films]
    futures.append(captioner.submit(films[0], beams, seconds=60))
    with captioner:
        found = [future.result() for future in futures]
    assert found == [*caption_files(model, films, GREEDY), *caption_files(model, films[:1], beams)]
    assert watched.batches == [1, 4, 4, 1]  # the first warms up
    assert (captioner.counts.files, captioner.counts.clips, captioner.counts.batches) == (9, 9, 3)


def test_every_clip_of_a_film_is_captioned_as_the_command_does_and_short_films_go_between(
    model: PseudoCap, tmp_path: Path, films: list[Path]
) -> None:
    long = write_film(tmp_path / "long.mp4", 13)
    captioner = batching(model, gather=0.0)
    order: list[str] = []
    futures = [
        captioner.submit(long, GREEDY, lengths=ClipLengths(clip_seconds=1), seconds=60),
        captioner.submit(films[0], GREEDY, seconds=60),
    ]
    for name, future in zip(("long", "short"), futures, strict=True):
        future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    with captioner:
        expected = list(caption_densely(model, [long], GREEDY, clip_seconds=1))
        assert [futures[0].result()] == expected
    assert order == ["short", "long"]


def test_sampled_captions_are_those_of_the_seed_whoever_asks_beside(model: PseudoCap, films: list[Path]) -> None:
    sampled = FileDecoding(max_new_tokens=6, top_p=0.95, seed=3)
    captioner = batching(model)
    futures = [captioner.submit(film, sampled, seconds=60) for film in films[:3]]
    with captioner:
        found = [future.result() for future in futures]
    assert found == [next(caption_files(model, [film], sampled)) for film in films[:3]]


def test_a_broken_file_and_one_without_frames_cost_themselves_only(
    model: PseudoCap, films: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_text("no film")
    with batching(model) as captioner:
        broken = captioner.submit(tmp_path / "broken.mp4", GREEDY, seconds=60)
        late = captioner.submit(films[0], GREEDY, seconds=0)
        good = captioner.submit(films[1], GREEDY, seconds=60)
        assert (broken.result().captions, late.result().captions) == ((), ())
        assert "FFmpeg cannot open it" in broken.result().error
        assert "in the time" in late.result().error
        assert [good.result()] == list(caption_files(model, films[1:2], GREEDY))
    assert captioner.counts.failed == 2


def test_what_nobody_waits_for_any_more_costs_nothing(model: PseudoCap, films: list[Path]) -> None:
    watched = Watched(model)
    with batching(watched, gather=0.0) as captioner:
        watched.go.clear()
        first = captioner.submit(films[0], GREEDY, seconds=60)
        others = [captioner.submit(film, GREEDY, seconds=60) for film in films[1:5]]
        assert all(other.cancel() for other in others)
        watched.go.set()
        first.result()
    assert watched.batches == [1, 1]  # one of them warmed up
    with pytest.raises(CancelledError):
        others[0].result()


def test_a_failure_of_the_captioner_is_that_of_its_requests_alone(model: PseudoCap, films: list[Path]) -> None:
    with batching(Watched(model, fails_at="fail")) as captioner:
        failing = captioner.submit(films[0], FileDecoding(prompt="fail"), seconds=60)
        with pytest.raises(RuntimeError, match="out of memory"):
            failing.result()
        assert captioner.submit(films[1], GREEDY, seconds=60).result().captions


def test_an_end_finishes_what_is_there_and_takes_no_more(model: PseudoCap, films: list[Path]) -> None:
    with batching(model) as captioner:
        futures = [captioner.submit(film, GREEDY, seconds=60) for film in films]
    assert all(future.result(0).captions for future in futures)
    with pytest.raises(ConfigError, match="the service ends"):
        captioner.submit(films[0], GREEDY, seconds=60)


def test_options_that_the_captioner_cannot_take_are_refused_at_once(model: PseudoCap, films: list[Path]) -> None:
    with pytest.raises(InputError, match="num_frames must be 1 to 96"):
        batching(model).submit(films[0], FileDecoding(num_frames=97), seconds=60)


def test_ctrl_c_while_it_starts_ends_it(model: PseudoCap) -> None:
    class Interrupted(Watched):
        def caption_clips(self, clips: Sequence[Any], decoding: FileDecoding) -> list[str]:
            os.kill(os.getpid(), signal.SIGINT)
            self.go.clear()
            self.go.wait(0.2)
            return []

    captioner = batching(Interrupted(model))
    captioner._thread.daemon = True
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells ignore in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            captioner.__enter__()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not captioner._thread.is_alive()


def test_a_captioner_that_cannot_caption_does_not_start(model: PseudoCap) -> None:
    class Broken(Watched):
        def caption_clips(self, clips: Sequence[Any], decoding: FileDecoding) -> list[str]:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"), batching(Broken(model)):
        pass
