"""The losses of retrieval, against loops that read as their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from pseudocap.errors import ConfigError
from pseudocap.regimes.retrieval_losses import Contrast, hard_triplet, joint_nce, left_out, nce

KEYS = ["one", "two", "two", "three"]  # the second video has two captions


def pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    scores = torch.randn(4, 3, generator=torch.Generator().manual_seed(4))
    positive = torch.tensor([[text == video for video in ("one", "two", "three")] for text in KEYS])
    return scores, positive, ~positive


def naive(scores: torch.Tensor, positive: torch.Tensor, each: str) -> float:
    found = []
    for a, b in positive.nonzero().tolist():
        right = float(scores[a, b])
        row = [float(scores[a, other]) for other in range(3) if not positive[a, other]]
        column = [float(scores[other, b]) for other in range(4) if not positive[other, b]]
        if each == "triplet":
            found.append(max(0, 0.2 - right + max(row)) + max(0, 0.2 - right + max(column)))
            continue
        denied = [row, column] if each == "nce" else [row + column]
        found.append(
            sum(-math.log(math.exp(right) / (math.exp(right) + sum(map(math.exp, wrong)))) for wrong in denied)
        )
    return sum(found) / len(found)


def test_each_loss_equals_its_definition_where_a_video_has_two_captions() -> None:
    scores, positive, negative = pairs()
    assert float(nce(scores, positive, negative)) == pytest.approx(naive(scores, positive, "nce"), abs=1e-5)
    assert float(joint_nce(scores, positive, negative)) == pytest.approx(naive(scores, positive, "joint"), abs=1e-5)
    triplet = hard_triplet(scores, positive, negative, margin=0.2)
    assert float(triplet) == pytest.approx(naive(scores, positive, "triplet"), abs=1e-5)


def test_of_one_caption_each_nce_is_the_cross_entropy_of_rows_and_of_columns() -> None:
    scores, eye = torch.randn(5, 5), torch.eye(5, dtype=torch.bool)
    right = torch.arange(5)
    expected = torch.nn.functional.cross_entropy(scores, right) + torch.nn.functional.cross_entropy(scores.T, right)
    torch.testing.assert_close(nce(scores, eye, ~eye), expected)


def test_what_is_neither_positive_nor_negative_has_no_gradient() -> None:
    scores, positive, negative = pairs()
    negative[0, 2] = False
    for loss in (nce, joint_nce):
        variable = scores.clone().requires_grad_(True)
        loss(variable, positive, negative).backward()
        assert variable.grad is not None
        assert variable.grad.isfinite().all()
        assert variable.grad[0, 2] == 0
        assert bool((variable.grad[negative] > 0).all())


def test_a_batch_without_negatives_teaches_nothing_and_breaks_nothing() -> None:
    for name in ("nce", "joint", "triplet"):
        scores = torch.randn(2, 1, requires_grad=True)
        positive = torch.ones(2, 1, dtype=torch.bool)
        loss = Contrast(loss=name)(scores, positive, ~positive, 0.05)
        loss.backward()
        assert float(loss.detach()) == 0
        assert scores.grad is not None
        assert scores.grad.abs().max() == 0


def test_the_temperature_divides_similarities_before_the_softmax() -> None:
    scores, positive, negative = pairs()
    torch.testing.assert_close(Contrast()(scores, positive, negative, 0.5), nce(2 * scores, positive, negative))
    joint = Contrast(loss="joint")(scores, positive, negative, 0.5)
    torch.testing.assert_close(joint, joint_nce(2 * scores, positive, negative))
    triplet = Contrast(loss="triplet", margin=0.3)(scores, positive, negative, 0.5)
    torch.testing.assert_close(triplet, hard_triplet(scores, positive, negative, margin=0.3))


def test_a_share_of_the_mask_is_left_out_and_something_of_each_row_stays() -> None:
    mask = torch.ones(200, 50, dtype=torch.bool)
    mask[:, 40:] = False
    mask[0, 1:] = False
    kept = left_out(mask, 0.2, torch.Generator().manual_seed(0))
    assert not bool((kept & ~mask).any())
    assert float(kept[1:, :40].float().mean()) == pytest.approx(0.8, abs=0.02)
    assert bool(left_out(mask, 0.99, torch.Generator().manual_seed(0)).any(dim=1).all())
    assert left_out(mask, 0.0, torch.Generator()) is mask


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of nce, joint, triplet"):
        Contrast(loss="tripled")
    for name, value in (("mask", 1.0), ("margin", -1.0), ("intra", -1.0), ("cross", -0.1)):
        with pytest.raises(ConfigError, match=f"contrast.{name}"):
            Contrast(**{name: value})
