"""Race an epoch from stored memories and one from videos: `python -m pseudocap.bench.speed.memories`.

It writes its own ten-second films (320x240, H.264), and a captioner of OPT-350M's and TimeSformer-B's shapes with
random weights learns their captions: decoding, encoding, forward, backward and an AdamW step. From videos is the
alternative that everyone has; the network, the batches and the optimiser are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pseudocap.bench.speed.measure import parser_of, take_turns
from pseudocap.bench.speed.shapes import network
from pseudocap.bench.tables import head
from pseudocap.data.collate import collate
from pseudocap.data.corpora.unlabelled import uncaptioned
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource, Source
from pseudocap.data.videos import VideoFolder
from pseudocap.model.network import CaptionNetwork
from pseudocap.types import Preprocess
from pseudocap.video.writer import write_video

LENGTH = 16  # tokens of a caption


def write_film(path: Path, seed: int, *, seconds: int = 10, fps: int = 25) -> None:
    """Write a film of a textured picture that slides: as hard to encode as a slow pan."""
    picture = np.random.default_rng(seed).integers(0, 255, (15, 40, 3), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
    frames = (
        np.ascontiguousarray(picture[number // 2 : number // 2 + 240, 2 * number : 2 * number + 320])
        for number in range(seconds * fps)
    )
    write_video(path, frames, rate=fps)


def epoch(model: CaptionNetwork, source: Source, batch_size: int) -> Callable[[], None]:
    learning = [parameter for name, parameter in model.named_parameters() if name in model.trainable_names]
    optimiser = torch.optim.AdamW(learning, lr=1e-5)
    tokens = torch.randint(4, 50_000, (batch_size, LENGTH))

    def run() -> None:
        for first in range(0, sum(source.groups), batch_size):
            generators = [torch.Generator().manual_seed(first + row) for row in range(batch_size)]
            samples = [source.sample(first + row, generator) for row, generator in enumerate(generators)]
            batch = collate(samples, [""] * batch_size)
            if batch.memory is not None:
                memory = batch.memory
            else:
                assert batch.frames is not None, "a batch has one or the other"
                memory = model.encode(batch.frames, batch.frame_mask)
            loss = model(tokens, memory, labels=tokens).loss
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    return run


def main() -> None:
    parser = parser_of("memories", __doc__, rounds=3)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = network(args.frames)
    preprocess = Preprocess(frames=args.frames)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number in range(args.clips):
            write_film(folder / f"{number}.mp4", number)
        videos = RowSource(uncaptioned(VideoFolder(folder)), VideoFolder(folder), preprocess)
        sources: dict[str, Source] = {"videos": videos}
        print(head("an epoch from", "seconds", "times as fast", "bytes a view", "encoding once, seconds"))
        sizes = {"videos": ("", "")}
        for storage in ("float16", "int8"):
            spec = MemorySpec(encoder="random", preprocess=preprocess, crops=1, storage=storage)
            done = encode(videos, model.encoder, folder / storage, spec, batch_size=args.batch_size)
            sources[f"memories, {storage}"] = MemorySource(folder / storage)
            views = done.total * spec.views
            sizes[f"memories, {storage}"] = (f"{done.bytes // views:,}", f"{done.seconds:.1f} ({views} views)")
        timings = take_turns(
            {name: epoch(model, source, args.batch_size) for name, source in sources.items()}, rounds=args.rounds
        )
        for name, timing in timings.items():
            ratio = timings["videos"].median / timing.median
            print(f"| {name} | {timing.median:.2f} | {ratio:.1f} | {' | '.join(sizes[name])} |", flush=True)


if __name__ == "__main__":
    main()
