"""What a cell's verbs are given, and which captions a fine-tuning on few of them has."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from pseudocap.bench.claims.ablations import ABLATIONS, ablation_bench, short
from pseudocap.bench.claims.cells import Cell, cell_stages, fewer, finetuning_words, pretraining_words
from pseudocap.bench.claims.mining_ablation import MINING
from pseudocap.bench.claims.regimes import planned, time_left
from pseudocap.bench.claims.toy import ROWS, toy_ground
from pseudocap.cli import bench_regimes as cli
from pseudocap.cli.main import main
from pseudocap.regimes.table import REGIMES
from pseudocap.stages import Workshop, hashes_of
from pseudocap.zoo.build import training_words, tuning_words
from pseudocap.zoo.recipe import FULL_RECIPE, SMOKE_RECIPE

VIDEOS = [{"video": f"v{n}", "caption": [f"{n} is {k}" for k in range(5)], "split": "train"} for n in range(8)]


def settings(words: tuple[str, ...]) -> dict[str, str]:
    """What the verb reads: of an option that is given twice the later."""
    first = next(number for number, word in enumerate(words) if word.startswith("--"))
    return dict(zip(words[first::2], words[first + 1 :: 2], strict=True))


def captions_of(rows: list[dict[str, list[str]]]) -> set[str]:
    return {caption for row in rows for caption in row["caption"]}


def test_few_captions_are_of_different_videos_and_a_part_of_more() -> None:
    for seed in range(3):
        drawn = [fewer(VIDEOS, count, seed=seed) for count in (0, 3, 8, 11, 40, 99)]
        assert [len(captions_of(rows)) for rows in drawn] == [0, 3, 8, 11, 40, 40]
        assert [len(rows) for rows in drawn[:4]] == [0, 3, 8, 8]
        for less, more in pairwise(drawn):
            assert captions_of(less) <= captions_of(more)
    assert fewer(VIDEOS, 3, seed=0) == fewer(VIDEOS, 3, seed=0)
    assert fewer(VIDEOS, 3, seed=0) != fewer(VIDEOS, 3, seed=1)


def test_a_cell_with_the_zoos_seed_is_told_what_the_zoo_tells(tmp_path: Path) -> None:
    """Else its captioners could not be taken as they are."""
    shop = Workshop(root=tmp_path, main=main)
    ground, _ = toy_ground(shop, FULL_RECIPE, regimes=REGIMES)
    for regime in REGIMES:
        cell = Cell(regime=regime, seed=FULL_RECIPE.seed, plan=FULL_RECIPE.regime)
        mine = settings(pretraining_words(ground, cell))
        zoos = settings(training_words(FULL_RECIPE, regime))
        assert mine | {"--model.seed": "0", "--model.model.init_args.seed": "0"} == mine  # their defaults
        assert mine.items() >= zoos.items()
        tuned = finetuning_words(ground, cell, start=f"trained-{regime}/run/last")
        zoos_tuned = tuning_words(FULL_RECIPE, regime)
        first, second = (tuple(word for word in words if word != "--json") for words in (tuned, zoos_tuned))
        assert settings(first) == settings(second)


def test_seeds_share_the_ground_and_differ_in_everything_that_is_drawn(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    ground, _ = toy_ground(shop, FULL_RECIPE, regimes=REGIMES)
    zero, one = (Cell(regime="mixed", seed=seed, plan=FULL_RECIPE.regime) for seed in (0, 1))
    first, second = (settings(pretraining_words(ground, cell)) for cell in (zero, one))
    different = {name for name in first if first[name] != second[name]}
    assert different == {
        "--out",
        "--seed_everything",
        "--data.seed",
        "--model.seed",
        "--model.model.init_args.seed",
    }


def test_the_table_comes_first_and_few_captions_are_cells_of_their_own(tmp_path: Path) -> None:
    cells = planned(["asr", "none"], [0, 1], [10], FULL_RECIPE.regime)
    assert [(cell.seed, cell.regime) for cell in cells[:4]] == [(0, "asr"), (0, "none"), (1, "asr"), (1, "none")]
    assert [cell.captions for cell in cells] == [None] * 4 + [10] * 4
    shop = Workshop(root=tmp_path, main=main)
    ground, first = toy_ground(shop, FULL_RECIPE, regimes=ROWS)
    names = [stage.name for stage in cell_stages(shop, ground, cells)]
    assert len(names) == len(set(names))
    assert "cells/trained-asr-s0" not in names  # the zoo's own
    assert {"cells/trained-asr-s1", "cells/trained-none-s0", "cells/tuned-asr-n10-s0"} <= set(names)
    assert names.count("cells/captions-n10-s0") == 1  # all regimes learn from the same captions
    hashes_of([*first, *cell_stages(shop, ground, cells)])  # every stage that another needs comes before it


def test_another_fine_tuning_leaves_the_pre_training_as_it_is(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    ground, first = toy_ground(shop, FULL_RECIPE, regimes=())
    cell = Cell(regime="mixed", seed=1, plan=FULL_RECIPE.regime)
    patient = replace(cell, plan=replace(FULL_RECIPE.regime, tuning_patience=FULL_RECIPE.regime.tuning_epochs))
    one, other = (hashes_of([*first, *cell_stages(shop, ground, [each])]) for each in (cell, patient))
    assert {name for name in one if one[name] != other[name]} == {"cells/tuned-mixed-s1", "cells/measured-mixed-s1"}


def test_no_arm_of_an_ablation_is_stopped_before_its_schedule_ends() -> None:
    for plan in (FULL_RECIPE.regime, SMOKE_RECIPE.regime):
        assert short(plan).tuning_patience == short(plan).tuning_epochs < plan.tuning_epochs


def test_every_ablation_has_arms_of_its_own_and_all_their_stages(tmp_path: Path) -> None:
    for name in ABLATIONS:
        shop = Workshop(root=tmp_path, main=main)
        bench, arms = ablation_bench(name, shop, SMOKE_RECIPE, short(SMOKE_RECIPE.regime), seeds=(0, 1))
        assert len(arms) > 1
        assert len({arm.name for arm, _ in arms}) == len(arms)
        assert len({cell.name for cell in bench.cells}) == 2 * len(arms)
        hashes_of(bench.stages)


def test_arms_of_a_crop_share_their_pre_training(tmp_path: Path) -> None:
    bench, arms = ablation_bench(
        "crop", Workshop(root=tmp_path, main=main), FULL_RECIPE, short(FULL_RECIPE.regime), seeds=(0,)
    )
    assert len(arms) == 4
    assert len([stage for stage in bench.stages if stage.name.startswith("cells/trained-")]) == 2


def test_arms_of_the_attention_differ_in_nothing_else_and_learn_from_every_patch(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    bench, arms = ablation_bench("attention", shop, FULL_RECIPE, short(FULL_RECIPE.regime), seeds=(0,))
    assert [arm.settings["attention"] for arm, _ in arms] == ["separable", "full", "resampler"]
    words = [settings(pretraining_words(bench.ground, cell)) for cell in bench.cells]
    differ = {name for name in words[0] if len({each[name] for each in words}) > 1}
    assert differ == {"--model.model.init_args.attention", "--out"}
    assert words[0]["--data.images"] == "cells/memories-stills-patches/store"
    assert words[0]["--data.videos"] == "cells/memories-patches/store"
    assert {(cell.memories, cell.views) for cell in bench.cells} == {
        ("cells/memories-msrvtt-patches", "cells/views-patches")
    }


def test_the_command_line_offers_the_ablations_that_there_are() -> None:
    """It names them without importing torch."""
    assert set(cli.ABLATIONS) == {*ABLATIONS, MINING}
    assert cli.ROWS == ROWS


def test_the_time_left_is_that_of_equal_stages_then_of_the_same_part(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    assert time_left(shop, ["cells/tuned-asr-s1"]) == "time left not known yet"
    for name, seconds in (("tuned-asr", 600), ("tuned-mixed", 1200), ("cells/trained-asr-s1", 60)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "done.json").write_text(json.dumps({"seconds": seconds}))
    assert time_left(shop, ["cells/tuned-asr-s1"]) == "about 0 h 10 min left"
    assert time_left(shop, ["cells/tuned-none-s1", "cells/tuned-mixed-s2"]) == "about 0 h 35 min left"
    assert time_left(shop, ["cells/tuned-asr-s1", "yardsticks"]).endswith("and 1 of unknown length")
