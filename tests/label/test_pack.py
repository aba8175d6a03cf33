"""Packed tars: what they hold, that others can read it, and that copied clips are the film's own frames."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.label_worlds import SHORT, contents, run
from PIL import Image

from pseudocap.data.tars.samples import read_shard, summarise_shard
from pseudocap.errors import DataError
from pseudocap.label.cut import Cutting, cut_clips
from pseudocap.label.pack import ClipPacking, pack
from pseudocap.label.schema import read_labels
from pseudocap.label.shard import LabelSpec
from pseudocap.types import Clip
from pseudocap.video.decode import open_video
from pseudocap.video.writer import write_video

SPEC = LabelSpec(framing=SHORT, shard_size=2)


def decoded(media: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(media)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def keyed_film(
    path: Path,
    *,
    every: int,
    options: dict[str, str] | None = None,
    frames: int = 60,
    size: tuple[int, int] = (64, 48),
    prepare: Callable[[av.VideoStream], None] | None = None,
    codec: str = "libx264",
) -> Path:
    """Ten frames a second, a key frame every so many frames, with B-frames."""
    rng = np.random.default_rng(0)
    keys = f"keyint={every}:min-keyint={every}:scenecut=0:bframes=3"
    pictures = (
        (rng.integers(0, 128, (size[1] // 8, size[0] // 8, 3)).repeat(8, 0).repeat(8, 1) + 2 * number % 120)
        for number in range(frames)
    )
    options = {"x264-params": keys, **(options or {})}
    frames_of_film = (pixels.astype(np.uint8) for pixels in pictures)
    write_video(path, frames_of_film, rate=10, codec=codec, options=options, prepare=prepare)
    return path


def clips_of(path: Path, *borders: float) -> list[tuple[Clip, float]]:
    return [(Clip(source=str(path), start=start, end=end), start) for start, end in pairwise(borders)]


def test_clips_between_key_frames_are_copied_frame_for_frame(tmp_path: Path) -> None:
    path = keyed_film(tmp_path / "a.mp4", every=20)
    cuts = cut_clips(str(path), clips_of(path, 0, 2, 4, 6), Cutting())
    assert [cut.how for cut in cuts] == ["copied"] * 3
    frames = [frame for cut in cuts for frame in decoded(cut.media)]
    np.testing.assert_array_equal(frames, decoded(path.read_bytes()))


def test_clips_elsewhere_are_encoded_with_the_same_frames(tmp_path: Path) -> None:
    path = keyed_film(tmp_path / "a.mp4", every=20)
    cuts = cut_clips(str(path), clips_of(path, 0.5, 2.5, 4), Cutting(crf=1))
    assert [cut.how for cut in cuts] == ["encoded"] * 2
    whole = decoded(path.read_bytes())
    frames = [frame for cut in cuts for frame in decoded(cut.media)]
    assert len(frames) == 35
    for number, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - whole[5 + number]).mean() < 4
    assert np.abs(frames[0].astype(int) - whole[8]).mean() > 4  # which tells one frame from another


def test_an_encoded_clip_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    """On a CPU with AVX-512 x264's macroblock tree makes other bytes of the same frames."""
    path = keyed_film(tmp_path / "a.mp4", every=20, size=(160, 120))
    rng, made, kept = np.random.default_rng(0), set(), []
    for _ in range(20):
        kept = [*kept[-4:], rng.integers(0, 255, rng.integers(1_000, 500_000), np.uint8)]  # so that memory differs
        (cut,) = cut_clips(str(path), clips_of(path, 0.5, 2.5), Cutting())
        made.add((cut.how, cut.media))
    assert [how for how, _ in made] == ["encoded"]


def test_an_open_gop_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "open.mp4"
    keyed_film(path, every=20, options={"x264-params": "keyint=20:min-keyint=20:scenecut=0:bframes=3:open-gop=1"})
    cuts = cut_clips(str(path), clips_of(path, 2, 4), Cutting())
    whole = decoded(path.read_bytes())
    (frames,) = (decoded(cut.media) for cut in cuts)
    assert len(frames) == 20
    assert np.abs(np.array(frames).astype(int) - whole[20:40]).mean() < 6


