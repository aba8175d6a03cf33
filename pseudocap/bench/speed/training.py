"""Measure what a training step costs: `python -m pseudocap.bench.speed.training`.

OPT-350M's and TimeSformer-B's shapes with random weights, 8 frames of 224 pixels, several captions of a video in a
batch, as long as people's: of 64 captions about half a batch is padding. Forward, backward, and an AdamW step of the
adapters. In order: autograd through everything, as a network is trained that does not know what is frozen; frozen
parameters, padded captions and all logits, which is what one writes with transformers, with the frames of its video in
every caption's row (`rows`, as a table of captions gives them) or with each video encoded once (`plain`); the same from
memories in RAM; ours from frames; ours from memories.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pseudocap.bench.speed.measure import parser_of, peak_memory, run_apart, take_turns
from pseudocap.bench.speed.shapes import network
from pseudocap.bench.tables import head
from pseudocap.model.encoders.base import pool
from pseudocap.model.loss import IGNORE, caption_loss

KINDS = ("full autograd", "rows", "plain", "plain, memories", "frames", "memories")
# Words of a caption; its opening and closing token come to them. MSVD's 48,774 captions for training have 9.0 in the
# mean, 8 in the median, 1 in 100 more than 19; drawn so it is 9.6, 9 and 20. Both pad batches of 64 by half.
WORDS, SPREAD, LONGEST = 7, 0.4, 45


def make_step(kind: str, videos: int, frames: int, captions: int = 1) -> Callable[[], torch.Tensor]:
    """Make a step of `videos` times `captions` captions, which returns its loss."""
    torch.manual_seed(0)
    model = network(frames)
    learning = [parameter for name, parameter in model.named_parameters() if name in model.trainable_names]
    optimiser = torch.optim.AdamW(learning, lr=1e-5, fused=True)
    pixels = torch.randn(videos, frames, 3, 224, 224)
    tokens, mask = _captions(videos * captions)
    labels = tokens.masked_fill(~mask, IGNORE)
    stored = model.encode(pixels) if "memories" in kind else None
    if kind == "full autograd":
        model.requires_grad_(True)
        model.decoder.vocabulary.requires_grad_(False)  # our loss makes no gradient for it: in favour of this way

    def step() -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        memory = stored
        if kind == "full autograd":
            memory = pool(model.encoder(pixels))
        elif kind == "rows":
            memory = model.encode(pixels.repeat_interleave(captions, dim=0))
        elif memory is None:
            memory = model.encode(pixels)
        if kind in ("frames", "memories"):
            loss = model(tokens, memory, attention_mask=mask.long(), labels=labels).loss
        else:
            # Padded on the right, where no token looks, so without a mask; each caption with its video.
            repeated = memory[torch.arange(len(memory)).repeat_interleave(len(tokens) // len(memory))]
            loss = caption_loss(model.decoder.hidden(tokens, repeated), model.decoder.vocabulary, labels, chunk=None)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def _captions(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    words = (torch.randn(count, 1) * SPREAD).exp().mul(WORDS).round().clamp(1, LONGEST).long()
    lengths = words + 2
    longest = int(lengths.max())
    return torch.randint(4, 50_000, (count, longest)), torch.arange(longest) < lengths


def main() -> None:
    parser = parser_of("training", __doc__, rounds=5)
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--captions", type=int, default=4, help="of each video")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--cell", choices=KINDS, help="print one way's peak memory in MiB")
    args = parser.parse_args()
    if args.cell:
        step = make_step(args.cell, args.videos, args.frames, args.captions)
        step()  # which gives the optimiser its state
        print(peak_memory(step))
        return
    steps = {kind: make_step(kind, args.videos, args.frames, args.captions) for kind in args.kinds}
    timings = take_turns(steps, rounds=args.rounds)
    print(head("step", "seconds", "fastest-slowest", "times as fast"))
    for kind, timing in timings.items():
        ratio = timings[args.kinds[0]].median / timing.median
        print(f"| {kind} | {timing.median:.2f} | {timing.fastest:.2f}-{timing.slowest:.2f} | {ratio:.2f} |", flush=True)
    # After all that is timed: a peak needs a process of its own, which a small machine may stop.
    print("\n" + head("step", "peak MiB above the weights"))
    for kind in args.kinds:
        cell = ("--cell", kind, "--videos", args.videos, "--frames", args.frames, "--captions", args.captions)
        peak = run_apart("training", *cell, check=False)
        print(f"| {kind} | {float(peak):.0f} |" if peak else f"| {kind} | stopped |", flush=True)


if __name__ == "__main__":
    main()
