"""From frames to an encoder's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.films import drawn, number_of, write_film

from pseudocap.errors import ConfigError, InputError
from pseudocap.types import Clip, Preprocess
from pseudocap.video.decode import open_video
from pseudocap.video.transforms import clip_tensor, eval_tensor, sample_times, train_tensor

PLAIN = Preprocess(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), frames=4)


def same_frame(count: int) -> np.ndarray:
    return np.stack([drawn(3, 90, 60)] * count)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_evaluation_takes_the_middle_and_normalises() -> None:
    pixels = np.zeros((2, 60, 90, 3), np.uint8)
    pixels[:, :, 15:75] = (255, 51, 0)  # exactly the middle square
    setting = Preprocess(size=30, mean=(0.5, 0.2, 0.0), std=(0.5, 0.1, 1.0), frames=2)
    out = eval_tensor(pixels, setting)
    assert out.shape == (2, 3, 30, 30)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0, :, 15, 15], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(out[:, :, :, 2:-2], out[:, :, 15:16, 15:16].expand(2, 3, 30, 26))


@pytest.mark.parametrize("shape", [(31, 47), (47, 31), (20, 200), (200, 20)])
def test_any_shape_becomes_the_square(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, *shape, 3), dtype=np.uint8)
    assert eval_tensor(pixels, PLAIN).shape == (3, 3, 32, 32)
    assert train_tensor(pixels, PLAIN, seeded()).shape == (3, 3, 32, 32)


def test_one_random_crop_serves_all_frames_of_a_clip() -> None:
    out = train_tensor(same_frame(5), PLAIN, seeded(), flip=True)
    torch.testing.assert_close(out, out[:1].expand_as(out))


def test_crops_differ_from_clip_to_clip_and_repeat_with_the_seed() -> None:
    generator = seeded()
    first, second = (train_tensor(same_frame(1), PLAIN, generator) for _ in range(2))
    assert not torch.equal(first, second)
    torch.testing.assert_close(train_tensor(same_frame(1), PLAIN, seeded()), first, rtol=0, atol=0)


def test_nothing_is_mirrored_unless_asked() -> None:
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8)[None, None, :, None], (1, 60, 90, 3))
    rising = [
        [bool((out[0, 0, 9, -1] > out[0, 0, 9, 0]).item()) for out in outs]
        for outs in (
            [train_tensor(ramp.copy(), PLAIN, seeded(seed)) for seed in range(20)],
            [train_tensor(ramp.copy(), PLAIN, seeded(seed), flip=True) for seed in range(20)],
        )
    ]
    assert all(rising[0])
    assert 3 < sum(rising[1]) < 17


def test_training_moments_stay_in_their_segments_and_evaluation_takes_the_centres() -> None:
    assert sample_times(2.0, 10.0, 4) == [3.0, 5.0, 7.0, 9.0]
    seen = np.array([sample_times(2.0, 10.0, 4, seeded(seed)) for seed in range(200)])
    assert ((seen >= [2, 4, 6, 8]) & (seen <= [4, 6, 8, 10])).all()
    assert (np.ptp(seen, axis=0) > 1.8).all()


def test_a_clip_of_a_file_becomes_the_tensor_of_its_frames(tmp_path: Path) -> None:
    setting = Preprocess(size=80, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), frames=6)
    with open_video(write_film(tmp_path / "film.mp4", frames=50)) as video:
        short = Clip(source="film.mp4", start=1.0, end=1.12)  # three frames
        out = clip_tensor(video, short, setting)
        frames = video.frames_at(sample_times(1.0, 1.12, 6))
        trained = clip_tensor(video, short, setting, seeded())
    assert [number_of(pixels) for pixels in frames.pixels] == [25, 25, 26, 26, 27, 27]
    torch.testing.assert_close(out, eval_tensor(frames.pixels, setting))
    assert trained.shape == out.shape


@pytest.mark.parametrize("change", [{"size": 0}, {"frames": 0}, {"std": (1.0, 0.0, 1.0)}, {"mean": (0.5, 0.5)}])
def test_a_preprocessing_that_cannot_be_is_named(change: dict) -> None:
    values = {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3, "frames": 4} | change
    with pytest.raises(ConfigError, match=next(iter(change))):
        Preprocess(**values)


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        eval_tensor(np.zeros((2, 3, 8, 8), np.float32), PLAIN)
