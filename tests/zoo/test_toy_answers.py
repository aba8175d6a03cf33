"""Check the comparison of answers: what the table has, and that the training is that of the recipe."""

from __future__ import annotations

from pseudocap.metrics.answers import summarise
from pseudocap.zoo.recipe import FULL_RECIPE, SMOKE_RECIPE
from pseudocap.zoo.toy_answers import answer_table, tuning_words


def test_each_seed_goes_on_from_the_captioner_that_hears_of_its_own() -> None:
    words = tuning_words(FULL_RECIPE, "toy-answers-2")
    options = dict(zip(words[1::2], words[2::2], strict=False))
    assert options["--from"] == "toy-hears-2/run/best"
    assert words[words.index("--seed") + 1] == "2"
    assert words[words.index("--max-epochs") + 1] == str(FULL_RECIPE.answers.epochs)
    assert set(FULL_RECIPE.answers.seeds) <= set(FULL_RECIPE.hears.seeds)
    assert set(SMOKE_RECIPE.answers.seeds) <= set(SMOKE_RECIPE.hears.seeds)


def test_the_table_has_a_row_for_each_type_and_a_column_for_each_view() -> None:
    kinds = {"a#0": "color", "a#1": "who", "b#0": "who"}
    videos = {name: name[0] for name in kinds}
    all_right = summarise(dict.fromkeys(kinds, 1.0), kinds=kinds, videos=videos, bootstrap=100)
    half = summarise({"a#0": 0.0, "a#1": 1 / 3, "b#0": 2 / 3}, kinds=kinds, videos=videos, bootstrap=100)
    lines = list(answer_table({"AV": all_right, "V": half}))
    assert lines[0] == "| questions | | AV | V |"
    assert lines[2] == "| color | 1 | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] |"
    assert lines[3].startswith("| who | 2 | 100.0 [100.0, 100.0] | 50.0 [33.3, 66.7]")
    assert lines[4].startswith("| all | 3 | 100.0")
    assert len({line.count("|") for line in lines}) == 1
