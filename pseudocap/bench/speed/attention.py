"""Race separable and full cross-attention and a Perceiver resampler: `python -m pseudocap.bench.speed.attention`.

All start from the encoder's features [B,T,S,E] and end at the words' hidden states after six adapters, forward and
backward (no gradient for the features: the encoder is frozen). Every peer runs on scaled_dot_product_attention too.
The separable attention pays for its pooling here. The resampler is OpenFlamingo's, six layers of 64 latents with 8
heads of 64, run once and attended to by the six adapters; a resampler of two layers stands beside it, as the
lightest that one would still train.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.bench import tables
from pseudocap.bench.speed.measure import parser_of, peak_memory, run_apart, take_turns
from pseudocap.model.adapter import FeedForward
from pseudocap.model.attention import SeparableCrossAttention
from pseudocap.model.encoders.base import pool
from pseudocap.model.resampler import Resampler

B, L, D, E, S, ADAPTERS, HEADS = 2, 32, 2048, 768, 196, 6, 32
KINDS = ("separable", "full", "resampler-6", "resampler-2")


class CrossAttention(nn.Module):
    """Attend from words to all vectors of the memory, keys and values projected at every call: open_flamingo's, as wide
    as the words. What a captioner has for attention='full' projects once per video and has twice the heads."""

    def __init__(self, *, width: int = D, memory_width: int = E, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(memory_width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.value = nn.Linear(memory_width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, h_BLD: torch.Tensor, memory_BME: torch.Tensor) -> torch.Tensor:
        memory_BME = self.norm(memory_BME)
        q, k, v = (
            x.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(h_BLD), self.key(memory_BME), self.value(memory_BME))
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Stack(nn.Module):
    """Stack six adapters over one kind of memory, as a plain loop."""

    def __init__(self, kind: str, *, feed_forward: bool, adapters: int = ADAPTERS) -> None:
        super().__init__()
        self.kind = kind
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(adapters))
        self.ffns = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(D), FeedForward(D)) for _ in range(adapters if feed_forward else 0)
        )
        if kind == "separable":
            self.attentions = nn.ModuleList(
                SeparableCrossAttention(width=D, memory_widths={"time": E, "space": E}, heads=HEADS)
                for _ in range(adapters)
            )
        else:
            self.attentions = nn.ModuleList(CrossAttention() for _ in range(adapters))
        depth = int(kind.removeprefix("resampler-")) if kind.startswith("resampler") else 0
        self.resampler = Resampler(width=E, depth=depth, feed_forward=feed_forward) if depth else None

    def forward(self, h_BLD: torch.Tensor, features_BTSE: torch.Tensor) -> torch.Tensor:
        separable = self.kind == "separable"
        memory: Any = pool(features_BTSE) if separable else features_BTSE.flatten(1, 2)
        if self.resampler is not None:
            memory = self.resampler(memory)
        for index, (norm, attention) in enumerate(zip(self.norms, self.attentions, strict=True)):
            seen = attention.project(memory, padded=()) if separable else memory  # type: ignore[operator]
            h_BLD = h_BLD + attention(norm(h_BLD), seen)
            if len(self.ffns):
                h_BLD = h_BLD + self.ffns[index](h_BLD)
        return h_BLD


def make_step(kind: str, frames: int, *, feed_forward: bool) -> Callable[[], None]:
    torch.manual_seed(0)
    stack = Stack(kind, feed_forward=feed_forward)
    features, words = torch.randn(B, frames, S, E), torch.randn(B, L, D)

    def step() -> None:
        stack.zero_grad(set_to_none=True)
        stack(words, features).square().mean().backward()

    return step


def measure(frames: int, *, feed_forward: bool, rounds: int) -> list[dict[str, Any]]:
    steps = {kind: make_step(kind, frames, feed_forward=feed_forward) for kind in KINDS}
    timings = take_turns(steps, rounds=rounds)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        peak = float(run_apart("attention", "--cell", kind, frames, int(feed_forward)))
        rows.append(
            {
                "frames": frames,
                "feed_forward": feed_forward,
                "kind": kind,
                "seconds": timings[kind].median,
                "spread": [timings[kind].fastest, timings[kind].slowest],
                "times_separable": timings[kind].median / timings["separable"].median,
                "peak_mib": peak,
            }
        )
    return rows


def main() -> None:
    parser = parser_of("attention", __doc__, rounds=5)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32, 96])
    parser.add_argument("--json", action="store_true", help="one JSON row a line instead of the table")
    parser.add_argument(
        "--cell", nargs=3, metavar=("KIND", "FRAMES", "FFN"), help="print one cell's peak memory in MiB"
    )
    args = parser.parse_args()
    if args.cell:
        kind, frames, feed_forward = args.cell
        print(peak_memory(make_step(kind, int(frames), feed_forward=bool(int(feed_forward)))))
        return
    if not args.json:
        columns = ("frames", "feed-forward", "attention", "seconds", "fastest-slowest", "times separable", "peak MiB")
        print(tables.head(*columns))
    for feed_forward in (False, True):
        for frames in args.frames:
            for row in measure(frames, feed_forward=feed_forward, rounds=args.rounds):
                print(json.dumps(row) if args.json else attention_row(row), flush=True)


def attention_row(row: dict[str, Any]) -> str:
    low, high = row["spread"]
    times = (f"{row['seconds']:.3f}", f"{low:.3f}-{high:.3f}", f"{row['times_separable']:.2f}")
    forward = "yes" if row["feed_forward"] else "no"
    return tables.row(row["frames"], forward, row["kind"], *times, f"{row['peak_mib']:.0f}")


if __name__ == "__main__":
    main()
