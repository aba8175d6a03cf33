"""`pseudocap bench mined` and `bench ablation mining`: equal budgets, paired claims, and both from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pseudocap.bench.claims.mined import ARMS, RUNS, MinedBench, mined_bench
from pseudocap.bench.claims.mined_report import AFTER, BEFORE, search_claims
from pseudocap.bench.claims.mining_ablation import mining_ablation
from pseudocap.bench.claims.mining_ground import MINED_RECIPE, MINED_SMOKE_RECIPE, draw_labels
from pseudocap.cli.main import main
from pseudocap.label.schema import read_labels
from pseudocap.stages import Workshop
from pseudocap.types import Clip, Pseudolabel
from pseudocap.zoo.recipe import FULL_RECIPE


@pytest.fixture
def bench(tmp_path: Path) -> MinedBench:
    shop = Workshop(root=tmp_path, main=lambda words: 0)
    return mined_bench(shop, FULL_RECIPE, MINED_RECIPE, seeds=range(2))


def test_every_seed_is_complete_before_the_next_begins(bench: MinedBench) -> None:
    names = [stage.name for stage in bench.stages]
    assert len(names) == len(set(names))
    of_seed = [int(name[-1]) for name in names if name.startswith("cells/")]
    assert of_seed == sorted(of_seed)
    assert set(of_seed) == {0, 1}
    last = {arm: names.index(bench.of[arm, 0][1][-1].name) for arm in ARMS}
    assert max(last.values()) < names.index(next(name for name in names if name.endswith("-s1")))


def test_all_arms_learn_equally_long_by_their_own_memories(bench: MinedBench) -> None:
    cells = [cell for cell, _ in bench.of.values()]
    assert len({cell.plan for cell in cells}) == 1
    stores = {arm: bench.of[arm, 0][0].training[-1:] for arm in ARMS}
    assert len(set(stores.values())) == len(ARMS)
    steps = [words[words.index("--trainer.max_steps") + 1] for words in _search_words(bench)]
    assert set(steps) == {str(MINED_RECIPE.search_steps)}
    assert len(steps) == 2 * (len(ARMS) - 1)  # `none` is not trained


def _search_words(bench: MinedBench) -> list[list[str]]:
    trained = [searches[0].settings for _, searches in bench.of.values()]
    return [list(settings["words"]) for settings in trained if "words" in settings]


def test_labels_are_drawn_equally_often_and_the_same_again(tmp_path: Path) -> None:
    labels = [_label(number) for number in range(9)]
    drawn = draw_labels(labels, 4, tmp_path / "some", seed=0)
    assert len(drawn) == 4
    assert drawn == draw_labels(labels, 4, tmp_path / "again", seed=0) != draw_labels(labels, 4, tmp_path / "b", seed=1)
    assert [label.caption for label in read_labels(tmp_path / "some")] == [label.caption for label in drawn]
    assert draw_labels(labels, 99, tmp_path / "all", seed=0) == labels


def _label(number: int) -> Pseudolabel:
    clip = Clip(source="/films/a.mp4", start=float(number), end=number + 1.0)
    more: dict[str, Any] = {"log_probs": (), "confidence": None, "frame_times": (), "revision": None}
    return Pseudolabel(clip=clip, captions=(f"number {number}",), teacher="a test", settings="{}", seed=0, **more)


def test_a_claim_about_search_must_hold_over_seeds_and_over_films() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (3, 200))
    better = dict.fromkeys(ARMS, 10.0) | {"mined": 20.0, "pseudolabels": 30.0, "stills": 19.9}
    recalled = {
        (arm, seed): {when: list(better[arm] + noise[seed] * (arm == "mined")) for when in (BEFORE, AFTER)}
        for arm in ARMS
        for seed in range(3)
    }
    found = {each["difference"].split()[2].rstrip(","): each for each in search_claims(recalled, [0, 1, 2])}
    assert {arm: found[arm]["verdict"] for arm in ("asr", "pseudolabels", "stills", "none")} == {
        "asr": "holds",
        "pseudolabels": "does not hold: the reverse does",
        "stills": "not decided",
        "none": "holds",
    }
    low, high = found["asr"]["interval over films"]
    assert low < 10 < high
    assert high - low == pytest.approx(2 * 1.96 * noise.mean(axis=0).std() / np.sqrt(200), rel=0.2)


def test_the_ablation_has_each_threshold_and_each_span_once() -> None:
    arms = mining_ablation(MINED_RECIPE).arms(MINED_RECIPE.plan, 64)
    settings = [tuple(arm.settings.values()) for arm in arms]
    assert len(set(settings)) == len(settings) == len(MINED_RECIPE.thresholds) + len(MINED_RECIPE.spans)
    assert (0.95, 10) in settings  # that of `bench mined`
    assert len({arm.name for arm in arms}) == len(arms)


@pytest.mark.slow
def test_both_run_from_what_the_package_ships_and_share_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "mined", "--smoke", "--seeds", "1", "--workers", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["examples"]["each"] == MINED_SMOKE_RECIPE.examples
    assert set(result["examples"]["arms"]) == {*RUNS, "stills"}
    assert list(result["arms"]) == list(ARMS)
    assert len(result["claims"]) == 2 * 2 * (len(ARMS) - 1)
    assert str(tmp_path) not in json.dumps(result)
    table = (tmp_path / "build/bench/mined-smoke/table.md").read_text()
    assert "| mined captions teach more than transcripts | retriever | zero-shot |" in table
    made = {path: path.stat().st_mtime_ns for path in Path("build/mined-smoke").glob("*/done.json")}
    assert main(["bench", "ablation", "mining", "--smoke", "--workers", "1", "--json"]) == 0
    ablation = json.loads(capsys.readouterr().out)
    assert [arm["settings"]["threshold"] for arm in ablation["arms"]] == [0.7, 0.8]
    assert all(arm["beside"]["pairs"] > 0 for arm in ablation["arms"])
    assert "| threshold | span | pairs | clips |" in (tmp_path / "build/bench/mining-smoke/table.md").read_text()
    assert {path: path.stat().st_mtime_ns for path in made} == made  # nothing is made twice
