"""Measure how long scores take: ours, ours with prepared references, and pycocoevalcap's, turn by turn in one run.

    python -m pseudocap.bench.speed.scoring --captions DIR_WITH_MSVD_LISTS

Each turn tokenises and computes CIDEr-D, BLEU-1..4 and ROUGE-L over 3,000 videos with 20 references; the table gives
the median of the turns. Without lists of real captions it makes captions up from a small grammar.
"""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path

from pseudocap.bench.speed.measure import Timing, parser_of, take_turns
from pseudocap.bench.tables import head
from pseudocap.errors import DataError
from pseudocap.metrics import References, score
from pseudocap.metrics.measures import METRICS


def real_captions(folder: Path, *, videos: int, each: int, seed: int = 0) -> dict[str, list[str]]:
    """Read videos of `each` + 1 captions, drawn from lists of id, tab, caption; a video may give several such sets."""
    rows: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            video, tab, caption = line.partition("\t")
            if tab:
                rows.setdefault(video, []).append(caption)
    rich = [texts for texts in rows.values() if len(texts) > each]
    if not rich:
        raise DataError(f"{folder} has no video with {each + 1} captions in a .txt of id, tab, caption")
    generator = random.Random(seed)
    return {f"v{number}": generator.sample(rich[number % len(rich)], each + 1) for number in range(videos)}


def made_up_captions(*, videos: int, each: int, seed: int = 0) -> dict[str, list[str]]:
    generator = random.Random(seed)
    nouns = list(map("".join, product(("bo", "ka", "ru", "sel", "tim"), ("der", "lo", "man", "net", "pa"))))
    verbs = [f"{noun}s" for noun in nouns]

    def caption(topic: list[str]) -> str:
        words = ["a", generator.choice(topic), "is", generator.choice(verbs), "the", generator.choice(topic)]
        return " ".join(words + generator.choices(nouns, k=generator.randint(0, 6)))

    topics = [generator.choices(nouns, k=4) for _ in range(videos)]
    return {f"v{number}": [caption(topic) for _ in range(each + 1)] for number, topic in enumerate(topics)}


def theirs(predictions: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    def rows(texts: list[str]) -> list[dict[str, str]]:
        return [{"caption": text} for text in texts]

    cut = PTBTokenizer().tokenize({video: rows(texts) for video, texts in references.items()})
    candidates = PTBTokenizer().tokenize({video: rows([text]) for video, text in predictions.items()})
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(cut, candidates)[0][3]
    return {
        "CIDEr-D": float(Cider().compute_score(cut, candidates)[0]) * 100,
        "BLEU-4": float(bleu) * 100,
        "ROUGE-L": float(Rouge().compute_score(cut, candidates)[0]) * 100,
    }


def measure(captions: dict[str, list[str]], *, turns: int) -> dict[str, Timing]:
    """Time each way, in turns; the ways must agree first, or the times mean nothing."""
    predictions = {video: texts[0] for video, texts in captions.items()}
    references = {video: texts[1:] for video, texts in captions.items()}
    prepared = References(references)
    ways: dict[str, Callable[[], Mapping[str, float]]] = {
        "pycocoevalcap": lambda: theirs(predictions, references),
        "ours": lambda: score(predictions=predictions, references=references, metrics=METRICS),
        "ours, references prepared": lambda: score(predictions=predictions, references=prepared, metrics=METRICS),
    }
    found = [way() for way in ways.values()]  # also the warm-up: what is prepared lazily is prepared now
    for values in found[1:]:
        if any(abs(values[name] - found[0][name]) > 1e-6 * found[0][name] for name in METRICS):
            raise DataError(f"the ways disagree: {found}")
    return take_turns(ways, rounds=turns, warmups=0)


def main() -> None:
    parser = parser_of("scoring", __doc__)
    parser.add_argument("--captions", type=Path, help="folder with lists of id, tab, caption; else made up")
    parser.add_argument("--videos", type=int, default=3000)
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    given = partial(real_captions, args.captions) if args.captions else made_up_captions
    captions = given(videos=args.videos, each=args.references)
    timings = measure(captions, turns=args.turns)
    base = timings["pycocoevalcap"].median
    print(f"{args.videos} videos x {args.references} references, median of {args.turns} turns\n")
    print(head("way", "seconds", "times as fast"))
    for name, timing in timings.items():
        print(f"| {name} | {timing.median:.3f} | {base / timing.median:.1f} |")


if __name__ == "__main__":
    main()
