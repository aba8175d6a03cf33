"""Captions of videos: of whole files, several for one file, and clip by clip as subtitles.

    python examples/01_caption.py                                                # films of the toy world, drawn here
    python examples/01_caption.py a.mp4 b.mp4 --checkpoint OWNER/REPO --out subtitles/

For real video, name your files, and as --checkpoint a captioner that has seen such: a directory, a repo of the hub, or
a row of `pseudocap zoo list`. The toy rows have only seen drawn things, and say so of anything.
`pseudocap caption` does the same without Python.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pseudocap import PseudoCap
from pseudocap.caption_files import caption_files
from pseudocap.toyworld.write import write_world
from pseudocap.video.subtitles import merge_equal, to_srt


def main() -> None:
    parser = argparse.ArgumentParser(description="Captions of videos, as text and as subtitles.")
    parser.add_argument("videos", nargs="*", type=Path, help="files; default: films of the toy world")
    parser.add_argument("--checkpoint", default="toy-mixed-ext", help="a row, a directory or a repo")
    parser.add_argument("--out", type=Path, help="keep the subtitles in this folder")
    parser.add_argument("--smoke", action="store_true", help="one film, to see that it runs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        videos = args.videos or draw_films(Path(scratch) / "world")
        videos = videos[:1] if args.smoke else videos
        model = PseudoCap.from_pretrained(args.checkpoint)

        print("One caption a file; a file that cannot be read costs no other:")
        for found in caption_files(model, videos):
            print(f"  {Path(found.file).name}: {found.error or found.captions[0].text}")

        print(f"\nSampled from the likeliest words, the same for the same seed ({videos[0].name}):")
        for seed in range(1 if args.smoke else 4):
            print(f"  {model.caption(videos[0], top_p=0.9, seed=seed)}")

        out = args.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        subtitles = out / f"{videos[0].stem}.srt"
        clips = model.caption_long(videos[0], clip_seconds=4.0)  # as they are made, with flat memory
        subtitles.write_text(to_srt(merge_equal(clips)), encoding="utf-8")
        print(f"\nEvery four seconds, as {subtitles.name}:\n{subtitles.read_text(encoding='utf-8')}", end="")


def draw_films(folder: Path) -> list[Path]:
    """Four films of six to ten seconds that no shipped weights have seen."""
    write_world(folder, corpora=["own"], scale="tiny", seed=2, workers=1)
    return sorted((folder / "own" / "videos").glob("*.mp4"))


if __name__ == "__main__":
    main()
