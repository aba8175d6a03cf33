"""Measure VALOR's tables 8 to 12 and figure 6 on the toy world: `pseudocap bench ablation modality-groups | av-fusion |
mga-mgc | modalities`.

Each arm is a training from nothing on the toy films that sound (zoo/toy_valor.py), a stage that resumes; arms that two
tables share are trained once. Figures are of the test films by sight (V), sound (A) and both (AV), means over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pseudocap.bench.claims import report
from pseudocap.bench.claims.certainty import mean_over_seeds, verdict_of
from pseudocap.bench.machine import machine
from pseudocap.bench.tables import table
from pseudocap.model.valor_config import COARSE, CONCATENATED, EQUAL, FEATURES, FINE, FUSIONS, MLP, SCORES
from pseudocap.regimes.valor import GROUPS, ValorObjective
from pseudocap.stages import Stage, Workshop
from pseudocap.types import Progress
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.toy_hears import MEMORIES, WORLD
from pseudocap.zoo.toy_valor import ValorPlan, ground_stages, train_valor

CODE = 1  # raised when the code of an arm makes other results of the same settings
BOTH = ("T-AV",)
R1 = tuple(f"R@1 {group}" for group in GROUPS)
CIDER = ("CIDEr-D V", "CIDEr-D A", "CIDEr-D AV")


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorArm:
    """Hold one setting: what the table calls it, and what it sets of the model and the objective."""

    settings: Mapping[str, str | float]
    objective: ValorObjective
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return a name of what is trained, not of the table: arms that two tables share have one."""
        groups = [f"mga-{'+'.join(self.objective.align)}"] if self.objective.align else []
        groups += [f"mgc-{'+'.join(self.objective.describe)}"] if self.objective.describe else []
        alpha = [f"alpha{self.objective.alpha:g}"] if len(groups) == 2 else []
        own = [f"{key}_{value}" for key, value in sorted(self.model.items())]
        return "-".join((*groups, *alpha, *own)).replace(".", "_")


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorClaim:
    """Hold a statement of the paper: this figure is higher in one arm than in the other, by their `settings`; of the
    other it is `worse_figure`, where that is another."""

    text: str
    figure: str
    better: Mapping[str, str | float]
    worse: Mapping[str, str | float]
    worse_figure: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorAblation:
    question: str
    claimed: str
    arms: Sequence[ValorArm]
    claims: Sequence[ValorClaim]
    figures: Sequence[str]


def _aligned(*groups: str, **model: Any) -> ValorArm:
    return ValorArm(
        settings={"task": "MGA", "groups": " ".join(groups)},
        objective=ValorObjective(align=groups, describe=()),
        model=model,
    )


def _described(*groups: str, **model: Any) -> ValorArm:
    return ValorArm(
        settings={"task": "MGC", "groups": " ".join(groups)},
        objective=ValorObjective(align=(), describe=groups),
        model=model,
    )


def _named(arm: ValorArm, **settings: str | float) -> ValorArm:
    return replace(arm, settings=settings)


def _combined(alpha: float, *, shared: bool = True, groups: Sequence[str] = BOTH) -> ValorArm:
    return ValorArm(
        settings={"weights": "shared" if shared else "apart", "alpha": alpha},
        objective=ValorObjective(align=tuple(groups), describe=tuple(groups), alpha=alpha),
        model={} if shared else {"share_weights": False},
    )


MGA_ROWS = (("T-V",), ("T-A",), BOTH, ("T-V", "T-AV"), ("T-A", "T-AV"), GROUPS, (*GROUPS, "V-A", "A-TV", "V-TA"))
ALIGNMENTS = (
    *((COARSE, SCORES, EQUAL), (COARSE, FEATURES, EQUAL), (FINE, SCORES, EQUAL), (FINE, FEATURES, EQUAL)),
    (FINE, FEATURES, MLP),
)
_DEFAULTS = {"alignment": FINE, "joining": FEATURES, "weighting": MLP}


def _alignment(alignment: str, joining: str, weighting: str) -> ValorArm:
    chosen = {"alignment": alignment, "joining": joining, "weighting": weighting}
    own = {name: value for name, value in chosen.items() if value != _DEFAULTS[name]}
    average = "weighted" if weighting == MLP else "equal"
    settings = {"task": "MGA", "method": f"{alignment}, {joining}, {average}"}
    return _named(_aligned(*BOTH, **own), **settings)


def _fusion(fusion: str) -> ValorArm:
    own = {} if fusion == CONCATENATED else {"fusion": fusion}
    return _named(_described(*BOTH, **own), task="MGC", method=fusion)


def _groups(task: str, *groups: str) -> dict[str, str | float]:
    return {"task": task, "groups": " ".join(groups)}


