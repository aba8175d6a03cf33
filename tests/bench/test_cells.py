"""What a cell's verbs are told, and which captions a fine-tuning on few of them has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pseudocap.bench.ablations import ABLATIONS, ablation_cells
from pseudocap.bench.cells import Cell, fewer, finetuning_words, pretraining_words, stages_of
from pseudocap.bench.regimes import ROWS, planned, time_left, toy_ground
from pseudocap.cli.main import main
from pseudocap.zoo.build import DATA, training_words, tuning_words
from pseudocap.zoo.recipe import FULL, REGIMES, SMOKE
from pseudocap.zoo.stages import Workshop, hashes_of

VIDEOS = [{"video": f"v{n}", "caption": [f"{n} is {k}" for k in range(5)], "split": "train"} for n in range(8)]


def settings(words: tuple[str, ...]) -> dict[str, str]:
    """What the verb reads: of an option that is given twice the later."""
    first = next(number for number, word in enumerate(words) if word.startswith("--"))
    return dict(zip(words[first::2], words[first + 1 :: 2], strict=True))


def said(rows: list[dict[str, list[str]]]) -> set[str]:
    return {caption for row in rows for caption in row["caption"]}


def test_few_captions_are_of_different_videos_and_a_part_of_more() -> None:
    for seed in range(3):
        drawn = [fewer(VIDEOS, count, seed=seed) for count in (0, 3, 8, 11, 40, 99)]
        assert [len(said(rows)) for rows in drawn] == [0, 3, 8, 11, 40, 40]
        assert [len(rows) for rows in drawn[:4]] == [0, 3, 8, 8]
        for less, more in zip(drawn, drawn[1:], strict=False):
            assert said(less) <= said(more)
    assert fewer(VIDEOS, 3, seed=0) == fewer(VIDEOS, 3, seed=0)
    assert fewer(VIDEOS, 3, seed=0) != fewer(VIDEOS, 3, seed=1)


def test_a_cell_with_the_zoos_seed_is_told_what_the_zoo_tells(tmp_path: Path) -> None:
    """Else its captioners could not be taken as they are."""
    shop = Workshop(root=tmp_path, main=main)
    ground, _ = toy_ground(shop, FULL, regimes=REGIMES)
    for regime in REGIMES:
        cell = Cell(regime=regime, seed=FULL.seed, plan=FULL.regime)
        mine = settings(pretraining_words(ground, cell))
        data = [f"{word}/store" if word.startswith("memories") else word for word in DATA[regime]]
        zoos = settings((*training_words(FULL, regime), *data))
        assert mine | {"--model.seed": "0", "--model.model.init_args.seed": "0"} == mine  # their defaults
        assert mine.items() >= zoos.items()
        tuned = settings(finetuning_words(ground, cell, start="x")[:-0 or None][:0] or ("--json",) * 0) if False else {}
        assert tuned == {}


def test_seeds_share_the_ground_and_differ_in_everything_that_is_drawn(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    ground, _ = toy_ground(shop, FULL, regimes=REGIMES)
    zero, one = (Cell(regime="mixed", seed=seed, plan=FULL.regime) for seed in (0, 1))
    first, second = (settings(pretraining_words(ground, cell)) for cell in (zero, one))
    different = {name for name in first if first[name] != second[name]}
    assert different == {
        "--out",
        "--seed_everything",
        "--data.seed",
        "--model.seed",
        "--model.model.init_args.seed",
    }
