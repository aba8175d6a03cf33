"""Pseudolabels: an image captioner says what it sees of every clip of your videos; the clips become tars to learn from.

    python examples/02_label_your_videos.py                       # talking films of the toy world, and the toy teacher
    python examples/02_label_your_videos.py films/ --teacher Salesforce/blip-image-captioning-large --out labelled/

For real video, name a folder of films and a real teacher, as in the second line; it wants a GPU (docs/labelling.md says
how long it takes, and how to use many machines). The same command goes on where it was stopped. docs/labels.md has the
rows, docs/audit.md how people judge them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from itertools import islice
from pathlib import Path

from pseudocap.cli.main import main as pseudocap
from pseudocap.data.tars.samples import read_shard
from pseudocap.label.schema import read_labels
from pseudocap.toyworld.write import write_world


def main() -> None:
    parser = argparse.ArgumentParser(description="Label every clip of your videos, look at it, pack it.")
    parser.add_argument("videos", nargs="?", type=Path, help="a folder; default: talking films of the toy world")
    parser.add_argument("--teacher", default="pseudocap://toy-blip", help="a BLIP, or another image-text model")
    parser.add_argument("--out", type=Path, help="keep labels and tars in this folder")
    parser.add_argument("--smoke", action="store_true", help="two short films, to see that it runs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        videos = args.videos or draw_films(Path(scratch) / "world", smoke=args.smoke)
        labels, shards = out / "labels", out / "shards"

        decoders = ("--workers", "0" if args.smoke else "2")  # processes, which are worth their start for more films
        teacher = ("--teacher", args.teacher, "--batch-size", "16")
        run("label", str(videos), *teacher, "--out", str(labels), *decoders)
        for label in islice(read_labels(labels), 8):
            said = label.caption if label.kept else f"({', '.join(label.verdicts) or label.error}) {label.caption}"
            print(f"  {Path(label.clip.source).name} {label.clip.start:5.1f} s  {said}")

        run("pack", str(labels), "--out", str(shards), *decoders)
        for shard in sorted(shards.glob("*.tar")):
            print(f"  {shard.name}: {sum(1 for _ in read_shard(shard)):,} clips with their captions")
        print("\nnext: 03_pretrain_a_regime.py learns from such tars")


def run(*words: str) -> None:
    """`pseudocap ...`, as on the command line. 1 means that some files failed, which are named; others were done."""
    print(f"\n$ pseudocap {shlex.join(words)}", flush=True)
    if pseudocap(words) > 1:
        sys.exit(2)


def draw_films(folder: Path, *, smoke: bool) -> Path:
    """Two films of two minutes in which people also talk; for a quick look films of some seconds."""
    corpus = "own" if smoke else "talking"
    write_world(folder, corpora=[corpus], scale="tiny", seed=2, workers=1)
    return folder / corpus / "videos"


if __name__ == "__main__":  # frames are decoded by processes that import this file
    main()
