"""Fine-tuning: a pre-trained captioner learns how you put things, from a few captions of your own videos.

    python examples/04_finetune_on_your_captions.py                        # films of the toy world
    python examples/04_finetune_on_your_captions.py --data captions.jsonl --videos videos/ --from OWNER/REPO --out run/

For real data, write a line for each video, {"video": "dog.mp4", "caption": ["a dog runs", "the dog is running"]}, and
name as --from a captioner that was pre-trained on real video; `pseudocap finetune --size 320` learns at larger crops,
as the papers do. docs/data.md has the other forms (CSV, JSON, a folder of text files), docs/training.md what happens
and what is written.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from pseudocap import PseudoCap
from pseudocap.cli.main import main as pseudocap
from pseudocap.toyworld.write import write_world


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune a captioner on your captions.")
    parser.add_argument("--from", dest="start", default="toy-mixed-ext-pretrained", help="a row, a directory or a repo")
    parser.add_argument("--data", type=Path, help="your captions; default: films of the toy world")
    parser.add_argument("--videos", type=Path, help="where the videos lie; default: beside the captions")
    parser.add_argument("--out", type=Path, help="keep the run in this folder")
    parser.add_argument("--smoke", action="store_true", help="two epochs over a few films, to see that it runs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        data, videos = args.data, args.videos
        if data is None:
            data, videos = draw_films(Path(scratch) / "world", smoke=args.smoke)
        out = args.out or Path(scratch) / "run"

        # A tenth of the videos is held out, since no line says "split": "val". It stops once they say no more.
        epochs = ("--max-epochs", "2") if args.smoke else ("--max-epochs", "8", "--patience", "3")
        where = () if videos is None else ("--videos", str(videos))
        run("finetune", "--from", args.start, "--data", str(data), *where, "--out", str(out), "--workers", "0", *epochs)

        report = (out / "report.md").read_text(encoding="utf-8")
        print(report.partition("```json")[0])  # beside it the curves; below, which data it was, by their hashes
        film = next(path for path in sorted((videos or data.parent).iterdir()) if path.suffix == ".mp4")
        for name in (args.start, out / "best"):
            print(f"{name}: {PseudoCap.from_pretrained(name).caption(film)}")
        print("next: 06_publish_and_fetch.py")


def run(*words: str) -> None:
    print(f"\n$ pseudocap {shlex.join(words)}", flush=True)
    if pseudocap(words) > 1:
        sys.exit(2)


def draw_films(folder: Path, *, smoke: bool) -> tuple[Path, Path]:
    """Films with five captions each, in a file of one's own: twenty of them, or a hundred."""
    write_world(folder, corpora=["own"], scale="small" if smoke else "full", seed=2, workers=1)
    return folder / "own" / "captions.jsonl", folder / "own" / "videos"


if __name__ == "__main__":
    main()
