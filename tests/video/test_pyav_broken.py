"""A broken file gives a DecodeError with its name and the time, and its readable part is delivered."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.films import frame_for, full_decode, number_of, write_film

from pseudocap.errors import DecodeError, InputError
from pseudocap.video.decode import open_video, probe
from pseudocap.video.reader import Frame

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n"


def shortened(film: Path, share: float) -> Path:
    """The file's first bytes."""
    cut = film.with_stem("truncated")
    cut.write_bytes(film.read_bytes()[: int(film.stat().st_size * share)])
    return cut


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "0 bytes"),
        ("text.mp4", b"Dear diary,\ntoday I was renamed.\n" * 50, "cannot open"),
        ("noise.mkv", np.random.default_rng(0).bytes(5000), "cannot open"),
        ("list.mp4", PLAYLIST, "cannot open"),
    ],
)
def test_a_file_that_is_no_video_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    write_film(tmp_path / "other.mp4", frames=5)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DecodeError, match=f"{name}.*{reason}") as caught:
        open_video(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no such file"):
        open_video(tmp_path / "absent.mp4")
    with pytest.raises(DecodeError, match="a folder"):
        open_video(tmp_path)


def test_a_file_with_sound_only_has_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DecodeError, match=r"no video stream \(its streams: audio\)"):
        open_video(path)


def test_a_codec_that_is_missing_is_an_error_of_that_file(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=10)
    film.write_bytes(film.read_bytes().replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"))
    with pytest.raises(DecodeError, match=r"film\.mp4.*no decoder"):
        open_video(film)


@pytest.fixture(scope="module", params=["film.mp4", "film.mkv", "film.avi", "film_fragmented.mp4"])
def long_film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds whose header comes first."""
    flags = "frag_keyframe+empty_moov" if "fragmented" in request.param else "faststart"
    options = {"movflags": flags} if request.param.endswith("mp4") else {}
    return write_film(tmp_path_factory.mktemp("long") / request.param, frames=400, container_options=options)


@pytest.mark.parametrize("share", [0.35, 0.62, 0.9])
def test_of_a_truncated_file_the_readable_clips_are_delivered_and_the_rest_is_named(
    long_film: Path, share: float
) -> None:
    decoded = full_decode(long_film)
    with open_video(shortened(long_film, share)) as video:
        results = list(video.clip_centres(1.0))
    readable = [(clip, frame) for clip, frame in results if isinstance(frame, Frame)]
    for clip, frame in readable:
        np.testing.assert_array_equal(frame.pixels, frame_for(decoded, clip.centre)[1])
    assert abs(len(readable) - 16 * share) <= 2.5
    if "fragmented" not in long_film.name:  # nothing in a fragmented file says how long it was to be
        last_clip, error = results[-1]
        assert isinstance(error, DecodeError)
        assert "truncated" in str(error)
        assert error.time is not None
        assert error.time == pytest.approx(last_clip.start, abs=0.6)
        assert last_clip.end == pytest.approx(16.0, abs=0.1)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_time_beyond_the_truncation_raises_instead_of_repeating_the_last_frame(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    film = write_film(tmp_path / f"film.{suffix}", frames=200, container_options=options)
    with open_video(shortened(film, 0.5)) as video:
        assert number_of(video.frames_at([1.0]).pixels[0]) == 25
        with pytest.raises(DecodeError, match=rf"truncated\.{suffix}, at 7\.000 s") as caught:
            video.frames_at([1.0, 7.0])
        assert number_of(video.frames_at([1.0]).pixels[0]) == 25  # the reader goes on after an error
    assert caught.value.time == 7.0


def test_a_hole_in_the_middle_costs_only_the_times_within_it(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=300)
    decoded = full_decode(film)
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    film.write_bytes(data)
    times = [0.5 + k for k in range(12)]
    with open_video(film) as video:
        results = list(video.decode(times))
    assert len(results) == len(times)
    wrong = [time for time, result in zip(times, results, strict=True) if isinstance(result, DecodeError)]
    assert len(wrong) <= 2
    for time, result in zip(times, results, strict=True):
        if isinstance(result, Frame) and not 4 < time < 8:
            np.testing.assert_array_equal(result.pixels, frame_for(decoded, time)[1])


def marked(film: Path) -> list[int]:
    """The frames that FFmpeg says are damaged, where it reads the whole film."""
    try:
        with av.open(str(film)) as container:
            return [number for number, frame in enumerate(container.decode(video=0)) if frame.is_corrupt]
    except av.FFmpegError:
        return []


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_frame_that_the_decoder_marks_as_damaged_is_an_error(tmp_path: Path, suffix: str) -> None:
    """One of the first second, before which there is no key frame to begin at."""
    film, found = write_film(tmp_path / f"film.{suffix}", frames=40, gop=60), 0
    whole = film.read_bytes()
    with av.open(str(film)) as container:
        first = next(packet for packet in container.demux(video=0) if packet.size)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        begin = first.pos + int(rng.integers(first.size // 8, first.size - 30))
        film.write_bytes(whole[:begin] + rng.bytes(20) + whole[begin + 20 :])
        if len(damaged := marked(film)) == 0:
            continue
        with open_video(film) as video:
            results = list(video.decode([(number + 0.5) / 25 for number in damaged]))
        assert all(isinstance(result, DecodeError) for result in results), seed
        if (found := found + 1) == 3:
            return
    pytest.fail("no damage was marked")


def test_a_duration_that_claims_too_much_gives_every_real_clip_and_one_error(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", frames=100)
    data = film.read_bytes()
    where = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a float of eight bytes
    assert np.frombuffer(data[where : where + 8], ">f8")[0] == 4000
    film.write_bytes(data[:where] + np.array(60000, ">f8").tobytes() + data[where + 8 :])
    with open_video(film) as video:
        assert video.info.duration == pytest.approx(4.0, abs=0.01)
        results = list(video.clip_centres(1.0))
    assert [number_of(frame.pixels) for _, frame in results[:-1] if isinstance(frame, Frame)] == [
        12,
        37,
        62,
        87,
    ]
    assert "claims 60.000 s" in str(results[-1][1])


def test_a_duration_that_claims_too_little_hides_no_frames(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", frames=100)
    data = film.read_bytes()
    where = data.index(b"\x44\x89\x88") + 3
    film.write_bytes(data[:where] + np.array(500, ">f8").tobytes() + data[where + 8 :])
    with open_video(film) as video:
        assert [number_of(pixels) for pixels in video.frames_evenly(4).pixels] == [12, 37, 62, 87]


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with (
        av.open(str(write_film(tmp_path / "silent.mkv", frames=50))) as silent,
        av.open(str(path), "w") as out,
    ):
        picture = out.add_stream_from_template(silent.streams.video[0])
        sound = out.add_stream("aac", rate=16000)
        for packet in silent.demux(silent.streams.video[0]):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
        for second in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 16000 * second, Fraction(1, 16000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode())
    info = probe(path)
    assert info.complete
    assert info.duration == pytest.approx(2.0, abs=0.05)


def test_a_decode_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DecodeError("a.mp4", "is broken", 1.5)))
    assert (error.path, error.time, str(error)) == ("a.mp4", 1.5, "a.mp4, at 1.500 s: is broken")


@pytest.mark.parametrize("times", [[-0.1], [float("nan")], [float("inf")], []])
def test_impossible_times_are_the_callers_mistake(tmp_path: Path, times: list[float]) -> None:
    with (
        open_video(write_film(tmp_path / "film.mp4", frames=5)) as video,
        pytest.raises(InputError, match=r"film\.mp4"),
    ):
        video.frames_at(times)
