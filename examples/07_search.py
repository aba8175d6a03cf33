"""Search: an index of your videos and pictures, the moments in them that fit a text or look alike, and a page of hits.

    python examples/07_search.py                                     # pictures and a video of installed packages
    python examples/07_search.py films/ --text "a dog runs" --text "a red car" --out found/

For real video, name your folders, and as --retriever a CLIP or one of your own (docs/retrieval.md); the default is
small and often wrong. With --out index and page stay, and the command run again does only what is new, changed or gone.
It needs `pip install 'pseudocap[search]'`. `pseudocap search` does the same without Python (docs/search.md).
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pseudocap.cli.main import main as pseudocap
from pseudocap.search import SearchHit, VideoIndex
from pseudocap.search.page import hits_page
from pseudocap.zoo.packaged import packaged_media

TEXTS = ("a man in a uniform", "a tower at night", "a wild animal in the grass")


def main() -> None:
    parser = argparse.ArgumentParser(description="Index videos and pictures, and search them by text.")
    parser.add_argument("videos", nargs="*", type=Path, help="files or folders; default: what packages carry")
    parser.add_argument("--text", action="append", help="what to look for, again for more")
    parser.add_argument("--retriever", default="real-search", help="a row, a directory or a repo")
    parser.add_argument("--out", type=Path, help="keep the index and the page in this folder")
    parser.add_argument("--smoke", action="store_true", help="the same: it takes seconds")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        videos = args.videos or [path for paths in packaged_media().values() for path in paths]
        # Processes that decode are worth their start for more files than those of packages.
        build_index(videos, out / "index", "--retriever", args.retriever, "--workers", "2" if args.videos else "0")

        index = VideoIndex.open(out / "index")
        print(f"{len(index)} clips and pictures")
        for text in args.text or TEXTS:
            hits = index.search(text, top=6)  # the retriever is loaded at the first
            print_hits(f"{text!r} finds", hits[:3])

        page = out / "hits.html"  # a click on a hit of the last text plays it at its second
        page.write_text(hits_page(text, hits), encoding="utf-8")
        print(f"\n{page.name}: {len(hits)} hits of {text!r}, {page.stat().st_size / 1000:.0f} kB")

        best = hits[0]  # by the vectors of the index: nothing is decoded
        print_hits(f"Like {Path(best.file).name} look", index.like(best.file, best.start, top=3))


def build_index(videos: Iterable[Path], out: Path, *options: str) -> None:
    """`pseudocap index ...`, as on the command line. 1 means that some files failed, which are named."""
    words = ["index", *map(str, videos), *options, "--clip-seconds", "4", "--out", str(out)]
    print(f"$ pseudocap {shlex.join(words)}", flush=True)
    if pseudocap(words) > 1:
        sys.exit(2)


def print_hits(title: str, hits: Iterable[SearchHit]) -> None:
    print(f"\n{title}")
    for hit in hits:
        moment = "" if hit.still else f" {hit.start:.0f} to {hit.end:.0f} s"
        print(f"  {hit.score:.3f}  {Path(hit.file).name}{moment}")


if __name__ == "__main__":  # frames are decoded by processes that import this file
    main()