VALOR_ABLATIONS = {
    "modality-groups": ValorAblation(
        question="Which groups of modalities should be learned?",
        claimed="tables 8 and 9: a group's own benchmark is best with that group, and all three groups are good at all",
        arms=[*(_aligned(*row) for row in MGA_ROWS), *(_described(*row) for row in MGA_ROWS[:-1])],
        claims=[
            ValorClaim(
                text="T-AV finds films by sight and sound better than T-V does", figure="R@1 T-AV",
                better=_groups("MGA", "T-AV"), worse=_groups("MGA", "T-V"),
            ),
            ValorClaim(
                text="beside T-AV, T-V and T-A help to find films by sight alone", figure="R@1 T-V",
                better=_groups("MGA", *GROUPS), worse=_groups("MGA", "T-AV"),
            ),
            ValorClaim(
                text="and by sound alone", figure="R@1 T-A",
                better=_groups("MGA", *GROUPS), worse=_groups("MGA", "T-AV"),
            ),
            ValorClaim(
                text="three more groups cost the main ones: T-AV", figure="R@1 T-AV",
                better=_groups("MGA", *GROUPS), worse=_groups("MGA", *MGA_ROWS[-1]),
            ),
            ValorClaim(
                text="T-AV describes by sight and sound better than T-V does", figure="CIDEr-D AV",
                better=_groups("MGC", "T-AV"), worse=_groups("MGC", "T-V"),
            ),
            ValorClaim(
                text="beside T-AV, T-V and T-A help to describe by sight alone", figure="CIDEr-D V",
                better=_groups("MGC", *GROUPS), worse=_groups("MGC", "T-AV"),
            ),
        ],
        figures=(*R1, *CIDER),
    ),
    "av-fusion": ValorAblation(
        question="How should sight and sound be joined, in the alignment and in the decoder?",
        claimed="tables 10 and 11: fine alignment of joined features with weights, and one cross-attention over both",
        arms=[*(_alignment(*each) for each in ALIGNMENTS), *map(_fusion, reversed(FUSIONS))],
        claims=[
            ValorClaim(
                text="fine alignment beats a coarse one", figure="R@1 T-AV",
                better=_alignment(FINE, FEATURES, EQUAL).settings, worse=_alignment(COARSE, FEATURES, EQUAL).settings,
            ),
            ValorClaim(
                text="weights beat equal shares", figure="R@1 T-AV",
                better=_alignment(FINE, FEATURES, MLP).settings, worse=_alignment(FINE, FEATURES, EQUAL).settings,
            ),
            *(
                ValorClaim(
                    text=f"concatenated beats {other}", figure="CIDEr-D AV",
                    better=_fusion(CONCATENATED).settings, worse=_fusion(other).settings,
                )
                for other in FUSIONS if other != CONCATENATED
            ),
        ],
        figures=("R@1 T-AV", "R@5 T-AV", "CIDEr-D AV"),
    ),
    "mga-mgc": ValorAblation(
        question="Should the text encoder and the decoder be one BERT, and how much should the alignment count?",
        claimed="table 12: sharing helps retrieval; a larger alpha raises retrieval and lowers captions",
        arms=[_combined(1, shared=False), *(_combined(alpha) for alpha in (0.5, 1, 1.5, 3))],
        claims=[
            ValorClaim(
                text="one BERT finds better than two", figure="R@1 T-AV",
                better=_combined(1).settings, worse=_combined(1, shared=False).settings,
            ),
            ValorClaim(
                text="alpha 3 finds better than 0.5", figure="R@1 T-AV",
                better=_combined(3).settings, worse=_combined(0.5).settings,
            ),
            ValorClaim(
                text="alpha 0.5 describes better than 3", figure="CIDEr-D AV",
                better=_combined(0.5).settings, worse=_combined(3).settings,
            ),
        ],
        figures=("R@1 T-AV", "R@5 T-AV", "CIDEr-D AV"),
    ),
    "modalities": ValorAblation(
        question="What is sound worth beside sight?",
        claimed="figure 6: both modalities beat either, in every task, with and without pre-training on all groups",
        arms=[
            *(_named(_combined(1.5, groups=(group,)), learned=group) for group in GROUPS),
            _named(_combined(1.5, groups=GROUPS), learned="all groups"),
        ],
        claims=[
            *(
                ValorClaim(
                    text=f"both beat {name} alone in {task}", figure=figure,
                    better={"learned": "T-AV"}, worse={"learned": learned}, worse_figure=other,
                )
                for task, figure, others in (
                    ("retrieval", "R@1 T-AV", (("R@1 T-V", "sight", "T-V"), ("R@1 T-A", "sound", "T-A"))),
                    ("captions", "CIDEr-D AV", (("CIDEr-D V", "sight", "T-V"), ("CIDEr-D A", "sound", "T-A"))),
                )
                for other, name, learned in others
            ),
        ],
        figures=(*R1, *CIDER),
    ),
}  # fmt: skip


