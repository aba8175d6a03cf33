"""The frame for time t is the last one presented by t, pixel for pixel that of a full sequential decode."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.films import frame_for, full_decode, number_of, write_film

from pseudocap.video.decode import open_video

Decoded = list[tuple[float, np.ndarray]]
X265 = "log-level=none:pools=1:bframes=3"
VARIABLE = list(itertools.accumulate([0] + [1, 1, 7, 2, 30, 1, 3, 1, 1, 12] * 8))[:80]
FILMS: dict[str, dict] = {
    "h264.mp4": {}, "h264.mkv": {}, "h264.flv": {}, "h264.ts": {}, "h264.avi": {}, "h264.h264": {"format":
    "h264"}, "h264_open_gop.mp4": {"options": {"x264-params": "keyint=12:open-gop=1:bframes=3"}, "gop": None},
    "h264_open_gop.mkv": {"options": {"x264-params": "keyint=12:open-gop=1:bframes=3"}, "gop": None},
    "h264_open_gop.ts": {"options": {"x264-params": "keyint=12:open-gop=1:bframes=3"}, "gop": None},
    "h264_intra_refresh.mp4": {"options": {"x264-params": "keyint=12:intra-refresh=1"}, "gop": None},
    "h264_interlaced.mp4": {"options": {"x264-params": "keyint=12:interlaced=1"}, "gop": None, "size": (144,
    96)}, "h264_interlaced.ts": {"options": {"x264-params": "keyint=12:interlaced=1"}, "gop": None, "size":
    (144, 96)}, "h264_one_key_frame.mp4": {"gop": 1000}, "h264_only_key_frames.mp4": {"gop": 1},
    "h264_fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264_variable_rate.mp4": {"stamps": VARIABLE, "time_base": Fraction(1, 90)}, "h264_variable_rate.mkv":
    {"stamps": VARIABLE, "time_base": Fraction(1, 90)}, "h264_late_start.mkv": {"stamps": [k + 77 for k in
    range(80)]}, "h264_late_start.mp4": {"stamps": [k + 77 for k in range(80)]}, "h264_odd.mp4": {"size":
    (145, 81), "pix_fmt": "yuv444p"}, "h264_10bit.mp4": {"pix_fmt": "yuv420p10le"}, "hevc.mp4": {"codec":
    "libx265", "options": {"x265-params": f"{X265}:keyint=12:open-gop=0"}, "gop": None}, "hevc_open_gop.mp4":
    {"codec": "libx265", "options": {"x265-params": f"{X265}:keyint=12:open-gop=1"}, "gop": None},
    "hevc_open_gop.mkv": {"codec": "libx265", "options": {"x265-params": f"{X265}:keyint=12:open-gop=1"},
    "gop": None}, "hevc_layers.mp4": {
        "codec": "libx265", "options": {"x265-params": f"{X265}:keyint=24:temporal-layers=3"}, "gop": None
    },
    "hevc_hdr.mp4": {
        "codec": "libx265", "pix_fmt": "yuv420p10le", "gop": None,
        "options": {"x265-params": f"{X265}:keyint=12"},
        "tags": {"colorspace": 9, "color_primaries": 9, "color_trc": 16},
    },
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "cpu-used": "8", "row-mt": "0"}},
    "vp9_odd.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}, "size": (145, 81)},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 2, "options": {"qscale": "3"}},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4_plain.avi": {"codec": "mpeg4", "b_frames": 0},
    "ffv1.mkv": {"codec": "ffv1"},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8", "gop": None, "rate": Fraction(20)},
}  # fmt: skip


@pytest.fixture(scope="module", params=FILMS)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = dict(FILMS[request.param])
    codec = settings.pop("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV cannot write {codec}")
    return write_film(tmp_path_factory.mktemp("films") / request.param, codec, **settings)


@pytest.fixture(scope="module")
def decoded(film: Path) -> Decoded:
    return full_decode(film)


def test_any_times_in_any_order_give_the_frames_of_a_full_decode(film: Path, decoded: Decoded) -> None:
    assert len(decoded) == 80
    rng = np.random.default_rng(0)
    ends = decoded[-1][0] + 0.02
    requests = [
        [presented for presented, _ in decoded],  # every frame in turn
        np.sort(rng.uniform(0, ends, 7)).tolist(),  # far apart
        rng.uniform(0, ends, 12).tolist(),  # to and fro
        [rng.uniform(0, ends)],
        [ends, 0.0, ends, ends / 2, ends / 2],
    ]
    with open_video(film) as video:
        for times in requests:
            frames = video.frames_at(times)
            assert frames.exact
            for time, presented, pixels in zip(times, frames.times, frames.pixels, strict=True):
                true_time, true_pixels = frame_for(decoded, time)
                assert presented == pytest.approx(true_time, abs=1e-6), f"{time}: shows {number_of(pixels)}"
                np.testing.assert_array_equal(pixels, true_pixels)


def test_every_frame_comes_once_in_the_order_of_presentation(film: Path, decoded: Decoded) -> None:
    with open_video(film) as video:
        beside = video.frames_at([decoded[40][0]])
        for frame, (time, pixels) in zip(video.every_frame(), decoded, strict=True):
            assert frame.time == pytest.approx(time, abs=1e-6)
            np.testing.assert_array_equal(frame.pixels, pixels)
        np.testing.assert_array_equal(video.frames_at([decoded[40][0]]).pixels, beside.pixels)


def test_the_frames_show_the_numbers_that_were_drawn(film: Path, decoded: Decoded) -> None:
    with open_video(film) as video:
        frames = video.frames_at([decoded[k][0] for k in (0, 11, 12, 13, 50, 79)])
    assert [number_of(pixels) for pixels in frames.pixels] == [0, 11, 12, 13, 50, 79]


def test_the_measured_end_is_that_of_the_last_frame(film: Path, decoded: Decoded) -> None:
    with open_video(film) as video:
        assert video.info.complete
        assert decoded[-1][0] < video.info.duration <= decoded[-1][0] + 0.2
        assert (video.info.height, video.info.width) == decoded[0][1].shape[:2]
