from __future__ import annotations

import numpy as np
import pytest

from pseudocap.data.stream.mixture import Draw, Drawn, ModalityMixture
from pseudocap.errors import ConfigError


def modalities(mixture: ModalityMixture, steps: int) -> list[str]:
    return [mixture.draw(step).modality for step in range(steps)]


def test_batches_are_drawn_with_their_probability_and_images_are_eight_times_as_many() -> None:
    counts = ModalityMixture(batch_size=4).counts(100_000)
    share = counts["image"].batches / 100_000
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 100_000)
    assert counts["image"].samples == 32 * counts["image"].batches
    assert counts["video"].samples == 4 * counts["video"].batches


def test_counts_are_the_tally_of_the_draws_and_each_modality_counts_its_own_batches() -> None:
    mixture = ModalityMixture(batch_size=2, probabilities={"image": 0.6, "video": 0.4}, seed=3)
    tally = {"image": 0, "video": 0}
    for step in range(5000):  # beyond a chunk of 4,096
        if step % 777 == 0:
            assert {name: drawn.batches for name, drawn in mixture.counts(step).items()} == tally
        draw = mixture.draw(step)
        assert draw == Draw(
            modality=draw.modality, number=tally[draw.modality], size=16 if draw.modality == "image" else 2
        )
        tally[draw.modality] += 1


def test_a_draw_does_not_depend_on_what_was_asked_before() -> None:
    fresh = ModalityMixture(batch_size=1)
    assert [ModalityMixture(batch_size=1).draw(step) for step in (9000, 4095, 4096, 0)] == [
        fresh.draw(step) for step in (9000, 4095, 4096, 0)
    ]


def test_ranks_draw_for_themselves_unless_synchronised() -> None:
    half = {"image": 0.5, "video": 0.5}
    own = [modalities(ModalityMixture(batch_size=1, probabilities=half, rank=rank), 64) for rank in range(3)]
    assert own[0] != own[1] != own[2]
    agreed = [
        modalities(ModalityMixture(batch_size=1, probabilities=half, rank=rank, synchronised=True), 64)
        for rank in range(3)
    ]
    assert agreed[0] == agreed[1] == agreed[2]
    assert set(agreed[0]) == {"image", "video"}


@pytest.mark.parametrize("only", ["image", "video"])
def test_a_single_modality_is_a_mixture_of_one(only: str) -> None:
    mixture = ModalityMixture(batch_size=3, probabilities={only: 1.0}, image_batch_factor=2)
    assert set(modalities(mixture, 50)) == {only}
    size = 6 if only == "image" else 3
    assert mixture.counts(50) == {only: Drawn(batches=50, samples=50 * size)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number above 0, not 0"),
        ({"image_batch_factor": 0.5}, "image_batch_factor must be"),
        ({"seed": -1}, "seed must be"),
        ({"probabilities": {"images": 1.0}}, r"not of 'images' \(did you mean 'image'\?\)"),
        ({"probabilities": {"image": 0.5}}, "must sum to 1, not to 0.5"),
        ({"probabilities": {"image": -1, "video": 2}}, "must be a number from 0 to 1"),
    ],
)
def test_what_cannot_be_mixed_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModalityMixture(**{"batch_size": 1, **options})
    with pytest.raises(ConfigError, match="must not be negative"):
        ModalityMixture(batch_size=1).draw(-1)
