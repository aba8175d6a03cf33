"""Sound is read sample by sample where it belongs: any codec, any span, from the first picture on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.sounding import Track, heard, signal, write_sounding

from pseudocap.audio.waveform import RATE, SoundFile, read_sound, read_spans
from pseudocap.errors import DecodeError, InputError, NoSoundError
from pseudocap.video.decode import open_video

FORMATS = [
    *[("a.mkv", "flac", 48000), ("a.mov", "pcm_s16le", 44100), ("a.avi", "pcm_s16le", 22050), ("a.mkv", "flac", 16000)],
    *[("a.mp4", "aac", 44100), ("a.mkv", "aac", 48000), ("a.webm", "libopus", 48000), ("a.mp4", "libmp3lame", 44100)],
    *[("a.ts", "mp2", 48000), ("a.mkv", "ac3", 32000)],
]
EXACT = ("flac", "pcm_s16le")


def misses(found: np.ndarray, wanted: np.ndarray) -> float:
    """The root mean square of the difference; a lag of one sample makes 0.05 of it."""
    return float(np.sqrt(np.mean((found - wanted) ** 2)))


def codec_of(name: str) -> str:
    return {"a.webm": "libvpx", "a.ts": "mpeg2video"}.get(name, "mpeg4")


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
def test_sound_of_any_codec_and_rate_is_the_signal_at_its_times(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    path = write_sounding(tmp_path / name, Track(codec=codec, rate=rate), codec=codec_of(name))
    sound = read_sound(path, start=0.25, end=2.75)
    assert (sound.dtype, len(sound)) == (np.float32, round(2.5 * RATE))
    assert misses(sound, heard(2.5, start=0.25)) < (0.001 if codec in EXACT else 0.035)
    assert misses(sound[1:], heard(2.5, start=0.25)[:-1]) > 0.04


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_a_rate_is_what_is_returned(tmp_path: Path, rate: int) -> None:
    path = write_sounding(tmp_path / "a.mkv", Track(codec="flac", rate=44100))
    sound = read_sound(path, start=0.5, end=2.5, rate=rate)
    assert len(sound) == 2 * rate
    assert misses(sound, heard(2, start=0.5, rate=rate)) < 0.001


def test_a_late_track_begins_with_zeros_an_early_end_is_filled_with_them_and_so_is_a_gap(tmp_path: Path) -> None:
    track = Track(codec="pcm_s16le", rate=16000, start=0.5, end=2.5, pauses=((1.024, 1.6),))
    path = write_sounding(tmp_path / "a.mkv", track)
    sound = read_sound(path, end=3.0)
    assert len(sound) == 3 * RATE
    assert not sound[: RATE // 2].any()
    assert not sound[round(2.51 * RATE) :].any()
    assert misses(sound[RATE // 2 : RATE], heard(0.5, start=0.5)) < 0.001
    assert np.count_nonzero(sound[round(1.1 * RATE) : round(1.58 * RATE)]) == 0
    assert misses(sound[round(1.7 * RATE) : round(2.4 * RATE)], heard(0.7, start=1.7)) < 0.001
    assert len(read_sound(path)) == pytest.approx(2.5 * RATE, abs=RATE // 50)  # to the end of the track


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_times_count_from_the_first_picture(tmp_path: Path, name: str) -> None:
    codec = "pcm_s16le" if name == "a.mkv" else "mp2"
    path = write_sounding(tmp_path / name, Track(codec=codec, rate=48000), picture_start=0.7, codec="mpeg2video")
    with open_video(path) as video, SoundFile(path) as sound:
        assert float(sound.start) == pytest.approx(video.info.start)
    assert misses(read_sound(path, start=0.2, end=1.7), heard(1.5, start=0.9)) < 0.03


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "libx265"])
def test_the_first_picture_is_that_of_the_frames(tmp_path: Path, codec: str) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi") if codec == "mpeg4" else ("a.mp4", "a.mkv"):
        path = write_sounding(tmp_path / name, Track(), codec=codec, picture_start=0.3)
        with open_video(path) as video, SoundFile(path) as sound:
            assert float(sound.start) == pytest.approx(video.info.start, abs=1e-6)


def test_sound_without_pictures_counts_from_its_first_sample(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.wav", Track(codec="pcm_s16le", rate=22050), codec=None)
    assert misses(read_sound(path, start=1.0, end=2.0), heard(1, start=1.0)) < 0.001


def test_of_several_tracks_the_one_that_ffmpeg_would_play_is_read(tmp_path: Path) -> None:
    quiet, loud = Track(codec="flac", gains=(0.25,)), Track(codec="flac", gains=(1.0, 1.0), layout="stereo")
    path = write_sounding(tmp_path / "a.mkv", quiet, loud)
    with av.open(str(path)) as container:
        best = container.streams.best("audio")
        assert best is not None
        gain = [0.25, 1.0][best.index - 1]
    assert misses(read_sound(path, start=0.5, end=2.5), gain * heard(2, start=0.5)) < 0.001


@pytest.mark.parametrize(("gains", "layout", "gain"), [((1, 0), "stereo", 0.5), ((1, 1), "stereo", 1.0)])
def test_channels_are_mixed_by_their_share(tmp_path: Path, gains: tuple[float, ...], layout: str, gain: float) -> None:
    path = write_sounding(tmp_path / "a.mkv", Track(codec="flac", gains=gains, layout=layout))
    assert misses(read_sound(path, start=0.5, end=2.5), gain * heard(2, start=0.5)) < 0.001


def test_six_channels_become_one_that_is_no_louder(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mkv", Track(codec="flac", gains=(1,) * 6, layout="5.1"))
    sound = read_sound(path, start=0.5, end=2.5)
    wanted = heard(2, start=0.5)
    assert misses(sound * (np.abs(wanted).max() / np.abs(sound).max()), wanted) < 0.01
    assert np.abs(sound).max() <= np.abs(wanted).max() * 1.01


def test_a_silent_track_is_sound_and_a_film_without_a_track_says_that_it_has_none(tmp_path: Path) -> None:
    silent = write_sounding(tmp_path / "silent.mp4", Track(gains=(0.0,)))
    assert not read_sound(silent, end=2.0).any()
    for name, codec in (("mute.mp4", "mpeg4"), ("a.gif", "gif")):
        mute = write_sounding(tmp_path / name, codec=codec)
        with pytest.raises(NoSoundError, match=rf"{name}: the file has no sound track"):
            read_sound(mute)


def test_a_track_may_change_its_rate_and_its_channels(tmp_path: Path) -> None:
    first = Track(codec="libmp3lame", rate=44100, end=2.0)
    second = Track(codec="libmp3lame", rate=22050, start=2.0, end=4.0, gains=(1, 1), layout="stereo")
    parts = [write_sounding(tmp_path / f"{n}.mp3", track, codec=None) for n, track in enumerate((first, second))]
    both = tmp_path / "both.mp3"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    sound = read_sound(both)
    assert misses(sound[RATE // 2 : 3 * RATE // 2], heard(1, start=0.5)) < 0.02
    tail = sound[round(2.5 * RATE) : round(3.5 * RATE)]  # an MP3 is longer than its sound, by an unknown delay
    spectrum = np.abs(np.fft.rfft(tail * np.hanning(len(tail))))
    assert sorted(int(peak) for peak in np.argsort(spectrum)[-3:]) == [523, 1307, 2131]


def test_a_variable_bit_rate_is_no_matter(tmp_path: Path) -> None:
    track = Track(
        codec="libmp3lame", rate=44100, options=(("compression_level", "2"), ("q", "4"), ("flags", "+qscale"))
    )
    path = write_sounding(tmp_path / "a.mp4", track)
    assert misses(read_sound(path, start=0.5, end=2.5), heard(2, start=0.5)) < 0.02


def test_spans_are_slices_of_the_whole_and_may_overlap(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", Track())
    whole = read_sound(path, end=3.0)
    spans = [(0.0, 1.0), (0.5, 0.5625), (0.5, 2.5), (1.00003, 2.0), (2.9, 2.95)]
    for (start, end), sound in zip(spans, read_spans(path, spans), strict=True):
        first = round(start * RATE)
        assert len(sound) == round((end - start) * RATE)
        np.testing.assert_array_equal(sound, whole[first : first + len(sound)])


@pytest.mark.parametrize(
    ("name", "track"),
    [
        ("a.mp4", Track(end=36.0)),
        ("a.mkv", Track(codec="aac", rate=44100, end=36.0)),
        ("a.webm", Track(codec="libopus", rate=48000, end=36.0)),
        ("a.wav", Track(codec="pcm_s16le", rate=11025, end=36.0)),
        ("a.ts", Track(codec="mp2", rate=48000, end=36.0)),
    ],
)
def test_a_jump_lands_on_the_very_samples(tmp_path: Path, name: str, track: Track) -> None:
    codec = None if name in ("a.wav", "a.webm") else codec_of(name)
    path = write_sounding(tmp_path / name, track, seconds=36.0, codec=codec)
    with SoundFile(path) as sound:
        whole, *later = sound.spans([(0.0, None), (21.3, 23.0), (33.01, 34.01)])
    jumps = [read_sound(path, start=21.3, end=23.0), read_sound(path, start=33.01, end=34.01)]
    for jump, same in zip(jumps, later, strict=True):
        np.testing.assert_allclose(jump, same, atol=1e-5 if name != "a.webm" else 0.01)
    np.testing.assert_array_equal(later[0], whole[round(21.3 * RATE) :][: len(later[0])])


def test_a_span_after_the_end_is_silent(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", Track())
    assert not read_sound(path, start=50.0, end=51.0).any()
    assert len(read_sound(path, start=50.0)) == 0


class CountedFile(SoundFile):
    """Count how often a decoding began."""

    begun = 0

    def _frames(self, time: Fraction | None = None) -> Iterator[av.AudioFrame]:
        self.begun += 1
        return super()._frames(time)


@pytest.mark.parametrize("name", ["a.ts", "a.avi"])
def test_what_cannot_jump_is_decoded_once_however_far_spans_lie_apart(tmp_path: Path, name: str) -> None:
    path = write_sounding(tmp_path / name, Track(codec="mp2", rate=48000, end=31.0), seconds=32.0, codec="mpeg2video")
    with CountedFile(path) as sound:
        first, far, *after = sound.spans([(0.5, 1.0), (30.0, 30.5), (60.0, 61.0), (90.0, 91.0), (120.0, None)])
        assert sound.begun == 1, "with the look at how the track begins"
    np.testing.assert_array_equal(first, read_sound(path, start=0.5, end=1.0))
    np.testing.assert_array_equal(far, read_sound(path, start=30.0, end=30.5))
    assert [len(each) for each in after] == [RATE, RATE, 0]
    assert not np.concatenate(after).any()


def test_damage_costs_the_sound_that_it_hits(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mkv", Track(codec="flac", rate=16000))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4 :] = b""
    path.write_bytes(data)
    sound = read_sound(path, end=3.0)
    assert misses(sound[: RATE // 2], heard(0.5)) < 0.001
    assert not sound[-RATE // 4 :].any()


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ([(-1.0, 2.0)], "0 <= start < end"),
        ([(1.0, 1.0)], "0 <= start < end"),
        ([(0.0, float("nan"))], "0 <= start < end"),
        ([(1.0, 2.0), (0.5, 2.0)], "sort them"),
    ],
)
def test_impossible_spans_are_refused(tmp_path: Path, spans: list[tuple[float, float]], problem: str) -> None:
    path = write_sounding(tmp_path / "a.mp4", Track(end=1.0), seconds=1.0)
    with pytest.raises(InputError, match=problem):
        list(read_spans(path, spans))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"none\.mp4: there is no such file"):
        read_sound(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DecodeError, match=r"text\.mp4: FFmpeg cannot open it"):
        read_sound(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="rate is 0"):
        read_sound(write_sounding(tmp_path / "a.mp4", Track(end=1.0), seconds=1.0), rate=0)


def test_real_films_are_read_from_their_first_picture_to_their_end(shared_data: Path) -> None:
    path = shared_data / "clips" / "nasa_13013.mp4"
    sound = read_sound(path)
    assert len(sound) == pytest.approx(13.056 * RATE, abs=1)  # the second track, at 16 kHz
    assert 0.3 < np.abs(sound).max() < 1
    clip = read_sound(shared_data / "clips" / "test_video.mp4", start=100.0, end=108.0)
    assert (len(clip), clip.std() > 0.01) == (8 * RATE, True)
    with pytest.raises(NoSoundError):
        read_sound(shared_data / "clips" / "testsrc2_vp9.webm")


def test_the_signal_shows_a_lag() -> None:
    times = np.arange(RATE) / RATE
    assert misses(signal(times), signal(times + 1 / RATE)) > 0.05
