"""What is raced does the same work."""

from __future__ import annotations

import pytest
import torch

from pseudocap.bench.speed.training import make_step


@pytest.mark.slow
def test_the_plain_step_and_ours_have_the_same_loss() -> None:
    losses = [make_step(kind, 2, 2, 2)() for kind in ("plain", "rows", "plain, memories", "frames", "memories")]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], atol=1e-4, rtol=0)
