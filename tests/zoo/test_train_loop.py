"""The loop behind the backbones: killed and begun again it ends in the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pseudocap.zoo import train_loop as learning
from pseudocap.zoo.train_loop import Course, learn


def fitted(state: Path, *, kill_at: int | None = None) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss_at(step: int) -> torch.Tensor:
        if step == kill_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(np.random.default_rng(step).normal(size=(8, 4)).astype(np.float32))
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    return model, learn(model, loss_at, Course(steps=30, lr=0.1, warmup=3), state=state)


def test_a_course_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STATE_EVERY", 10)
    uninterrupted, losses = fitted(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "state.pt", kill_at=17)
    resumed, again = fitted(tmp_path / "state.pt")
    assert again == losses
    assert torch.equal(uninterrupted.weight, resumed.weight)
    assert not (tmp_path / "state.pt").exists()


def test_it_learns_and_the_rate_rises_and_falls(tmp_path: Path) -> None:
    _, losses = fitted(tmp_path / "state.pt")
    assert losses[-1] < 0.2 * losses[0]
    course = Course(steps=100, lr=1.0, warmup=10)
    assert course.rate(0) == pytest.approx(0.1)
    assert course.rate(9) == course.rate(10) == 1.0
    assert course.rate(99) < 0.01
