"""What a reader reports of a file, and how its frames are stored, rotated, scaled and approximated."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.films import drawn, frame_for, full_decode, number_of, write_film

from pseudocap.errors import InputError
from pseudocap.video.decode import open_video, probe
from pseudocap.video.reader import Frame, VideoInfo, segment_centres
from pseudocap.video.writer import write_video

CLIPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "clips"


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_in_the_metadata_is_applied(tmp_path: Path, rotation: int) -> None:
    same = {"x264-params": "mbtree=0"}  # which reads unwritten memory on CPUs with AVX-512
    upright = full_decode(write_film(tmp_path / "upright.mp4", frames=5, options=same))
    turned = write_film(tmp_path / "turned.mp4", frames=5, rotation=rotation, options=same)
    with av.open(str(turned)) as container:
        written = next(container.decode(video=0)).rotation  # degrees, counterclockwise
    assert written % 360 == rotation % 360
    with open_video(turned) as video:
        frames = video.frames_at([0.0, 0.08])
        assert (video.info.height, video.info.width) == frames.pixels.shape[1:3]
    for pixels, number in zip(frames.pixels, (0, 2), strict=True):
        np.testing.assert_array_equal(pixels, np.rot90(upright[number][1], rotation // 90))


def test_a_mirrored_picture_is_mirrored_back(tmp_path: Path) -> None:
    path = tmp_path / "mirrored.mp4"
    matrix = [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]
    write_video(path, [drawn(5, 144, 80)], rate=25, prepare=lambda stream: stream.set_display_matrix(matrix))
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at([0]).pixels[0], full_decode(path)[0][1][:, ::-1])


def test_times_count_from_the_first_frame_presented(tmp_path: Path) -> None:
    late = write_film(tmp_path / "late.mkv", stamps=[k + 50 for k in range(80)])
    with open_video(late) as video:
        assert video.info.start == pytest.approx(2.0)
        frames = video.frames_at([0.0, 1.0])
    assert [number_of(pixels) for pixels in frames.pixels] == [0, 25]
    np.testing.assert_allclose(frames.times, [0.0, 1.0])


def test_an_edit_list_that_cuts_off_the_beginning_is_obeyed(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=80)
    data = bytearray(film.read_bytes())
    where = data.index(b"elst") + 4 + 4 + 4  # past flags and count: the edit's duration (ms), then its beginning
    length, begin = (int.from_bytes(data[k : k + 4], "big") for k in (where, where + 4))
    data[where : where + 4] = (length - 800).to_bytes(4, "big")
    data[where + 4 : where + 8] = (begin + 20 * 512).to_bytes(4, "big")  # 20 frames of 1/12800 s ticks
    film.write_bytes(data)
    decoded = full_decode(film)
    assert number_of(decoded[0][1]) == 20
    with open_video(film) as video:
        for time in (0.0, 0.1, 0.2, 1.0, 2.36):
            np.testing.assert_array_equal(video.frames_at([time]).pixels[0], frame_for(decoded, time)[1])


def test_nearest_keyframe_gives_key_frames_and_says_so(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=100, gop=20, options={"sc_threshold": "0"})
    with open_video(film) as video:
        frames = video.frames_at([0.1, 0.39, 0.41, 1.9, 3.9], nearest_keyframe=True)
        assert not frames.exact
        assert video.frames_at([0.39]).exact
    assert [number_of(pixels) for pixels in frames.pixels] == [0, 0, 20, 40, 80]
    np.testing.assert_allclose(frames.times, [0, 0, 0.8, 1.6, 3.2])


def test_a_short_film_repeats_its_frames_evenly(tmp_path: Path) -> None:
    with open_video(write_film(tmp_path / "film.mp4", frames=3)) as video:
        frames = video.frames_evenly(12)
    assert [number_of(pixels) for pixels in frames.pixels] == [0] * 4 + [1] * 4 + [2] * 4


def test_after_the_end_of_a_whole_film_its_last_frame_stays(tmp_path: Path) -> None:
    with open_video(write_film(tmp_path / "film.mp4", frames=30)) as video:
        frames = video.frames_at([1.16, 1.3, 500.0])
    assert [number_of(pixels) for pixels in frames.pixels] == [29] * 3
    np.testing.assert_allclose(frames.times, [1.16] * 3)


@pytest.mark.parametrize(("missing", "complete"), [(0.0, True), (0.079, True), (0.081, False), (0.5, False)])
def test_a_film_is_complete_where_no_more_than_two_frames_of_rounding_are_missing(
    missing: float, complete: bool
) -> None:
    video = {"path": "a.mp4", "codec": "h264", "width": 64, "height": 48, "start": 0.0, "claimed_frames": None}
    info = VideoInfo(**video, fps=25.0, duration=10.0, claimed_duration=10.0 + missing)
    assert info.complete is complete
    assert VideoInfo(**video, fps=25.0, duration=10.0, claimed_duration=None).complete
    assert VideoInfo(**video, fps=None, duration=10.0, claimed_duration=10.0 + missing).complete is (missing < 0.1)


def test_short_side_scales_while_decoding_close_to_a_resize(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=5, size=(288, 160))
    with open_video(film, short_side=80) as video:
        small = video.frames_at([0.08]).pixels[0]
        assert (video.info.width, video.info.height) == (144, 80)
    assert small.shape == (80, 144, 3)
    blocks = full_decode(film)[2][1].reshape(80, 2, 144, 2, 3).mean((1, 3))
    assert np.abs(small - blocks).mean() < 4


def test_of_several_video_streams_the_one_that_players_show_is_read() -> None:
    if not CLIPS.exists():
        pytest.skip("the shared clips are not on this machine")
    assert (probe(CLIPS / "nasa_13013.mp4").width, probe(CLIPS / "nasa_13013.mp4").height) == (480, 270)


@pytest.mark.parametrize(
    "name", ["nasa_13013.mp4", "testsrc2_h265.mp4", "testsrc2_vp9.webm", "testsrc2_mpeg4.avi", "gradient.gif"]
)
def test_real_files_give_the_frames_of_a_full_decode(name: str) -> None:
    if not CLIPS.exists():
        pytest.skip("the shared clips are not on this machine")
    decoded = full_decode(CLIPS / name)
    times = np.random.default_rng(1).uniform(0, decoded[-1][0], 15).tolist()
    with open_video(CLIPS / name) as video:
        frames = video.frames_at(times)
    for time, presented, pixels in zip(times, frames.times, frames.pixels, strict=True):
        true_time, true_pixels = frame_for(decoded, time)
        assert presented == pytest.approx(true_time, abs=1e-6)
        np.testing.assert_array_equal(pixels, true_pixels)


def test_every_clip_has_its_centre_frame(tmp_path: Path) -> None:
    with open_video(write_film(tmp_path / "film.mp4", frames=95)) as video:
        results = list(video.clip_centres(1.0, min_seconds=0.5))
    assert [(clip.start, clip.end) for clip, _ in results] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, pytest.approx(3.8)),
    ]
    assert [number_of(frame.pixels) for _, frame in results if isinstance(frame, Frame)] == [12, 37, 62, 85]


@pytest.mark.parametrize("opens", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_opening_again_and_again_leaks_neither_files_nor_memory(tmp_path: Path, opens: int) -> None:
    film = write_film(tmp_path / "film.mp4", frames=20)
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(film.read_bytes()[:700])

    def open_some(count: int) -> None:
        for _ in range(count):
            with open_video(film, threads=1) as video:
                video.frames_at([0.1, 0.7])
            with pytest.raises(ValueError, match="torn"):
                open_video(torn, threads=1)

    open_some(50)
    files, memory = open_files(), resident()
    open_some(opens)
    assert open_files() == files
    assert resident() - memory < 16e6


@pytest.mark.slow
def test_memory_stays_flat_over_two_hours(tmp_path: Path) -> None:
    film = write_film(
        tmp_path / "film.mp4",
        frames=2 * 3600 * 2,
        pictures=50,
        rate=Fraction(2),
        gop=24,
        options={"preset": "ultrafast"},
    )
    with open_video(film, threads=1) as video:
        memory = []
        for _, frame in video.clip_centres(8.0):
            assert isinstance(frame, Frame)
            memory.append(resident())
    assert len(memory) == 900
    assert max(memory[20:]) - memory[20] < 16e6


def open_files() -> int:
    """How many files this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_spans_that_cannot_be_are_refused() -> None:
    for start, end, count in [(1, 1, 4), (2, 1, 4), (-1, 1, 4), (0, 1, 0)]:
        with pytest.raises(InputError, match="span"):
            segment_centres(start, end, count)


def test_a_setting_that_cannot_be_is_refused(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=2)
    for settings in (
        {"backend": "vlc"},
        {"threads": -1},
        {"short_side": 0},
        {"backend": "torchcodec", "short_side": 9},
    ):
        with pytest.raises(InputError, match=r"film\.mp4"):
            open_video(film, **settings)
