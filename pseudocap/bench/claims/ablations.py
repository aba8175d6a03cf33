"""Declare the papers' side findings as grids of settings: `pseudocap bench ablation NAME`.

Each ablation declares its arms: what the table names, and the words for `pseudocap train` and
`pseudocap finetune`. Arms run as cells of the benchmark's workshop, at half the zoo's length, with the same seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import Cell, Ground
from pseudocap.bench.claims.regimes import Bench
from pseudocap.bench.claims.toy import toy_ground
from pseudocap.errors import ConfigError, nearest
from pseudocap.evaluate.views import write_views
from pseudocap.model.config import FULL, RESAMPLER, SEPARABLE
from pseudocap.model.encoders.load import load_encoder
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.regimes.table import MIXED, UNTRAINED
from pseudocap.stages import Stage, Workshop
from pseudocap.types import Progress
from pseudocap.zoo.build import SOURCES
from pseudocap.zoo.recipe import ZooRecipe

CODE = 1
ADAPTERS = "--model.model.init_args."
PATCHES = "patches"  # in a stage's name: what it encodes keeps every patch


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """Hold one setting of the grid. `pretrained` names what the pre-training has alone, where several arms share it."""

    settings: Mapping[str, str | int | float]
    training: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()
    regime: str = MIXED
    steps: float = 1.0  # times the ablation's length
    pretrained: str | None = None
    size: int | None = None  # pixels of pre-training and of fine-tuning; None is the encoder's own
    tuning_size: int | None = None
    patches: bool = False  # whether all that it learns from keeps every patch
    processes: int = 1

    @property
    def name(self) -> str:
        return "-".join(f"{key}{value}".replace(" ", "").replace(".", "_") for key, value in self.settings.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """Hold a question of the papers. `arms` gets the ablation's plan and the encoder's own size of a picture."""

    question: str
    claimed: str
    arms: Callable[[TrainingPlan, int], Sequence[Arm]]
    note: str = ""


def _crop(plan: TrainingPlan, size: int) -> list[Arm]:
    """List the encoder's own size, and half as large again; toy films are drawn at the first, so the second adds
    patches and no detail."""
    return [
        Arm(
            settings={"pre-train": before, "fine-tune": after},
            training=(f"{ADAPTERS}size", str(before)),
            tuning=("--size", str(after)),
            pretrained=f"crop{before}",
            size=before,
            tuning_size=after,
        )
        for before in (size, size * 3 // 2)
        for after in (size, size * 3 // 2)
    ]


def _mixture(plan: TrainingPlan, size: int) -> list[Arm]:
    def arm(video: float, ranks: int, together: bool = False) -> Arm:
        words = ["--data.probabilities", f"{{image: {1 - video:g}, video: {video:g}}}"]
        if ranks > 1:
            words += ["--data.synchronised", str(together).lower()]
            words += ["--data.batch_size", str(max(1, plan.batch // ranks))]
        draws = "synchronised" if together else "its own"
        return Arm(
            settings={"p of video": video, "ranks": ranks, "draws": draws}, training=tuple(words), processes=ranks
        )

    alone = [arm(video, 1) for video in (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)]
    return [*alone, *(arm(video, 2, together) for video in (0.05, 0.5) for together in (False, True))]


def _losses(plan: TrainingPlan, size: int) -> list[Arm]:
    """Vary the losses. In a short run the denoising's weight must rise sooner than in the default's 500 steps."""
    denoising = f"{{warmup: {plan.steps // 4}, delta: {4 / plan.steps:.4g}}}"
    return [
        Arm(
            settings={"denoising": "on" if noisy else "off", "gate entropy": entropy},
            training=(
                *(f"{ADAPTERS}fusion", "convex", "--model.objective.gate_entropy", str(entropy)),
                *(("--model.objective.denoising", denoising) if noisy else ()),
            ),
        )
        for noisy in (False, True)
        for entropy in (0.0, 0.01)
    ]


ABLATIONS = {
    "gate-init": Ablation(
        question="Should gates start closed (0) or open (tanh 1)?",
        claimed="without pre-training closed gates end 20.8 CIDEr behind, open ones 5.3",
        arms=lambda plan, size: [
            Arm(
                settings={"gate init": init, "pre-trained": "yes" if regime == MIXED else "no"},
                training=(f"{ADAPTERS}gate_init", str(init)),
                regime=regime,
            )
            for regime in (UNTRAINED, MIXED)
            for init in (0.0, 1.0)
        ],
    ),
    "gate-kind": Ablation(
        question="One gate for an adapter, or one for each dimension, as the learning rate rises?",
        claimed="scalar gates diverge above 1e-3, vector gates learn up to 7e-3",
        arms=lambda plan, size: [
            Arm(
                settings={"gate": gate, "lr": lr},
                training=(f"{ADAPTERS}gate", gate, "--model.optimisation.lr", str(lr)),
            )
            for gate in ("scalar", "vector")
            for lr in (1e-3, 2e-3, 4e-3, 7e-3)
        ],
        note="A run has diverged where its loss was no number or above 100 (StopOnBadLoss).",
    ),
    "beta2": Ablation(
        question="How long should the optimiser remember the size of gradients?",
        claimed="0.95 is steadier early; past 10,000 steps 0.999 generalises better",
        arms=lambda plan, size: [
            Arm(
                settings={"beta2": beta2, "steps": round(plan.steps * times)},
                training=("--model.optimisation.beta2", str(beta2)),
                steps=times,
            )
            for times in (0.5, 4.0)
            for beta2 in (0.95, 0.999)
        ],
    ),
    "crop": Ablation(
        question="Pre-train small and fine-tune larger?",
        claimed="224 pixels, then 320 to 380, is better than 320 throughout",
        arms=_crop,
        note="Toy films are drawn at the smaller size: the larger one gives more patches and no detail.",
    ),
    "attention": Ablation(
        question="Pool before attending, or look at every patch of every frame, or at a resampler's latents?",
        claimed="the separable attention is the cheap one; no scores of the other two are known to us",
        # All learn from the same files, of all patches; separable attention does not read those.
        arms=lambda plan, size: [
            Arm(settings={"attention": attention}, training=(f"{ADAPTERS}attention", attention), patches=True)
            for attention in (SEPARABLE, FULL, RESAMPLER)
        ],
        note="The adapters have equally many weights but for a LayerNorm; the resampler's own come on top.",
    ),
    "fusion": Ablation(
        question="FrozenCaptioner's residual or PseudoCap-Vid's convex fusion?",
        claimed="PseudoCap-Vid states 66.7 CIDEr on MSR-VTT where FrozenCaptioner states 54.6, all changes together",
        arms=lambda plan, size: [
            Arm(settings={"fusion": fusion}, training=(f"{ADAPTERS}fusion", fusion))
            for fusion in ("residual", "convex")
        ],
    ),
    "mixture": Ablation(
        question="How much video in the mixture, and should ranks draw together?",
        claimed="p of video 0.05; draws that are synchronised across ranks are very unstable",
        arms=_mixture,
        note="Two ranks share the batch of one; they need a machine where two processes can train side by side.",
    ),
    "losses": Ablation(
        question="Do denoising consistency and gate entropy help?",
        claimed="PseudoCap-Vid adds both to its loss; neither is reported alone",
        arms=_losses,
        note="Convex fusion throughout; both losses are pre-training's, fine-tuning has the caption loss alone.",
    ),
}


def find_ablation(name: str) -> Ablation:
    if name not in ABLATIONS:
        raise ConfigError(f"there is no ablation {name!r}{nearest(name, ABLATIONS)}; there are {', '.join(ABLATIONS)}")
    return ABLATIONS[name]


def short(plan: TrainingPlan, steps: int | None = None) -> TrainingPlan:
    """Return half the zoo's length, in pre-training and in fine-tuning. No early stop: it would cut off the end of the
    schedule, where most is learned, of some arms and not of others. The best epoch is kept all the same."""
    epochs = max(1, plan.tuning_epochs // 2)
    return replace(plan, steps=steps or max(2, plan.steps // 2), tuning_epochs=epochs, tuning_patience=epochs)


def ablation_bench(
    name: str, shop: Workshop, recipe: ZooRecipe, plan: TrainingPlan, *, seeds: Sequence[int], workers: int = 2
) -> tuple[Bench, list[tuple[Arm, list[Cell]]]]:
    """Plan an ablation on the regimes' ground; the zoo's own captioners are not taken, being of another length."""
    ground, made_first = toy_ground(shop, recipe, regimes=(), workers=workers)
    size = recipe.size
    arms = [
        (arm, [_cell(name, arm, plan, size, seed) for seed in seeds]) for arm in find_ablation(name).arms(plan, size)
    ]
    cells = [cell for _, each in arms for cell in each]
    encoded = encoded_stages(shop, ground, cells, workers=workers)
    bench = Bench(
        shop=shop, ground=ground, made_first=[*made_first, *encoded], cells=cells, corpus="toy-msrvtt", duplicates=None
    )
    return bench, arms


def _cell(name: str, arm: Arm, plan: TrainingPlan, size: int, seed: int) -> Cell:
    before, after = (_encoded_as(arm, pixels or size, size) for pixels in (arm.size, arm.tuning_size))
    stills, clips, films, views = "memories-stills", "memories", "memories-msrvtt", "views"
    training = arm.training
    needs = (_encoded(stills, before), _encoded(clips, before)) if before else ()
    if needs:
        training += ("--data.images", f"{needs[0]}/store", "--data.videos", f"{needs[1]}/store")
    return Cell(
        regime=arm.regime,
        seed=seed,
        plan=replace(plan, steps=max(1, round(plan.steps * arm.steps))),
        variant=f"{arm.pretrained}+{arm.name}" if arm.pretrained else f"{name}-{arm.name}",
        training=training,
        tuning=arm.tuning,
        memories=_encoded(films, after) if after else None,
        views=_encoded(views, after) if after else None,
        needs=needs,
        processes=arm.processes,
        may_diverge=True,
    )


def _encoded_as(arm: Arm, pixels: int, size: int) -> str | None:
    """Return how its pictures are encoded otherwise than the zoo encodes them: `96px`, or with every patch."""
    assert not (arm.patches and pixels != size), "one or the other"
    return PATCHES if arm.patches else f"{pixels}px" if pixels != size else None


def _encoded(stage: str, how: str) -> str:
    return f"cells/{stage}-{how}"


def encoded_stages(shop: Workshop, ground: Ground, cells: Iterable[Cell], *, workers: int) -> list[Stage]:
    """List the stages of cells whose pictures are encoded otherwise: the same sources, larger or with every patch."""
    wanted = {stage for cell in cells for stage in (*cell.needs, cell.memories, cell.views) if stage is not None}
    sources = SOURCES | {"views": ("world", ())}

    def stage(name: str) -> Stage:
        kind, _, how = name.removeprefix("cells/").rpartition("-")
        need, source = sources[kind]
        pixels = None if how == PATCHES else how.removesuffix("px")

        def make(folder: Path, report: Progress) -> Mapping[str, Any]:
            if kind == "views":
                encoder = load_encoder(shop.root / ground.encoder)
                preprocess = replace(encoder.preprocess, size=int(pixels or encoder.preprocess.size))
                encode = partial(encoder.encode, patches=how == PATCHES)
                return write_views(folder, [film.path for film in ground.films()], preprocess, encode)
            words = ("encode", *source, "--encoder", ground.encoder)
            words += ("--patches",) if pixels is None else ("--size", pixels)
            shop.verb(*words, "--out", f"{name}/store", "--workers", str(workers))
            return {}

        differs = {"patches": True} if pixels is None else {"size": pixels}
        settings = {"code": CODE, "source": source} | differs
        return Stage(name=name, settings=settings, make=make, needs=(need, "watcher"))

    return [stage(name) for name in sorted(wanted)]
