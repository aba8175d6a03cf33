"""Frames go in, a video comes out: size, rate, times, options, and nothing where there is no frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.films import drawn, full_decode, number_of

from pseudocap.errors import InputError
from pseudocap.video.writer import AudioTrack, encode_video, even, write_video


def pictures(count: int) -> Iterator[np.ndarray]:
    return (drawn(number, 144, 80) for number in range(count))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
def test_frames_are_written_one_after_another_at_the_rate(tmp_path: Path, name: str, codec: str) -> None:
    write_video(tmp_path / name, pictures(7), rate=Fraction(5), codec=codec)
    film = full_decode(tmp_path / name)
    assert [number_of(pixels) for _, pixels in film] == list(range(7))
    assert [time for time, _ in film] == pytest.approx([number / 5 for number in range(7)])
    with av.open(str(tmp_path / name)) as container:
        (stream,) = container.streams
        assert (stream.width, stream.height, stream.type) == (144, 80, "video")
        assert stream.average_rate == 5


def test_a_video_in_memory_is_that_of_a_file_and_a_lower_quality_takes_fewer_bytes(tmp_path: Path) -> None:
    options = {"x264-params": "mbtree=0"}  # which reads unwritten memory on CPUs with AVX-512
    write_video(tmp_path / "a.mp4", pictures(4), rate=8, options=options)
    assert encode_video(pictures(4), rate=8, options=options) == (tmp_path / "a.mp4").read_bytes()
    assert len(encode_video(pictures(4), rate=8, options={"crf": "45"})) < len(encode_video(pictures(4), rate=8)) / 2


def test_frames_may_bring_their_own_times_and_a_stream_its_own_settings(tmp_path: Path) -> None:
    def timed() -> Iterator[av.VideoFrame]:
        for number, stamp in enumerate((0, 3, 4, 11)):
            frame = av.VideoFrame.from_ndarray(drawn(number, 144, 80), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 10)
            yield frame

    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.time_base = Fraction(1, 10)
        stream.codec_context.gop_size = 2

    write_video(tmp_path / "a.mp4", timed(), rate=10, prepare=prepare)
    film = full_decode(tmp_path / "a.mp4")
    assert [time for time, _ in film] == pytest.approx([0, 0.3, 0.4, 1.1])
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size].count(True) == 2


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mov", "alac")])
def test_a_sound_is_written_beside_the_frames_and_between_them(tmp_path: Path, name: str, codec: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000, dtype=np.float32) / 8000)
    for path in (tmp_path / name, tmp_path / f"again-{name}"):
        sound = AudioTrack(samples=tone, rate=8000, codec=codec)
        write_video(path, pictures(15), rate=5, options={"x264-params": "mbtree=0"}, sound=sound)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
    with av.open(str(tmp_path / name)) as container:
        order = [packet.stream.type for packet in container.demux() if packet.size]
        assert order.count("video") == 15
        assert "audio" in order[:5]
        assert "video" in order[-10:]
    with av.open(str(tmp_path / name)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype(np.float32)
    assert np.corrcoef(heard[: len(tone)], tone)[0, 1] > 0.99


def test_odd_sides_are_cut_even() -> None:
    pixels = drawn(3, 145, 81)
    assert np.array_equal(even(pixels), pixels[:80, :144])
    with av.open(io.BytesIO(encode_video([even(pixels)], rate=1))) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (144, 80)


def test_a_video_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="there is no frame to write"):
        encode_video([], rate=5)
