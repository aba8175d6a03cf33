"""Captions of real files, from an encoded video to text."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch
from helpers.shaded_films import write_film
from helpers.shot_films import film_of, write_shots

from pseudocap import PseudoCap
from pseudocap.bench.speed.measure import peak_memory
from pseudocap.caption_files import caption_densely, caption_files
from pseudocap.decoding import FileDecoding, strip_unfinished
from pseudocap.errors import DecodeError, InputError
from pseudocap.types import Preprocess, TimedCaption
from pseudocap.video.cut_detectors import cut_detector
from pseudocap.video.tensors import decode_file, read_clips
from pseudocap.video.transforms import eval_tensor


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", 10)


def test_a_file_gives_one_caption_and_a_list_gives_a_list(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    other = write_film(tmp_path / "other.mkv", 3, seed=1)
    together = model.caption([film, str(other), film], max_new_tokens=6, batch_size=2)
    assert isinstance(model.caption(film, max_new_tokens=6), str)
    assert together == [model.caption(path, max_new_tokens=6) for path in (film, other, film)]
    assert together[0] != together[1]
    assert model.caption([]) == []


def test_a_caption_is_that_of_the_encoded_frames(model: PseudoCap, film: Path) -> None:
    frames = decode_file(film, model.config.preprocess)
    assert frames.shape == (4, 3, 16, 16)
    expected = model.decode(model.generate(model.encode(frames[None]), num_beams=3, max_new_tokens=6))
    assert model.caption(film, beams=3, max_new_tokens=6) == expected[0]


def test_an_image_is_a_video_of_one_frame(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    with av.open(str(film)) as container:
        next(container.decode(video=0)).to_image().save(tmp_path / "still.png")
    still = decode_file(tmp_path / "still.png", model.config.preprocess)
    assert still.shape == (1, 3, 16, 16)
    both = model.caption([tmp_path / "still.png", film], max_new_tokens=6)
    assert both == [model.caption(tmp_path / "still.png", max_new_tokens=6), model.caption(film, max_new_tokens=6)]


def test_a_film_of_which_one_frame_is_looked_at_lasts_all_the_same(
    model: PseudoCap, film: Path, tmp_path: Path
) -> None:
    with av.open(str(film)) as container:
        next(container.decode(video=0)).to_image().save(tmp_path / "still.png")
    found = list(caption_files(model, [film, tmp_path / "still.png"], FileDecoding(num_frames=1)))
    assert [each.captions[0].end for each in found] == [pytest.approx(10, abs=0.2), 0.0]


def test_more_frames_than_the_film_has_repeat_the_one_on_screen(tmp_path: Path) -> None:
    short = write_film(tmp_path / "short.mp4", 1)
    frames = decode_file(short, Preprocess(size=16, frames=16))
    assert frames.shape[0] == 16
    assert torch.equal(frames[0::2], frames[1::2])  # eight frames, each on screen for two of the moments


def test_sampling_repeats_with_its_seed(model: PseudoCap, film: Path) -> None:
    first, again, other = (model.caption(film, top_p=0.9, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.filterwarnings("ignore")  # that a toy is one
def test_what_the_limit_of_tokens_cut_may_end_with_a_word(film: Path) -> None:
    model = PseudoCap.from_pretrained("toy-mixed", device="cpu")
    changed = []
    for limit in (3, 4, 5):
        (cut,), (finished,) = (
            list(caption_files(model, [film], FileDecoding(max_new_tokens=limit, finish=finish)))
            for finish in (False, True)
        )
        raw, text = cut.captions[0].text, finished.captions[0].text
        ids = model.generate(model.encode(decode_file(film, model.config.preprocess)[None]), max_new_tokens=limit)
        assert model.are_cut(ids) == [True]
        assert text == strip_unfinished(raw)
        changed.append(text != raw)
    assert any(changed)
    full = torch.tensor([[2, 5, 2], [2, 5, 1], [2, 5, 6]])  # an end mark, padding, neither
    assert model.are_cut(full) == [False, False, True]


def test_a_long_film_is_captioned_clip_by_clip_as_one_goes(model: PseudoCap, tmp_path: Path) -> None:
    film = write_film(tmp_path / "long.mp4", 19)
    captions = model.caption_long(film, clip_seconds=4.0, max_new_tokens=6, batch_size=2)
    assert isinstance(captions, Iterator)
    captions = list(captions)
    assert [(caption.start, caption.end) for caption in captions] == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 19)]
    clips = list(read_clips(film, model.config.preprocess.frames, clip_seconds=4.0, min_seconds=1.0))
    for caption, (_, found) in zip(captions, clips, strict=True):
        frames = eval_tensor(found.pixels, model.config.preprocess)
        (text,) = model.decode(model.generate(model.encode(frames[None]), max_new_tokens=6))
        assert caption == TimedCaption(start=caption.start, end=caption.end, text=text)
    assert len({caption.text for caption in captions}) > 1


def test_of_a_truncated_film_the_readable_clips_are_captioned_first(model: PseudoCap, tmp_path: Path) -> None:
    film = write_film(tmp_path / "cut.mkv", 20, cut_at=0.6)
    readable: list[TimedCaption] = []
    captions = model.caption_long(film, clip_seconds=4.0, max_new_tokens=4, batch_size=8)
    with pytest.raises(DecodeError, match=r"cut.mkv.*truncated"):  # noqa: PT012 (what came before counts)
        for caption in captions:
            readable.append(caption)
    assert [caption.start for caption in readable[:2]] == [0, 4]
    assert readable[-1].end < 20


def test_a_file_that_is_no_video_is_named(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no film")
    for wrong in (tmp_path / "notes.mp4", tmp_path / "absent.mp4"):
        with pytest.raises(DecodeError, match=wrong.name):
            model.caption([film, wrong])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 3, "top_p": 0.9}, "exclude one another"),
        ({"top_p": 1.5}, "top_p must be above 0"),
        ({"num_frames": 97}, "num_frames must be 1 to 96"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1"),
        ({"beams": 0}, "beams must be a whole number, at least 1, not 0"),
    ],
)
def test_options_that_cannot_be_are_refused(
    model: PseudoCap, film: Path, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.caption(film, **options)


def test_the_shared_clips_are_captioned(model: PseudoCap, shared_data: Path) -> None:
    clips = sorted((shared_data / "clips").iterdir())
    captions = model.caption(clips, max_new_tokens=6)
    assert len(captions) == len(clips) == 6
    assert len(set(captions)) > 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_an_hour_takes_no_more_memory_than_a_minute(model: PseudoCap, tmp_path: Path) -> None:
    films = [write_film(tmp_path / f"{seconds}.mp4", seconds) for seconds in (60, 3600)]

    def captioned(film: Path) -> int:
        return sum(1 for _ in model.caption_long(film, clip_seconds=8, max_new_tokens=4))

    assert captioned(films[0]) == 8  # what is only allocated once is there from now on
    minute, hour = (peak_memory(lambda film=film: captioned(film)) for film in films)
    assert hour < minute + 5  # MiB; all that is decoded in the hour is 17, as pixels and as tensors


@pytest.mark.skipif(importlib.util.find_spec("scenedetect") is None, reason="the extra `shots` is not installed")
def test_clips_of_shots_are_captioned_from_frames_of_one_shot(model: PseudoCap, tmp_path: Path) -> None:
    film = write_shots(tmp_path / "shots.mp4", film_of([12, 30, 6, 32]))
    captions = list(model.caption_long(film, clip_seconds=2.0, max_new_tokens=4, cuts=cut_detector()))
    bounds = [(round(caption.start, 2), round(caption.end, 2)) for caption in captions]
    assert bounds == [(0.0, 1.2), (1.2, 2.7), (2.7, 4.2), (4.8, 6.4), (6.4, 8.0)]
    (dense,) = caption_densely(model, [film], FileDecoding(max_new_tokens=4), clip_seconds=2.0, cuts=cut_detector())
    assert [each.start for each in dense.captions] == [
        caption.start
        for before, caption in pairwise([None, *captions])
        if before is None or before.text != caption.text
    ]
