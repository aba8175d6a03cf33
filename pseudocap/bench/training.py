"""What a training step costs: `python -m pseudocap.bench.training`.

OPT-350M's and TimeSformer-B's shapes with random weights, 8 frames of 224 pixels, captions of 16 tokens: forward,
backward, and an AdamW step of the adapters. (a) autograd through everything, as a network is trained that does not know
what is frozen; (b) ours from frames: the encoder and the decoder's lower half leave nothing for autograd; (c) ours from
stored memories: no encoder at all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable

import torch

from pseudocap.bench.measure import peak_memory, take_turns
from pseudocap.bench.memories import LENGTH, network
from pseudocap.model.timesformer import pool

KINDS = ("full autograd", "frames", "memories")


def make_step(kind: str, batch_size: int, frames: int) -> Callable[[], None]:
    torch.manual_seed(0)
    model = network(frames)
    learning = [parameter for name, parameter in model.named_parameters() if name in model.trainable_names]
    optimiser = torch.optim.AdamW(learning, lr=1e-5, fused=True)
    pixels = torch.randn(batch_size, frames, 3, 224, 224)
    tokens = torch.randint(4, 50_000, (batch_size, LENGTH))
    stored = model.encode(pixels) if kind == "memories" else None
    if kind == "full autograd":
        model.requires_grad_(True)
        model.decoder.vocabulary.requires_grad_(False)  # our loss makes no gradient for it: in favour of this way

    def step() -> None:
        model.zero_grad(set_to_none=True)
        if kind == "full autograd":
            memory = pool(model.encoder(pixels))
        elif stored is not None:
            memory = stored
        else:
            memory = model.encode(pixels)
        model(tokens, memory, labels=tokens).loss.backward()
        optimiser.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pseudocap.bench.training", description=__doc__)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cell", choices=KINDS, help="print one way's peak memory in MiB")
    args = parser.parse_args()
    if args.cell:
        step = make_step(args.cell, args.batch_size, args.frames)
        step()  # which gives the optimiser its state
        print(peak_memory(step))
        return
    timings = take_turns({kind: make_step(kind, args.batch_size, args.frames) for kind in KINDS}, rounds=args.rounds)
    print("| step | seconds | fastest-slowest | times as fast | peak MiB above the weights |\n|---|---|---|---|---|")
    for kind in KINDS:
        cell = [sys.executable, "-m", "pseudocap.bench.training", "--cell", kind]
        cell += ["--batch-size", str(args.batch_size), "--frames", str(args.frames)]
        peak = float(subprocess.run(cell, capture_output=True, text=True, check=True).stdout)
        timing = timings[kind]
        ratio = timings[KINDS[0]].median / timing.median
        spread = f"{timing.fastest:.2f}-{timing.slowest:.2f}"
        print(f"| {kind} | {timing.median:.2f} | {spread} | {ratio:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
