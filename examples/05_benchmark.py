"""A benchmark: the five regimes on films that none of them has seen, with intervals and a test of the difference.

    python examples/05_benchmark.py                                   # the shipped rows, on films of the toy world
    python examples/05_benchmark.py --rows runs/mine/best OWNER/REPO --out predictions/

For real data, read a corpus and take its test split (docs/data.md):

    corpus = read_msrvtt("annotations/")          # of pseudocap.data.corpora.msrvtt; then per row of the corpus:
    references = {row.video: row.captions for row in corpus.rows if row.split == "test"}

and caption `videos/{row.video}.mp4`. The figures of the toy world are toy figures: they show the method.
`pseudocap score predictions/toy-mixed.json references.json --bootstrap 1000` gives the same without Python.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from pseudocap import PseudoCap, score
from pseudocap.metrics import References, compare
from pseudocap.toyworld.corpora import captions_at, film_at
from pseudocap.toyworld.film import write_film

ROWS = ("toy-asr", "toy-image-only", "toy-video-only", "toy-mixed", "toy-mixed-ext")
SEED = 2  # of a world of its own: the weights were learned from those of the seeds 0 and 1
METRICS = ("CIDEr-D", "BLEU-4", "ROUGE-L")

WHAT_THEY_ASK = """\
The interval asks how far the difference would move with other films (they are drawn again, with replacement); p asks
how often it would be as large if it did not matter who said which caption (they change places at random). These are
two questions: with few films one may speak of a difference where the other does not. Then take more films."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Score captioners on the same films, and compare the two best.")
    parser.add_argument("--rows", nargs="+", default=ROWS, help="rows, directories or repos; default: the five regimes")
    parser.add_argument("--films", type=int, default=60, help="how many are drawn (60)")
    parser.add_argument("--out", type=Path, help="keep predictions and references as JSON in this folder")
    parser.add_argument("--smoke", action="store_true", help="six films, to see that it runs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        films, told = draw_films(Path(scratch), 6 if args.smoke else args.films)
        references = References(told)  # prepared once: this is most of the work of scoring
        said: dict[str, dict[str, str]] = {}
        values: dict[str, float] = {}
        for row in args.rows:
            model = PseudoCap.from_pretrained(row)
            started = time.perf_counter()
            said[row] = dict(zip(films, model.caption(list(films.values()), batch_size=20), strict=True))
            seconds = time.perf_counter() - started
            scores = score(predictions=said[row], references=references, metrics=METRICS, bootstrap=1000)
            values[row] = scores["CIDEr-D"]
            print(f"{row}, {seconds / len(films):.2f} s a film\n{scores}\n")  # the first line: of which films
        if len(values) > 1:
            first, second = sorted(values, key=values.__getitem__)[-1:-3:-1]
            both = {"predictions": said[first], "baseline": said[second], "references": references}
            found = compare(**both, metrics=["CIDEr-D"])["CIDEr-D"]
            span = f"[{found.interval.low:+.2f}, {found.interval.high:+.2f}]"
            print(f"{first} less {second}, film by film: {found.value:+.2f} CIDEr-D  {span}, p = {found.p:.3f}")
            print(WHAT_THEY_ASK)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            for name, content in {"references": told, **{Path(row).name: each for row, each in said.items()}}.items():
                (args.out / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def draw_films(folder: Path, count: int) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Films by their names, and what twenty people say of each."""
    films, told = {}, {}
    for place in range(count):
        name = f"film{place}"
        films[name] = folder / f"{name}.mp4"
        write_film(films[name], film_at("msrvtt", "test", place, seed=SEED), size=64)
        told[name] = captions_at("msrvtt", "test", place, seed=SEED)
    return films, told


if __name__ == "__main__":
    main()
