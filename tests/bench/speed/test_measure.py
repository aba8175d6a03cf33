from __future__ import annotations

import functools
import subprocess
import sys
import time

import pytest
import torch

from pseudocap.bench.speed.attention import B, D, E, L, S, Stack
from pseudocap.bench.speed.measure import take_turns


def test_alternatives_take_turns_and_the_median_counts() -> None:
    order: list[str] = []
    pauses = iter([0.0, 0.0, 0.001, 0.001, 0.03, 0.03, 0.002, 0.002])  # one warm-up, three rounds of two

    def run(name: str) -> None:
        order.append(name)
        time.sleep(next(pauses))

    timings = take_turns({name: functools.partial(run, name) for name in "ab"}, rounds=3, warmups=1)
    assert order == list("abababab")
    assert 0.002 <= timings["a"].median < 0.03 <= timings["a"].slowest
    assert timings["a"].fastest < timings["a"].median


def test_peak_memory_sees_what_was_freed_again() -> None:
    code = (
        "import torch; from pseudocap.bench.speed.measure import peak_memory\n"
        "torch.ones(10)\n"
        "print(peak_memory(lambda: torch.ones(100 * 2**18).sum().item()))"
    )
    peak = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 95 < peak < 130  # MiB


@pytest.mark.parametrize("kind", ["separable", "full", "resampler-2"])
def test_every_peer_attends_to_every_frame_and_trains_all_it_has(kind: str) -> None:
    stack = Stack(kind, feed_forward=False)
    features, words = torch.randn(B, 2, S, E), torch.randn(B, L, D)
    out = stack(words, features)
    assert out.shape == words.shape
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
    features[:, 1] += 3.0
    assert not torch.allclose(stack(words, features), out)
