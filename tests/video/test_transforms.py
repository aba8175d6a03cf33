"""From frames to an encoder's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.films import drawn, number_of, write_film
from PIL import Image

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


def test_frames_are_made_smaller_as_pillow_does_and_fine_patterns_fade(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 128, 128, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels[0]).resize((32, 32), Image.Resampling.BILINEAR)).astype(float)
    assert expected.std() < 0.4 * pixels.std()
    found = eval_tensor(pixels, PLAIN)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() <= 1.5
    assert float(train_tensor(pixels, PLAIN, seeded(), scale=(0.9, 1.0)).std()) * 255 < 0.5 * pixels.std()


def crop_of(seed: int, **options: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, top, width and height of a training crop of 200 x 160 pixels, read off a picture of its own coordinates."""
    across, down = np.meshgrid(np.arange(200), np.arange(160))
    pixels = np.stack([across, down, 0 * down], axis=-1)[None].astype(np.uint8)
    out = train_tensor(pixels, PLAIN, seeded(seed), **options)[0] * 255
    (x, right), (y, below) = ((out[0, 9, 8], out[0, 9, 24]), (out[1, 8, 9], out[1, 24, 9]))
    width, height = float(right - x) * 2, float(below - y) * 2
    return float(x) - 8.5 * width / 32 + 0.5, float(y) - 8.5 * height / 32 + 0.5, width, height


def test_training_crops_are_of_half_to_all_of_the_area_anywhere_and_nearly_square() -> None:
    crops = np.array([crop_of(seed) for seed in range(300)])
    left, top, width, height = crops.T
    area, ratio = width * height / (200 * 160), width / height
    assert 0.46 < area.min() < 0.53
    assert 0.9 < area.max() < 1.03
    assert 0.7 < ratio.min() < 0.85
    assert 1.2 < ratio.max() < 1.4
    assert (crops[:, :2] > -3).all()
    assert (left + width < 203).all()
    assert (top + height < 163).all()
    free = (width < 180) & (height < 140)
    down, across = (top / (160 - height))[free], (left / (200 - width))[free]
    assert 0.4 < down.mean() < 0.6
    assert 0.4 < across.mean() < 0.6
    assert min(np.ptp(down), np.ptp(across)) > 0.9
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.3, "drawn for themselves"
    smallest = [np.prod(crop_of(seed, scale=(0.1, 0.1))[2:]) / (200 * 160) for seed in range(20)]
    assert smallest == pytest.approx([0.1] * 20, abs=0.03)


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
