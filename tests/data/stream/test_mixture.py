from __future__ import annotations

import numpy as np
import pytest

from pseudocap.data.stream.mixture import Draw, Drawn, Mixture, numbered
from pseudocap.errors import ConfigError

FOUR = ("image", "video", "asr", "music")
QUARTERS = {"image": 0.5, "asr": 0.3, "music": 0.2}


def streams(mixture: Mixture, steps: int) -> list[str]:
    return [mixture.draw(step).stream for step in range(steps)]


class ReferenceMixture:
    """The draws as they were when there were images and videos only (commit b29d7c3)."""

    def __init__(self, images: float, seed: int, rank: int) -> None:
        self.images, self.key = images, (seed, rank)

    def draws(self, steps: int) -> list[tuple[str, int]]:
        drawn: list[tuple[str, int]] = []
        count = {"image": 0, "video": 0}
        for number in range(-(-steps // 4096)):
            uniform = np.random.default_rng([*self.key, 5, number]).random(4096)
            for is_image in uniform < self.images:
                name = "image" if is_image else "video"
                drawn.append((name, count[name]))
                count[name] += 1
        return drawn[:steps]


@pytest.mark.parametrize("images", [0.95, 0.5, 0.05, 1.0, 0.0])
def test_images_and_videos_are_drawn_as_they_were_before_there_were_other_streams(images: float) -> None:
    for seed, rank in ((0, 0), (7, 3)):
        mixture = Mixture(batch_size=2, probabilities={"image": images, "video": 1 - images}, seed=seed, rank=rank)
        draws = [mixture.draw(step) for step in range(9000)]
        assert [(draw.stream, draw.number) for draw in draws] == ReferenceMixture(images, seed, rank).draws(9000)


def test_any_number_of_streams_is_drawn_each_with_its_probability_and_size() -> None:
    mixture = Mixture(FOUR, batch_size=3, probabilities=QUARTERS, batch_factors={"asr": 4}, seed=1)
    counts = mixture.counts(100_000)
    for name, probability in QUARTERS.items():
        share = counts[name].batches / 100_000
        assert abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / 100_000), name
    assert list(counts) == ["image", "asr", "music"]
    assert [counts[name].samples / counts[name].batches for name in counts] == [24, 12, 3]
    drawn = Mixture(FOUR, batch_size=3, probabilities=QUARTERS, batch_factors={"asr": 4}, seed=1)
    sizes = {(draw.stream, draw.size) for draw in map(drawn.draw, range(200))}
    assert sizes == {("image", 24), ("asr", 12), ("music", 3)}


def test_a_further_stream_leaves_the_numbers_of_the_others() -> None:
    assert numbered(()) == {"image": 0, "video": 1}
    assert numbered(["asr", "video"]) == {"image": 0, "video": 1, "asr": 2}
    assert numbered(["asr", "music"]) == {"image": 0, "video": 1, "asr": 2, "music": 3}


def test_draws_depend_on_the_step_the_rank_and_the_seed_alone() -> None:
    one = streams(Mixture(FOUR, batch_size=1, probabilities=QUARTERS), 3 * 4096)
    chunks = [one[first : first + 4096] for first in (0, 4096, 8192)]
    others = [
        streams(Mixture(FOUR, batch_size=1, probabilities=QUARTERS, **{name: 1}), 4096) for name in ("seed", "rank")
    ]
    every = [*chunks, *others]
    assert len({tuple(draws) for draws in every}) == len(every)


def test_batches_are_drawn_with_their_probability_and_images_are_eight_times_as_many() -> None:
    counts = Mixture(batch_size=4).counts(100_000)
    share = counts["image"].batches / 100_000
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 100_000)
    assert counts["image"].samples == 32 * counts["image"].batches
    assert counts["video"].samples == 4 * counts["video"].batches


def test_counts_are_the_tally_of_the_draws_and_each_stream_counts_its_own_batches() -> None:
    mixture = Mixture(FOUR, batch_size=2, probabilities=QUARTERS, seed=3)
    tally = dict.fromkeys(QUARTERS, 0)
    for step in range(5000):  # beyond a chunk of 4,096
        if step % 777 == 0:
            assert {name: drawn.batches for name, drawn in mixture.counts(step).items()} == tally
        draw = mixture.draw(step)
        assert draw == Draw(stream=draw.stream, number=tally[draw.stream], size=16 if draw.stream == "image" else 2)
        tally[draw.stream] += 1


def test_a_draw_does_not_depend_on_what_was_asked_before() -> None:
    fresh = Mixture(batch_size=1)
    assert [Mixture(batch_size=1).draw(step) for step in (9000, 4095, 4096, 0)] == [
        fresh.draw(step) for step in (9000, 4095, 4096, 0)
    ]


def test_ranks_draw_for_themselves_unless_synchronised() -> None:
    half = {"image": 0.5, "video": 0.5}
    own = [streams(Mixture(batch_size=1, probabilities=half, rank=rank), 64) for rank in range(3)]
    assert own[0] != own[1]
    assert own[1] != own[2]
    assert own[0] != own[2]
    agreed = [streams(Mixture(batch_size=1, probabilities=half, rank=rank, synchronised=True), 64) for rank in range(3)]
    assert agreed[0] == agreed[1] == agreed[2]
    assert set(agreed[0]) == {"image", "video"}


@pytest.mark.parametrize("only", ["image", "video"])
def test_a_single_modality_is_a_mixture_of_one(only: str) -> None:
    mixture = Mixture(batch_size=3, probabilities={only: 1.0}, image_batch_factor=2)
    assert set(streams(mixture, 50)) == {only}
    size = 6 if only == "image" else 3
    assert mixture.counts(50) == {only: Drawn(batches=50, samples=50 * size)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number above 0, not 0"),
        ({"image_batch_factor": 0.5}, "image_batch_factor must be"),
        ({"seed": -1}, "seed must be"),
        ({"probabilities": {"images": 1.0}}, r"not of 'images' \(did you mean 'image'\?\)"),
        ({"batch_factors": {"video": 0}}, "the batch factor of video must be"),
        ({"batch_factors": {"films": 2}}, "batch_factors are of image and video, not of 'films'"),
        ({"probabilities": {"image": 0.5}}, "must sum to 1, not to 0.5"),
        ({"probabilities": {"image": -1, "video": 2}}, "must be a number from 0 to 1"),
    ],
)
def test_what_cannot_be_mixed_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mixture(**{"batch_size": 1, **options})
    with pytest.raises(ConfigError, match="must not be negative"):
        Mixture(batch_size=1).draw(-1)