def test_a_key_frame_that_follows_frames_of_the_clip_needs_a_clip_encoded(tmp_path: Path) -> None:
    """Those of HEVC are marked as such where frames that are presented before them are decoded after them."""
    path = tmp_path / "open.mp4"
    options = {"x265-params": "keyint=20:min-keyint=20:scenecut=0:bframes=3:open-gop=1:log-level=none", "crf": "10"}
    keyed_film(path, every=20, options=options, codec="libx265")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    second = [packet.is_keyframe for packet in packets].index(True, 1)
    assert any(later.pts < packets[second].pts for later in packets[second + 1 :]), "the GOP is not open"
    border = float(packets[second].pts * packets[second].time_base)
    (cut,) = cut_clips(str(path), clips_of(path, 0, border), Cutting(crf=1))
    assert cut.how == "encoded"
    frames, whole = decoded(cut.media), decoded(path.read_bytes())
    assert len(frames) == round(border * 10)
    assert np.abs(np.array(frames).astype(int) - whole[: len(frames)]).mean() < 4


def test_a_film_that_players_turn_is_encoded_upright(tmp_path: Path) -> None:
    path = keyed_film(tmp_path / "a.mp4", every=20, prepare=lambda stream: stream.set_display_rotation(90))
    (cut,) = cut_clips(str(path), clips_of(path, 2, 4), Cutting(crf=1))
    assert cut.how == "encoded"
    with open_video(path) as video:
        expected = video.frames_at([2.0, 3.9]).pixels
    frames = decoded(cut.media)
    assert frames[0].shape == expected[0].shape == (64, 48, 3)
    assert np.abs(np.array([frames[0], frames[-1]]).astype(int) - expected).mean() < 4


def test_other_codecs_are_encoded(films: Path) -> None:
    path = films / "c.avi"
    (cut,) = cut_clips(str(path), clips_of(path, 0, 2), Cutting())
    assert (cut.how, len(decoded(cut.media))) == ("encoded", 10)


def test_a_clip_that_is_not_there_is_said(films: Path) -> None:
    (cut,) = cut_clips(str(films / "broken.mp4"), clips_of(films / "broken.mp4", 0, 2), Cutting())
    assert "cannot open it" in cut.problem


def test_tars_hold_every_kept_label_and_our_reader_reads_them(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "labels", SPEC)
    kept = [label for label in read_labels(tmp_path / "labels") if label.kept]
    result = pack(tmp_path / "labels", tmp_path / "out", ClipPacking(shard_size=10), workers=2)
    assert (result.tars, result.samples, result.failed) == (3, len(kept), {})
    tars = sorted((tmp_path / "out").glob("*.tar"))
    samples = [sample for tar in tars for sample in read_shard(tar)]
    assert [sample.caption for sample in samples] == [label.caption for label in kept]
    assert [sample.metadata["source"] for sample in samples] == [label.clip.source for label in kept]
    assert samples[10].key == "000010000"
    assert all(summarise_shard(tar).mismatches == () for tar in tars)
    for sample, label in zip(samples, kept, strict=True):
        assert abs(len(decoded(sample.media)) - 5 * (label.clip.end - label.clip.start)) <= 1


def test_packing_goes_on_where_it_was_stopped(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "labels", SPEC)
    pack(tmp_path / "labels", tmp_path / "whole", ClipPacking(shard_size=10))
    pack(tmp_path / "labels", tmp_path / "out", ClipPacking(shard_size=10))
    (tmp_path / "out" / "00001.tar").unlink()
    assert pack(tmp_path / "labels", tmp_path / "out", ClipPacking(shard_size=10)).samples == 10
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    with pytest.raises(DataError, match="other labels or other settings"):
        pack(tmp_path / "labels", tmp_path / "out", ClipPacking(shard_size=5))


