"""VALOR's tables: what their arms are, and what follows from their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pseudocap.bench.claims.certainty import T
from pseudocap.bench.claims.valor import (
    VALOR_ABLATIONS,
    ValorClaim,
    gather_valor,
    judge_claim,
    valor_stages,
    valor_table,
    write_valor,
)
from pseudocap.cli import bench_regimes as cli
from pseudocap.model.config import Backbone
from pseudocap.model.valor_config import ValorConfig
from pseudocap.stages import Workshop
from pseudocap.zoo.recipe import SMOKE_RECIPE
from pseudocap.zoo.toy_valor import ValorPlan

PLAN = ValorPlan(steps=2, warmup=1)


def shop_in(folder: Path) -> Workshop:
    return Workshop(root=folder, main=lambda words: 0)


def result_of(name: str, tmp_path: Path, *, seeds: int = 3) -> dict[str, Any]:
    """A result whose figures grow with the arm's number and vary by seed."""
    stages, names = valor_stages(name, shop_in(tmp_path), SMOKE_RECIPE, PLAN, seeds=range(seeds), workers=0)
    ablation = VALOR_ABLATIONS[name]
    reports = {
        stage: {"figures": dict.fromkeys(ablation.figures, 10.0 * number + seed)}
        for number, arm in enumerate(ablation.arms)
        for seed, stage in enumerate(names[arm.name])
    }
    assert reports.keys() <= {stage.name for stage in stages}
    return gather_valor(name, reports, names, PLAN, seeds=range(seeds), command="pseudocap bench ablation")


def test_the_command_line_offers_the_tables_that_there_are() -> None:
    assert set(cli.VALOR_ABLATIONS) == set(VALOR_ABLATIONS)


@pytest.mark.parametrize("name", VALOR_ABLATIONS)
def test_every_claim_compares_two_arms_of_its_table(name: str, tmp_path: Path) -> None:
    result = result_of(name, tmp_path)
    assert len(result["claims"]) == len(VALOR_ABLATIONS[name].claims)
    assert {claim["verdict"] for claim in result["claims"]} <= {"holds", "does not hold: the reverse does"}
    lines = valor_table(result)
    assert sum(line.startswith("|") for line in lines) == 4 + len(result["arms"]) + len(result["claims"])
    assert [path.name for path in write_valor(tmp_path / "out", result)] == ["table.md", "results.json"]
    assert json.loads((tmp_path / "out" / "results.json").read_text())["arms"] == result["arms"]


def test_equal_arms_of_two_tables_are_trained_once(tmp_path: Path) -> None:
    shop = shop_in(tmp_path)
    found = {name: valor_stages(name, shop, SMOKE_RECIPE, PLAN, seeds=[0], workers=0)[0] for name in VALOR_ABLATIONS}
    every = {stage.name: stage for stages in found.values() for stage in stages}
    for stages in found.values():
        assert all(every[stage.name].settings == stage.settings for stage in stages)
    groups, fusion = ({stage.name for stage in found[name]} for name in ("modality-groups", "av-fusion"))
    assert {"valor/mga-T-AV-s0", "valor/mgc-T-AV-s0"} <= groups & fusion
    assert len({json.dumps(stage.settings, default=str) for stage in every.values()}) == len(every)


def test_a_claim_is_decided_by_the_differences_of_equal_seeds() -> None:
    claim = ValorClaim(text="", figure="R@1 T-AV", better={"alpha": 3}, worse={"alpha": 1})

    def judged(ours: list[float], theirs: list[float]) -> dict[str, Any]:
        arms = [
            {"settings": {"alpha": alpha}, "figures": {"R@1 T-AV": values}}
            for alpha, values in ((3, ours), (1, theirs))
        ]
        return judge_claim(claim, arms)

    found = judged([11, 22, 36], [10, 20, 33])
    assert found["difference"] == 2
    assert found["interval"] == [round(2 - T[1] / 3**0.5, 2), round(2 + T[1] / 3**0.5, 2)]
    assert found["verdict"] == "not decided"
    assert judged([12, 22, 35], [10, 20, 33])["verdict"] == "holds"
    assert judged([8, 18, 31.1], [10, 20, 33])["verdict"] == "does not hold: the reverse does"
    assert judged([12], [10]) == {"difference": 2, "interval": None, "verdict": "not decided"}


def test_a_claim_may_be_of_another_figure_of_the_other_arm() -> None:
    claim = ValorClaim(
        text="", figure="R@1 T-AV", better={"learned": "T-AV"}, worse={"learned": "T-V"}, worse_figure="R@1 T-V"
    )
    arms = [
        {"settings": {"learned": "T-AV"}, "figures": {"R@1 T-AV": [5.0], "R@1 T-V": [2.0]}},
        {"settings": {"learned": "T-V"}, "figures": {"R@1 T-AV": [3.0], "R@1 T-V": [1.0]}},
    ]
    assert judge_claim(claim, arms)["difference"] == 4


def test_the_arms_build_what_they_name() -> None:
    """Settings that do not fit together would be found after hours."""
    backbone = Backbone(source="here")
    for ablation in VALOR_ABLATIONS.values():
        for arm in ablation.arms:
            ValorConfig(text=backbone, bert={}, encoders={"video": backbone, "audio": backbone}, **arm.model)


@pytest.mark.slow
def test_the_command_trains_measures_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pseudocap.cli.main import main

    words = ["bench", "ablation", "modalities", "--smoke", "--steps", "1", "--workers", "1"]
    words += ["--build", str(tmp_path / "build"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert "| T-AV |" in table
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {"R@1 T-V", "CIDEr-D AV"} <= results["arms"][3]["figures"].keys()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "build").rglob("done.json")}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "build").rglob("done.json")} == done
