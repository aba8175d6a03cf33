from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.corpora import write_clip
from helpers.sources import Counting, batches, image_source
from helpers.tars import SMALL, image_bytes, image_tars, video_tars, write_tar
from PIL import Image

from pseudocap.data.stream.batches import BrokenSample, Delivery, EvaluationBatches, Stream, TrainingBatches
from pseudocap.data.stream.mixture import Mixture
from pseudocap.data.stream.sources import RowSource, TarSource
from pseudocap.data.tars.index import index_tars
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, DecodeError
from pseudocap.tolerance import Tolerance
from pseudocap.types import CaptionedVideo, Modality, Sample
from pseudocap.video.picture import decode_picture
from pseudocap.video.tensors import decode_file


def keys(deliveries: Sequence[Delivery]) -> list[tuple[str, ...]]:
    assert all(delivery.batch is not None for delivery in deliveries)
    return [delivery.batch.keys for delivery in deliveries if delivery.batch is not None]


def row(name: str, start: float | None = None, end: float | None = None) -> CaptionedVideo:
    return CaptionedVideo(id=f"{name}{start or ''}", video=name, captions=("x",), split="train", start=start, end=end)


def test_ranks_share_out_every_epoch_without_overlap() -> None:
    ranks = [batches(Counting((5, 7, 4)), rank=rank, ranks=2) for rank in range(2)]
    for first in (0, 2):
        steps = [keys([rank[step] for step in range(first, first + 2)]) for rank in ranks]
        assert sorted(int(key) for rank in steps for batch in rank for key in batch) == list(range(16))


def test_crop_and_caption_belong_to_sample_and_epoch_wherever_the_sample_is_drawn() -> None:
    def drawn(size: int, ranks: int, epoch: int) -> dict[str, tuple[float, str]]:
        found = {}
        for rank in range(ranks):
            stream = batches(Counting((12,)), size=size, rank=rank, ranks=ranks)
            steps = 12 // (size * ranks)
            for step in range(epoch * steps, (epoch + 1) * steps):
                batch = stream[step].batch
                noise = batch.frames[:, 0, 0, 0, 0].tolist()
                found |= dict(zip(batch.keys, zip(noise, batch.captions, strict=True), strict=True))
        return found

    assert drawn(4, 1, 0) == drawn(2, 3, 0)
    first, second = drawn(4, 1, 0), drawn(4, 1, 1)
    assert all(first[key][0] != second[key][0] for key in first)
    assert any(first[key][1] != second[key][1] for key in first)
    assert len({caption for _, caption in first.values()}) > 1


class Cropping(Counting):
    """Takes so many random numbers for every crop."""

    def __init__(self, numbers: int) -> None:
        super().__init__((64,))
        self.numbers = numbers

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        torch.rand(self.numbers, generator=generator)
        return super().sample(index, generator)


def taken(stream: Stream, count: int = 64) -> list[tuple[str, str, float]]:
    """Key, caption and crop of the first samples of a stream."""
    samples = [stream.take(number, []) for number in range(count)]
    return [(sample.key, caption, float(sample.frames.sum())) for sample, (caption,) in samples]


def test_a_caption_does_not_depend_on_how_many_numbers_a_crop_takes() -> None:
    few, many = (taken(Stream(Cropping(numbers), seed=0)) for numbers in (0, 7))
    assert [(key, caption) for key, caption, _ in few] == [(key, caption) for key, caption, _ in many]
    assert len({caption for _, caption, _ in few}) == 4


def test_several_captions_of_a_sample_are_different_ones_and_lie_side_by_side() -> None:
    stream = Stream(Counting((64,)), seed=0, captions=3)
    for number in range(8):
        sample, captions = stream.take(number, [])
        assert len(set(captions)) == 3
        assert set(captions) <= set(sample.captions)
    mixture = Mixture(batch_size=4, probabilities={"video": 1.0}, seed=0)
    batch = TrainingBatches({"video": stream}, mixture)[0].batch
    assert len(batch) == 4
    for row, theirs in enumerate(batch.references):
        assert set(batch.captions[3 * row : 3 * row + 3]) <= set(theirs)
    short = Stream(Counting((64,)), seed=0, captions=6)
    sample, captions = short.take(0, [])
    assert len(captions) == 6
    assert set(captions) == set(sample.captions), "where there are fewer, all of them, and some again"