def test_frames_are_the_labelled_ones(films: Path, tmp_path: Path) -> None:
    run(films / "a.mp4", tmp_path / "labels", SPEC)
    packing = ClipPacking(cutting=Cutting(form="frames", jpeg_quality=100))
    pack(tmp_path / "labels", tmp_path / "out", packing)
    labels = list(read_labels(tmp_path / "labels"))
    with open_video(films / "a.mp4") as video:
        expected = video.frames_at([label.frame_times[0] for label in labels]).pixels
    for sample, pixels in zip(read_shard(tmp_path / "out" / "00000.tar"), expected, strict=True):
        assert sample.extension == "jpg"
        assert np.abs(np.array(Image.open(io.BytesIO(sample.media))).astype(int) - pixels).mean() < 8


def test_of_several_labelled_frames_the_middle_one_is_packed(films: Path, tmp_path: Path) -> None:
    framing = replace(SHORT, choice="consensus", count=3)
    run(films / "a.mp4", tmp_path / "labels", replace(SPEC, framing=framing))
    labels = list(read_labels(tmp_path / "labels"))
    assert {len(label.frame_times) for label in labels} == {3}
    pack(tmp_path / "labels", tmp_path / "out", ClipPacking(cutting=Cutting(form="frames", jpeg_quality=100)))
    with open_video(films / "a.mp4") as video:
        expected = video.frames_at([label.frame_times[1] for label in labels]).pixels
    for sample, pixels in zip(read_shard(tmp_path / "out" / "00000.tar"), expected, strict=True):
        assert np.abs(np.array(Image.open(io.BytesIO(sample.media))).astype(int) - pixels).mean() < 8


def test_clips_come_out_of_tars_and_from_moved_folders(film_tar: Path, films: Path, tmp_path: Path) -> None:
    run(film_tar, tmp_path / "labels", SPEC)
    moved = film_tar.rename(tmp_path / film_tar.name)
    try:
        result = pack(tmp_path / "labels", tmp_path / "out", ClipPacking(), root=tmp_path)
    finally:
        moved.rename(film_tar)
    assert (result.samples, result.failed) == (17, {})


def test_a_wrong_folder_leaves_no_empty_tars_and_the_right_one_is_packed(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "labels")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DataError, match=r"none of the \d+ clips can be cut.*--videos DIR"):
        pack(tmp_path / "labels", tmp_path / "tars", ClipPacking(), root=tmp_path / "elsewhere")
    assert not list((tmp_path / "tars").glob("*.tar"))
    assert pack(tmp_path / "labels", tmp_path / "tars", ClipPacking()).samples > 0


def test_a_video_that_has_gone_costs_its_own_samples_until_it_is_back(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    run(folder, tmp_path / "labels")
    (folder / "a.mp4").rename(tmp_path / "a.mp4")
    first = pack(tmp_path / "labels", tmp_path / "tars", ClipPacking())
    assert first.samples > 0
    assert len(first.failed) == 11
    assert "no such file" in next(iter(first.failed.values()))
    (tmp_path / "a.mp4").rename(folder / "a.mp4")
    again = pack(tmp_path / "labels", tmp_path / "tars", ClipPacking())
    assert not again.failed
    assert again.samples == first.samples + len(first.failed)
    assert pack(tmp_path / "labels", tmp_path / "tars", ClipPacking()).samples == 0


def test_doubtful_labels_are_packed_only_where_asked(films: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, filters=replace(SPEC.filters, words=("second 4",)))
    run(films / "a.mp4", tmp_path / "labels", spec)
    assert pack(tmp_path / "labels", tmp_path / "kept", ClipPacking()).samples == 10
    assert pack(tmp_path / "labels", tmp_path / "all", ClipPacking(verdicts=True)).samples == 11
    with pytest.raises(DataError, match="no label to pack"):
        pack(tmp_path / "labels", tmp_path / "none", ClipPacking(min_confidence=0.5))


def test_webdataset_reads_them(films: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    run(films / "a.mp4", tmp_path / "labels", SPEC)
    pack(tmp_path / "labels", tmp_path / "out", ClipPacking())
    samples = list(webdataset.WebDataset(str(tmp_path / "out" / "00000.tar"), shardshuffle=False))
    assert [sample["txt"].decode() for sample in samples] == [row.caption for row in read_labels(tmp_path / "labels")]
    assert json.loads(samples[0]["json"])["teacher"] == "null"
