"""Race the encoder and Hugging Face's: `python -m pseudocap.bench.speed.encoding`.

TimeSformer-B of random weights at 224 pixels, built for as many frames as it is given, because Hugging Face's is right
at no other number. They take turns; peak memory is each one's own, in a process that holds nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import TimesformerConfig, TimesformerModel

from pseudocap.bench.speed.measure import Timing, parser_of, peak_memory, run_apart, take_turns
from pseudocap.bench.tables import head, row
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig

KINDS = ("ours", "transformers")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def make_run(kind: str, batch: int, frames: int, depth: int = 12, *, dtype: str = "float32") -> Callable[[], object]:
    torch.manual_seed(0)
    encoder: torch.nn.Module = (
        TimeSformer(TimeSformerConfig(num_frames=frames, depth=depth))
        if kind == "ours"
        else TimesformerModel(TimesformerConfig(num_frames=frames, num_hidden_layers=depth))
    )
    encoder.to(DTYPES[dtype]).eval()
    clips = torch.randn(batch, frames, 3, 224, 224).to(DTYPES[dtype])

    def run() -> None:
        with torch.inference_mode():
            encoder(clips)

    return run


def measure(batch: int, frames: int, rounds: int, depth: int = 12, *, dtype: str = "float32") -> dict[str, Timing]:
    runs = {kind: make_run(kind, batch, frames, depth, dtype=dtype) for kind in KINDS}
    for kind in KINDS:  # threads and kernels; a warm-up as long as a run would be half of a long measurement
        make_run(kind, 1, 1, 1, dtype=dtype)()
    return take_turns(runs, rounds=rounds, warmups=0)


def main() -> None:
    parser = parser_of("encoding", __doc__, rounds=3)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 96])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--depth", type=int, default=12, help="blocks; all are alike, so fewer give the same ratios")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of both encoders (float32)")
    parser.add_argument("--cell", choices=KINDS, help="print one's peak memory in MiB")
    args = parser.parse_args()
    if args.cell:
        print(peak_memory(make_run(args.cell, args.batch, args.frames[0], args.depth, dtype=args.dtype)))
        return
    columns = (
        *("frames", "clips", "encoder"),
        *("seconds", "fastest-slowest", "times as fast", "peak MiB above the weights"),
    )
    print(head(*columns))
    for frames in args.frames:
        timings = measure(args.batch, frames, args.rounds, args.depth, dtype=args.dtype)
        for kind in KINDS:
            cell = ("--cell", kind, "--frames", frames, "--batch", args.batch, "--depth", args.depth)
            peak = float(run_apart("encoding", *cell, "--dtype", args.dtype))
            timing = timings[kind]
            ratio = timings["transformers"].median / timing.median
            times = (f"{timing.median:.2f}", f"{timing.fastest:.2f}-{timing.slowest:.2f}", f"{ratio:.2f}")
            print(row(frames, args.batch, kind, *times, f"{peak:.0f}"), flush=True)


if __name__ == "__main__":
    main()
