"""Where each word listened: moments of sound and their times, the strip, the part that sound makes."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.loud_weights import with_loud_weights
from helpers.sounding import Track, write_sounding
from helpers.tiny_ast import write_ast

from pseudocap import PseudoCap
from pseudocap.audio.clips import read_windows, window_starts
from pseudocap.cli.main import main
from pseudocap.errors import NoSoundError
from pseudocap.explain.looking import look
from pseudocap.explain.strip import COLUMNS, ROWS, draw_strip
from pseudocap.types import MOST_WINDOWS, SoundPreprocess

SAID = "a long tone sounds"


@pytest.fixture(scope="module")
def hears(backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> PseudoCap:
    model = PseudoCap.from_backbones(
        decoder=backbones / "opt",
        encoder=backbones / "timesformer",
        audio_encoder=write_ast(tmp_path_factory.mktemp("ast")),
        adapter_layers=(1, 3),
        moments=10,
        device="cpu",
    )
    return with_loud_weights(model, std=0.5, seed=3)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounding(tmp_path_factory.mktemp("films") / "film.mp4", Track(end=1.0), seconds=1.0)


def test_each_word_listens_to_moments_at_their_times(hears: PseudoCap, film: Path) -> None:
    why = hears.explain(film, caption=SAID)
    assert why.sound_times is not None
    assert why.spectrogram is not None
    assert why.shares["sound"].shape == (4, 2, len(why.sound_times))
    np.testing.assert_allclose(why.shares["sound"].sum(axis=-1), 1, rtol=1e-5)
    assert (np.diff(why.sound_times) > 0).all()
    assert 0 < why.sound_times[0] < 0.1
    assert 0.9 < why.sound_times[-1] < 1.1, "no moment of the padding after the end"
    assert why.by_sound is not None
    assert why.by_sound.shape == why.by_video.shape
    assert (why.by_sound > 0).all()
    assert {"sound", "sound_times", "spectrogram", "by_sound"} <= why.arrays().keys()


def test_the_part_of_sound_is_what_would_not_be_there_without_it(hears: PseudoCap, film: Path) -> None:
    ids = hears.tokenize([SAID]).input_ids
    windows, lengths = read_windows(film, hears.config.sound_preprocess, end=1.0)
    sound = {"sound": torch.from_numpy(windows)[None], "sound_lengths": torch.from_numpy(lengths)[None]}
    only = hears.encode(**sound)
    for each in look(hears, ids, only):
        torch.testing.assert_close(each.by_sound_NL, each.by_video_NL)
        assert not each.shares["time"].any()
    frames = torch.randn(1, 4, 3, 16, 16)
    for each in look(hears, ids, hears.encode(frames)):
        assert not each.by_sound_NL.any()
        assert each.by_video_NL.any()


def test_what_a_captioner_did_not_hear_is_not_in_its_explanation(
    hears: PseudoCap, film: Path, model: PseudoCap, tmp_path: Path
) -> None:
    mute = write_sounding(tmp_path / "mute.mp4", seconds=1.0)
    for why in (hears.explain(mute, caption=SAID), hears.explain(film, caption=SAID, modalities="v")):
        assert (why.sound_times, why.spectrogram) == (None, None)
        assert not why.shares["sound"].any()
    alone = hears.explain(film, caption=SAID, modalities="a")
    assert not alone.time.any()
    assert alone.shares["sound"].any()
    assert "by_sound" not in model.explain(film, caption=SAID).arrays()
    broken = tmp_path / "broken.mp4"
    write_sounding(broken, Track(codec="aac", end=1.0), seconds=1.0)
    with av.open(str(broken)) as container:
        audio = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(broken.read_bytes())
    for position, size in audio:
        data[position : position + size] = b"\xff" * size
    broken.write_bytes(data)
    for file, problem in ((mute, "the file has no sound track"), (broken, "no sound can be decoded")):
        for of in (hears.explain, hears.caption):
            with pytest.raises(NoSoundError, match=rf"{problem}.*, and modalities is 'a'"):
                of(file, modalities="a")
    for group in ("av", "v", "a"):
        explained = hears.explain(film, modalities=group, max_new_tokens=6)
        assert explained.caption == hears.caption(film, modalities=group, max_new_tokens=6)


def test_a_figure_has_a_strip_under_the_frames_of_each_word(hears: PseudoCap, film: Path, tmp_path: Path) -> None:
    heard, seen = hears.explain(film, caption=SAID), hears.explain(film, caption=SAID, modalities="v")
    assert len(heard.figure().axes) == len(seen.figure().axes) + 6
    strips = [axes for axes in heard.figure(layer=3).axes if axes.images and axes.patches]
    assert len(strips) == len(heard.words)
    for word, axes in enumerate(strips):
        shares = heard.listened(word, 3)
        heights = np.array([bar.get_height() for bar in axes.patches])
        np.testing.assert_allclose(heights / heights.sum(), shares / shares.sum(), atol=1e-6)
    heard.save(tmp_path / "why.png")
    heard.save(tmp_path / "why.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "why.npz")["sound_times"], heard.sound_times)


def test_a_strip_shows_the_real_frames_alone_low_pitch_at_the_bottom() -> None:
    windows = np.zeros((2, 300, 64), np.float32)
    windows[:, :, :32] = 1  # what is low is loud
    windows[1, 100:] = 1000  # padding
    strip = draw_strip(windows, np.array([300, 100]))
    assert strip.shape == (ROWS, 400)
    assert strip[-1].min() == 255
    assert strip[0].max() == 0
    assert draw_strip(np.zeros((9, 100, 8)), np.full(9, 100)).shape == (8, COLUMNS)
    wave = draw_strip(np.stack([np.linspace(-1, 1, 4000)[:, None]]), np.array([4000]))
    assert wave.shape == (1, COLUMNS)
    assert wave[0, 0] > wave[0, COLUMNS // 2] < wave[0, -1]


def test_windows_begin_where_they_were_heard() -> None:
    small = SoundPreprocess(frames=32)
    assert window_starts(2.0, 3.0, small, 4) == pytest.approx([2.0, 2.32, 2.64, 2.96])
    assert window_starts(0.0, 24.0, small, MOST_WINDOWS) == pytest.approx(np.arange(MOST_WINDOWS) * 2 + 0.84)


def test_how_much_adapters_take_of_each_axis_is_in_the_report_of_gates(
    hears: PseudoCap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for int8 in (False, True):
        hears.save_pretrained(tmp_path / "saved", int8=int8)
        assert main(["zoo", "show", str(tmp_path / "saved"), "--gates", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["mix"]
        assert found.keys() == {"1", "3"}
        for layer, adapter in hears.adapters.items():
            assert found[str(layer)] == pytest.approx(adapter.mixed(), rel=2e-2 if int8 else 1e-5)
    assert main(["zoo", "show", str(tmp_path / "saved"), "--gates"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "layer time space sound" in printed
    assert f"1 {found['1']['time']:.3f} {found['1']['space']:.3f} {found['1']['sound']:.3f}" in printed