def valor_stages(
    name: str, shop: Workshop, recipe: ZooRecipe, plan: ValorPlan, *, seeds: Sequence[int], workers: int
) -> tuple[list[Stage], dict[str, list[str]]]:
    """List the stages of an ablation, and of each arm the names of those that train it, by seed. The first seed of all
    arms comes first, so that an interrupted run has a table."""
    ground = ground_stages(shop, recipe, workers)
    arms = {arm.name: arm for arm in VALOR_ABLATIONS[name].arms}

    def stage(arm: ValorArm, seed: int) -> Stage:
        own = replace(plan, objective=arm.objective, model=arm.model)

        def make(folder: Path, progress: Progress) -> Mapping[str, Any]:
            return train_valor(folder, shop.root, own, seed=seed, world=recipe.seed, progress=progress)

        settings = {"code": CODE, "plan": asdict(own), "seed": seed}
        return Stage(name=f"valor/{arm.name}-s{seed}", settings=settings, make=make, needs=(WORLD, MEMORIES))

    trained = [stage(arm, seed) for seed in seeds for arm in arms.values()]
    names = {key: [f"valor/{key}-s{seed}" for seed in seeds] for key in arms}
    return [*ground, *trained], names


def gather_valor(
    name: str,
    reports: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, Sequence[str]],
    plan: ValorPlan,
    *,
    seeds: Sequence[int],
    command: str,
) -> dict[str, Any]:
    """Return the result: every figure of every arm by seed, its mean with an interval over seeds, and the claims."""
    ablation = VALOR_ABLATIONS[name]
    arms = []
    for arm in ablation.arms:
        figures = [reports[stage]["figures"] for stage in names[arm.name]]
        each = {key: [found[key] for found in figures] for key in ablation.figures if key in figures[0]}
        arms.append({"settings": dict(arm.settings), "figures": each})
    return {
        "ablation": name,
        "question": ablation.question,
        "claimed": ablation.claimed,
        "command": command,
        **machine(),
        "settings": {key: value for key, value in asdict(plan).items() if key not in ("objective", "model")},
        "seeds": list(seeds),
        "arms": arms,
        "claims": [
            {"text": claim.text, "figure": claim.figure, **judge_claim(claim, arms)} for claim in ablation.claims
        ],
    }


def judge_claim(claim: ValorClaim, arms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean difference over seeds, each compared with itself, its interval, and what follows."""

    def values(settings: Mapping[str, Any], figure: str) -> list[float]:
        return next(list(arm["figures"][figure]) for arm in arms if arm["settings"] == dict(settings))

    ours, theirs = values(claim.better, claim.figure), values(claim.worse, claim.worse_figure or claim.figure)
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    _, interval = mean_over_seeds(differences)
    found = None if interval is None else [round(interval.low, 2), round(interval.high, 2)]
    return {"difference": round(statistics.fmean(differences), 2), "interval": found, "verdict": verdict_of(interval)}


def write_valor(out: Path, result: Mapping[str, Any]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    return report.write_table(out, valor_table(result), result)


def valor_table(result: Mapping[str, Any]) -> list[str]:
    """Return the result as Markdown: the arms, and the claims as measured."""
    ablation = VALOR_ABLATIONS[result["ablation"]]
    columns = list(result["arms"][0]["settings"])
    figures = [key for key in ablation.figures if any(key in arm["figures"] for arm in result["arms"])]
    rows = [
        (*(arm["settings"].get(column, "") for column in columns), *(_cell(arm["figures"].get(key)) for key in figures))
        for arm in result["arms"]
    ]
    claims = [(claim["text"], claim["figure"], _difference(claim), claim["verdict"]) for claim in result["claims"]]
    seeds = ", ".join(map(str, result["seeds"]))
    settings = result["settings"]
    paragraphs = (
        f"# {result['ablation']}: {result['question']}",
        f"The paper ({result['claimed']}). Below are toy results, seeds {seeds}, {settings['steps']:,} steps of "
        f"{settings['batch']} films each, from nothing; ± is the 95 % interval over seeds (Student's t).",
        f"    {result['command']}",
        table((*columns, *figures), rows),
        table(("the paper", "figure", "difference", "here"), claims),
    )
    return report.lines_of(paragraphs)


def _cell(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    mean, interval = mean_over_seeds(values)
    return f"{mean:.1f}" if interval is None else f"{mean:.1f} ± {interval.high - mean:.1f}"


def _difference(claim: Mapping[str, Any]) -> str:
    if claim["interval"] is None:
        return f"{claim['difference']:+.1f}"
    low, high = claim["interval"]
    return f"{claim['difference']:+.1f} ({low:+.1f} to {high:+.1f})"
