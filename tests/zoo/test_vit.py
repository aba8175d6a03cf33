"""One eye for both: the TimeSformer and BLIP that begin with it see a still as it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pseudocap.model.encoders.convert import inflate
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
from pseudocap.toyworld.actions import poses
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.scenes import TICKS
from pseudocap.zoo.blip import TeacherRecipe, as_vision, new_blip
from pseudocap.zoo.patches import CHANGES, NOBODY, changes, patch_answers
from pseudocap.zoo.vit import MEAN, STD, ViTRecipe, draw_stills, new_vit, normalised

SMALL = ViTRecipe(size=32, width=32, depth=2, heads=2)


def test_timesformer_and_blip_begin_with_what_the_eye_sees() -> None:
    vit = new_vit(SMALL).eval()
    stills = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pixels = normalised(stills)
    values, state = inflate(vit, num_frames=4, mean=[MEAN] * 3, std=[STD] * 3, source="the eye")
    watcher = TimeSformer.from_state(TimeSformerConfig(**values), state, source="the eye")
    blip = new_blip(TeacherRecipe(layers=1, heads=2), SMALL, words=9, seed=0).eval()
    blip.vision_model.load_state_dict(as_vision(vit))
    with torch.no_grad():
        seen = vit.forward_features(pixels)
        torch.testing.assert_close(watcher(pixels[:, None])[:, 0], seen[:, 1:])
        torch.testing.assert_close(blip.vision_model(pixel_values=pixels).last_hidden_state, seen)


@pytest.mark.slow
def test_the_captions_drawn_with_stills_change_nothing_of_them() -> None:
    alone, with_captions = (draw_stills(2, seed=3, size=32, grid=4, captions=count) for count in (0, 2))
    assert np.array_equal(alone.pictures, with_captions.pictures)
    assert np.array_equal(alone.kinds, with_captions.kinds)
    assert [len(each) for each in with_captions.captions] == [2, 2]


def test_changes_are_the_differences_of_the_poses_of_what_lies_under_a_patch() -> None:
    film = film_at("clips", "train", 5, seed=1)
    frames = [int((number + 0.5) * film.frames / 4) for number in range(4)]
    answers = patch_answers(film, frames, 8)
    assert ((answers.things == NOBODY) == (answers.kinds == 0)).all()
    found, known = changes(answers.things[None], answers.poses[None])
    assert not known[0, 0, :, 0].any()
    assert not known[0, -1, :, 1].any()
    shot = film.shots[0]
    at = poses(shot, np.array([frame * TICKS + TICKS // 2 for frame in frames]))
    for number in range(3):
        for patch in np.flatnonzero(answers.things[number] != NOBODY):
            who = answers.things[number, patch]
            for channel, (name, unit) in enumerate(CHANGES.items()):
                values = getattr(at, name)[who]
                expected = np.clip((values[number + 1] - values[number]) / unit, -3, 3)
                assert np.isclose(found[0, number, patch, 1, channel], expected, atol=1e-4)