def test_streams_of_other_seeds_and_numbers_have_other_orders_captions_and_crops() -> None:
    """Numbers are by default those of the modalities: images 0, videos 1."""

    class Pictures(Counting):
        modality: Modality = "image"

    videos = [taken(Stream(Counting((64,)), seed=seed, number=number)) for seed, number in ((0, 1), (0, 0), (1, 1))]
    assert taken(Stream(Counting((64,)), seed=0)) == videos[0]
    assert taken(Stream(Pictures((64,)), seed=0)) == videos[1]
    for one, other in combinations(videos, 2):
        assert [key for key, _, _ in one] != [key for key, _, _ in other]
        mine, theirs = ({key: rest for key, *rest in each} for each in (one, other))
        assert sum(mine[key][1] == theirs[key][1] for key in mine) == 0
        assert 4 < sum(mine[key][0] == theirs[key][0] for key in mine) < 40, "a quarter of the captions by chance"


def test_a_resumed_stream_gives_what_the_uninterrupted_one_gave_and_watches_nothing_before() -> None:
    all_batches = batches(Counting((5, 7, 4), broken=(3, 9)))
    straight = keys([all_batches[step] for step in range(12)])
    source = Counting((5, 7, 4), broken=(3, 9))
    resumed = batches(source)
    assert keys([resumed[step] for step in range(7, 12)]) == straight[7:]
    fresh = Counting((5, 7, 4), broken=(3, 9))
    alone = batches(fresh)
    for step in range(7, 12):
        alone.__getitem__(step)
    assert source.requested == fresh.requested
    assert (
        len(source.requested) < 5 * 4 + 2 * 8
    )  # five batches, and the broken ones of about an epoch with what came for them


def test_a_broken_sample_is_replaced_so_that_batches_keep_their_size_and_is_named() -> None:
    stream = batches(Counting((16,), broken=(3,)))
    deliveries = [stream[step] for step in range(4)]
    assert [len(batch) for batch in keys(deliveries)] == [4] * 4
    seen = [key for batch in keys(deliveries) for key in batch]
    assert "3" not in seen
    assert set(seen) == {str(index) for index in range(16) if index != 3}
    failures = [failure for delivery in deliveries for failure in delivery.failures]
    assert set(failures) == {BrokenSample("sample 3", "it is broken")}


def test_broken_samples_are_replaced_by_different_ones() -> None:
    stream = batches(Counting((64,), broken=range(16)))
    seen = Counter(key for step in range(16) for key in stream[step].batch.keys)
    assert sum(seen.values()) == 64
    assert sum(count > 1 for count in seen.values()) > 8


def test_a_source_without_a_watchable_sample_ends_the_stream_with_the_reason() -> None:
    delivery = batches(Counting((3,), broken=range(3)))[0]
    assert delivery.batch is None
    assert "17 samples in a row cannot be decoded, sample" in delivery.fatal
    assert "(it is broken)" in delivery.fatal


def test_an_evaluation_has_every_sample_once_over_all_ranks_and_leaves_out_what_is_broken() -> None:
    ranks = [EvaluationBatches(Counting((11,), broken=(0, 7)), batch_size=3, rank=rank, ranks=2) for rank in range(2)]
    assert [len(rank) for rank in ranks] == [2, 2]
    deliveries = [rank[number] for rank in ranks for number in range(len(rank))]
    seen = sorted(int(key) for batch in keys(deliveries) for key in batch)
    assert seen == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert [failure.name for delivery in deliveries for failure in delivery.failures] == ["sample 0", "sample 7"]
    first = deliveries[0].batch
    assert first.captions == ("a",) * len(first)
    assert first.references == (("a", "b", "c", "d"),) * len(first)


