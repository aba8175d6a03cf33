"""Race the caption loss and the naive one, time and peak memory: `python -m pseudocap.bench.speed.loss`.

64 captions padded to 32 tokens, about half of it padding as in MSR-VTT's batches, OPT-1.3B's width and vocabulary;
forward and backward to the hidden states. Naive is transformers' way: logits of every position, cast to float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from pseudocap.bench.speed.measure import parser_of, peak_memory, run_apart, take_turns
from pseudocap.bench.tables import head
from pseudocap.model.loss import CHUNK, IGNORE, caption_loss

N, L, D, V = 64, 32, 2048, 50272
KINDS = ("naive", "no padding", "chunked")


def make_step(kind: str) -> Callable[[], float]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, L, D, generator=generator).requires_grad_()
    vocabulary = torch.randn(V, D, generator=generator) * 0.02
    labels = torch.randint(0, V, (N, L), generator=generator)
    lengths = torch.randint(8, 25, (N, 1), generator=generator)
    labels[torch.arange(L) >= lengths] = IGNORE

    def step() -> float:
        hidden.grad = None
        if kind == "naive":
            logits = F.linear(hidden, vocabulary).float()
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE)
        else:
            loss = caption_loss(hidden, vocabulary, labels, chunk=None if kind == "no padding" else CHUNK)
        loss.backward()
        return loss.item()

    return step


def main() -> None:
    parser = parser_of("loss", __doc__, rounds=7)
    parser.add_argument("--cell", choices=KINDS, help="print one way's peak memory in MiB")
    args = parser.parse_args()
    if args.cell:
        print(peak_memory(make_step(args.cell)))
        return
    timings = take_turns({kind: make_step(kind) for kind in KINDS}, rounds=args.rounds)
    print(head("loss", "seconds", "of naive", "peak MiB", "value"))
    for kind in KINDS:
        peak = float(run_apart("loss", "--cell", kind))
        seconds = timings[kind].median
        share = seconds / timings["naive"].median
        print(f"| {kind} | {seconds:.2f} | {share:.2f} | {peak:.0f} | {make_step(kind)():.6f} |", flush=True)


if __name__ == "__main__":
    main()
