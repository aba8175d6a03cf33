"""Measure the cost of a stream's order and index, and of resuming: `python -m pseudocap.bench.speed.streams`.

Writes its own tars, 4 with 500 noisy pictures each (256x256, JPEG), seed 0. Everyone gives batches of 64 pictures as
training takes them at 224 pixels, in one process with one thread. The plain loop reads the tars from their beginning,
in order and without shuffling; to resume, it must read all that it passes over.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pseudocap.bench.speed.measure import parser_of, take_turns
from pseudocap.bench.tables import head
from pseudocap.data.stream.batches import Stream, TrainingBatches
from pseudocap.data.stream.mixture import Mixture
from pseudocap.data.stream.sources import TarSource
from pseudocap.data.tars.index import find_tars, index_tars
from pseudocap.data.tars.samples import ShardSample, read_shard
from pseudocap.files import tars
from pseudocap.files.tars import add_member
from pseudocap.types import Preprocess
from pseudocap.video.picture import decode_picture
from pseudocap.video.transforms import train_tensor

TARS, EACH, BATCH, BATCHES = 4, 500, 64, 12
RESUMED_AT = 28  # of the 31 full batches of an epoch
PREPROCESS = Preprocess()


def write_tars(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for tar in range(TARS):
        with tarfile.open(folder / f"{tar:05d}.tar", "w") as archive:
            for number in range(tar * EACH, (tar + 1) * EACH):
                coarse = Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8))
                buffer = io.BytesIO()
                coarse.resize((256, 256)).save(buffer, "JPEG", quality=90)
                for extension, content in (("jpg", buffer.getvalue()), ("txt", b"noise")):
                    add_member(archive, f"{number:09d}.{extension}", content)


def plain(folder: Path, first: int, batches: int) -> None:
    generator = torch.Generator().manual_seed(0)
    samples: Iterator[ShardSample] = (sample for tar in find_tars(folder) for sample in read_shard(tar))
    samples = islice(samples, first * BATCH, None)
    for _ in range(batches):
        taken = islice(samples, BATCH)
        torch.stack([train_tensor(decode_picture(sample.media)[None], PREPROCESS, generator) for sample in taken])


def streamed(folder: Path, first: int, batches: int) -> None:
    """Do all that a resumed run does: read the index, plan the order, give the batches."""
    source = TarSource(index_tars(folder), PREPROCESS, modality="image")
    mixture = Mixture(batch_size=BATCH, image_batch_factor=1, probabilities={"image": 1.0})
    stream = TrainingBatches({"image": Stream(source, seed=0)}, mixture)
    for step in range(first, first + batches):
        assert stream[step].batch is not None


def main() -> None:
    rounds = parser_of("streams", __doc__, rounds=5).parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_tars(folder)
        index_tars(folder)
        alternatives: dict[str, Callable[[], object]] = {
            "plain loop": lambda: plain(folder, 0, BATCHES),
            "stream": lambda: streamed(folder, 0, BATCHES),
            "plain loop, resumed": lambda: plain(folder, RESUMED_AT, 1),
            "stream, resumed": lambda: streamed(folder, RESUMED_AT, 1),
            "index, headers by tarfile": lambda: [list(tars._members(tar)) for tar in find_tars(folder)],
            "index, plain headers": lambda: [tars._plain_members(tar) for tar in find_tars(folder)],
        }
        timings = take_turns(alternatives, rounds=rounds)
    print(head("", "samples", "seconds (median)", "fastest", "slowest", "samples a second"))
    for name, timing in timings.items():
        batches = 1 if name.endswith("resumed") else BATCHES
        samples = TARS * EACH if name.startswith("index") else BATCH * batches
        seconds = f"{timing.median:.3f} | {timing.fastest:.3f} | {timing.slowest:.3f}"
        print(f"| {name} | {samples} | {seconds} | {samples / timing.median:.0f} |")


if __name__ == "__main__":
    main()