def test_images_come_as_videos_of_one_frame(tmp_path: Path) -> None:
    stream = batches(image_source(image_tars(tmp_path)), size=5)
    batch = stream[0].batch
    assert batch.modality == "image"
    assert batch.frames.shape == (5, 1, 3, 16, 16)
    assert batch.frame_mask is None
    assert batch.step == 0
    for key, caption, frames in zip(batch.keys, batch.captions, batch.frames, strict=True):
        assert caption == f"picture {key}"
        assert int(key) / 255 in [pytest.approx(value, abs=1e-6) for value in frames.unique().tolist()]


def test_videos_in_tars_are_watched_as_files_are(tmp_path: Path) -> None:
    source = TarSource(index_tars(video_tars(tmp_path / "tars")), SMALL, modality="video")
    sample = source.sample(4, None)
    assert (sample.key, sample.captions) == ("v4", ("film 4",))
    torch.testing.assert_close(sample.frames, decode_file(write_clip(tmp_path / "clip.mp4"), SMALL), rtol=0, atol=0)


def test_what_is_in_a_tar_of_the_other_kind_is_named(tmp_path: Path) -> None:
    images, videos = index_tars(image_tars(tmp_path / "i")), index_tars(video_tars(tmp_path / "v"))
    with pytest.raises(DataError, match="a png among videos; give tars of images as images="):
        TarSource(images, SMALL, modality="video").sample(0, None)
    with pytest.raises(DataError, match="a mp4 among images; images are jpg"):
        TarSource(videos, SMALL, modality="image").sample(0, None)


@pytest.mark.parametrize(("media", "reason"), [(b"no picture", "cannot identify"), (image_bytes(1)[:60], "no image")])
def test_a_broken_picture_is_a_data_error(tmp_path: Path, media: bytes, reason: str) -> None:
    write_tar(tmp_path / "x.tar", [("1.png", media), ("1.txt", b"x")])
    with pytest.raises(DataError, match=reason):
        image_source(tmp_path).sample(0, None)


def test_a_picture_that_lies_on_its_side_is_put_upright() -> None:
    image = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert decode_picture(buffer.getvalue()).shape == (8, 4, 3)


def test_a_tar_that_was_written_anew_under_the_same_name_is_read_anew(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("1.png", image_bytes(1)), ("1.txt", b"x" * 600)])
    assert image_source(tmp_path).sample(0, None).key == "1"
    write_tar(tmp_path / "x.tar", [("2.txt", b"x" * 6000), ("2.png", image_bytes(1))])
    assert image_source(tmp_path).sample(0, None).key == "2"


def test_a_stretch_of_a_video_shows_its_own_frames_as_far_as_the_video_goes(tmp_path: Path) -> None:
    write_clip(tmp_path / "film.mp4", frames=6)  # 1.2 s
    rows = [row("film", 0.3, 0.7), row("film", 0.7, 9.0), row("film", 1.3, 3.0)]
    source = RowSource(rows, VideoFolder(tmp_path), SMALL)
    whole_film = decode_file(tmp_path / "film.mp4", SMALL)
    for index in range(2):
        assert source.sample(index, None).frames.shape == whole_film.shape
        assert not torch.equal(source.sample(index, None).frames, whole_film)
    with pytest.raises(DecodeError, match=r"ends at 1.200 s, before this stretch"):
        source.sample(2, None)


def test_rows_without_a_file_are_left_out_and_too_many_are_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    source = RowSource([row("a"), row("b")], VideoFolder(tmp_path), SMALL)
    assert (source.groups, source.missing) == ((1,), ("b",))
    source.refuse_missing(Tolerance(0.5))
    with pytest.raises(DataError, match=r"1 of 2 videos are not below .*\(b, \.\.\), more than max_failure_rate 0.4"):
        source.refuse_missing(Tolerance(0.4))


def test_no_file_stays_open_over_many_samples(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "b.mp4").write_bytes(b"no film")
    rows = RowSource([row("a"), row("b")], VideoFolder(tmp_path / "clips"), SMALL)
    films = TarSource(index_tars(video_tars(tmp_path / "v")), SMALL, modality="video")
    streams = [batches(source) for source in (rows, films, image_source(image_tars(tmp_path / "i", broken=(2,))))]
    before = None
    for step in range(12):
        for stream in streams:
            assert len(stream[step].batch) == 4
        if step == 1:
            before = len(list(Path("/proc/self/fd").iterdir()))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
