"""Share fixtures of the metrics' tests: real captions, made-up ones, and Java's tokenizer as pycocoevalcap calls it."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

MSVD = Path(__file__).resolve().parents[3] / "shared" / "data" / "msvd"
Captions = dict[str, list[str]]


def read_msvd(split: str) -> Captions:
    if not MSVD.is_dir():
        pytest.skip("the shared data is not beside the project")
    videos: Captions = {}
    for line in (MSVD / f"sents_{split}_lc_nopunc.txt").read_text("utf-8").splitlines():
        video, caption = line.split("\t", 1)
        videos.setdefault(video, []).append(caption)
    return videos


@pytest.fixture(scope="session")
def msvd() -> Callable[[str], Captions]:
    return read_msvd


@pytest.fixture(scope="session")
def java_tokens() -> Callable[[list[str]], list[str]]:
    """Return Java's tokens, with a word after each caption: Java looks into the next one, and should find nothing."""
    if shutil.which("java") is None:
        pytest.skip("there is no java")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    def tokens(captions: list[str]) -> list[str]:
        rows = {number: [{"caption": caption}, {"caption": "x"}] for number, caption in enumerate(captions)}
        return [first for first, _ in PTBTokenizer().tokenize(rows).values()]

    return tokens


@pytest.fixture(scope="session")
def made_up() -> tuple[dict[str, str], Captions]:
    """Make 60 videos that share words, with 1 to 6 references of 0 to 11 words, and a prediction for each."""
    words = re.findall(
        r"\w+", "a man dog woman is plays runs the guitar ball with in red kitchen slowly and cooks rice"
    )
    generator = random.Random(7)

    def caption() -> str:
        return " ".join(generator.choices(words, k=generator.randint(1, 11)))

    references = {f"v{n}": [caption() for _ in range(generator.randint(1, 6))] for n in range(60)}
    predictions = {video: generator.choice([texts[0], caption(), texts[0][:-2]]) for video, texts in references.items()}
    references["v3"].append("")
    predictions["v5"] = ""
    predictions["v6"] = "zebra zebra zebra zebra zebra"
    references["v7"].append("1 1/2 cups of 1 1/2")
    predictions["v7"] = "1 1/2 cups, 1 1/2 spoons"
    return predictions, references
