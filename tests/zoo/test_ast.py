"""Check the zoo's AST: what it learns from, and that adapters hear through it what its heads have read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pseudocap.model.encoders.load import load_audio_encoder
from pseudocap.toyworld.scenes import FPS, TICKS
from pseudocap.toyworld.sounds import SoundEvent, Soundtrack
from pseudocap.zoo.ast import (
    GAPS,
    NAMES,
    ASTRecipe,
    CooledCourse,
    SoundNaming,
    build_ast,
    heard_window,
    naming_scores,
    new_ast,
    practice_track,
)
from pseudocap.zoo.train_loop import Course

SECOND = FPS * TICKS
SMALL = ASTRecipe(width=16, depth=2, heads=2, batch=4, held_out=3, course=Course(steps=2, lr=1e-3, warmup=1))


def test_the_answers_are_the_moments_in_which_a_sound_is_heard() -> None:
    siren = SoundEvent(name="siren", start=2 * SECOND, end=4 * SECOND, loudness=0.5, final=0.5, pitch=1.0, seed=0)
    crash = replace(siren, name="crash", start=5 * SECOND, end=9 * SECOND)  # at its end
    window, sounding = heard_window(Soundtrack(noises=(siren, crash), ticks=10 * SECOND, seed=0), ASTRecipe())
    assert (window.shape, sounding.shape) == ((1024, 64), (64, len(NAMES)))
    moment = 0.16
    heard = np.flatnonzero(sounding[:, NAMES.index("siren")]) * moment
    assert abs(heard[0] - 2) <= (GAPS + 1) * moment
    assert abs(heard[-1] - 4) <= (GAPS + 1) * moment
    crashing = np.flatnonzero(sounding[:, NAMES.index("crash")]) * moment
    assert crashing.min() > 7.5
    assert sounding.sum() == len(heard) + len(crashing)
    assert window[200:400].mean() > window[:190].mean() + 0.1, "the spectrogram is louder where it sounds"


def test_practice_has_every_sound_as_often_as_any_other() -> None:
    tracks = [practice_track(np.random.default_rng(seed)) for seed in range(600)]
    counts = Counter(event.name for track in tracks for event in track.noises)
    assert set(counts) == set(NAMES)
    assert max(counts.values()) < 2.5 * min(counts.values())
    assert all(0 <= event.start < event.end <= track.ticks for track in tracks for event in track.noises)


def test_scores_count_what_is_named_and_what_is_heard() -> None:
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -2.0, -3.0], [-1.0, 3.0, -2.0]])
    heard = np.array([[True, False, True], [False, False, False], [False, True, False]])
    assert naming_scores(logits, heard) == {"precision": 2 / 3, "recall": 2 / 3, "likeliest is heard": 1.0}


def test_the_built_ast_loads_as_an_encoder_whose_moments_are_those_that_it_was_taught_by(tmp_path: Path) -> None:
    report = build_ast(tmp_path, SMALL, seed=1)
    assert report["tracks"] == 8
    encoder = load_audio_encoder(tmp_path, moments=64 / 10.24)
    assert (encoder.preprocess.frames, encoder.preprocess.bins) == (1024, 64)
    model = SoundNaming(new_ast(SMALL), SMALL)
    model.ast.load_state_dict({name: value.float() for name, value in encoder.network.state_dict().items()})
    window, _ = heard_window(practice_track(np.random.default_rng(0)), SMALL)
    windows = torch.from_numpy(window)[None]
    memory = encoder.encode(windows[None], torch.tensor([[1000]]))
    heard = memory.axes["sound"]
    with torch.no_grad():
        by_moment, _ = model.eval()(windows)
        torch.testing.assert_close(model.moments(heard.vectors[0][:62]), by_moment[0][:62])
    assert heard.mask.sum() == 63, "ten seconds are 62 moments and a half"


def test_what_is_learned_depends_on_the_seed_alone(tmp_path: Path) -> None:
    reports = [build_ast(tmp_path / name, SMALL, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert reports[0] == reports[1] != reports[2]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_a_course_that_ends_early_is_the_longer_one_until_it_cools() -> None:
    planned = Course(steps=100, lr=1.0, warmup=10)
    cooled = CooledCourse(steps=60, horizon=100, cooling=20, lr=1.0, warmup=10)
    assert [cooled.rate(step) for step in range(41)] == [planned.rate(step) for step in range(41)]
    rates = [cooled.rate(step) for step in range(40, 61)]
    assert np.allclose(rates, np.linspace(planned.rate(40), 0, 21))
