"""Build the captioner of the toy world that hears, fine-tuned on films whose captions say what is heard; and compare it
with the same fine-tuning without sound, and with itself by sight alone, by sound alone, deaf and blind."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from pseudocap.captioner import PseudoCap
from pseudocap.evaluate.captioner import (
    caption_views,
    one_against_the_others,
    references_of,
    rounded,
    rounded_intervals,
)
from pseudocap.evaluate.views import without_senses
from pseudocap.files.atomic import write_text
from pseudocap.memory import GROUPS
from pseudocap.metrics.suite import score
from pseudocap.model.network import seeded
from pseudocap.regimes.checkpointing import RESULTS as RESULTS_FILE
from pseudocap.stages import Stage, Workshop, command_text, commit
from pseudocap.toyworld.corpora import film_at, soundtrack_at
from pseudocap.toyworld.sounds import Soundtrack
from pseudocap.toyworld.truth import judge
from pseudocap.toyworld.write import SOUNDS, write_split, write_world
from pseudocap.types import Progress
from pseudocap.zoo.ast import NAMES, naming_scores
from pseudocap.zoo.baselines import ToyFilm
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.search import Report
from pseudocap.zoo.ship import Backbones, row_of, save_captioner
from pseudocap.zoo.toy_hears_msrvtt import STARTED, compare_on_msrvtt, stored_memory

HEARS, SEES = "toy-hears", "sees"  # the second is the same captioner without sound
CORPUS, DATASET = "valor", "toy-valor"
WORLD, MIXED, MEMORIES = "world-valor", "world-mixed", "memories-valor"
VIDEOS, CAPTIONS = f"{WORLD}/{CORPUS}/videos", f"{WORLD}/{CORPUS}/annotations/captions.jsonl"
LEARNED = f"{MIXED}/captions.jsonl"  # of both corpora
SILENT, TESTED = f"{MIXED}/silent.jsonl", f"{MIXED}/test.jsonl"  # of the toy MSR-VTT: to learn from, and to score on
COMMAND = "pseudocap zoo build"
PROBE_STEPS, PROBE_DECAY = 200, 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class HeardFilm(ToyFilm):
    """Hold a film that has a sound track, with its scene, its sounds and its number in its split."""

    track: Soundtrack
    number: int


def stages(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List the films, their memories, the trainings of every seed, and what they caption in the test films."""
    each = ("--workers", str(workers))
    names = [f"{name}-{seed}" for name in (HEARS, SEES) for seed in recipe.hears.seeds]

    def encode(folder: Path, report: Progress) -> Report:
        networks = ("--encoder", "watcher", "--audio-encoder", "ast")
        sources = {CAPTIONS: VIDEOS, SILENT: f"{MIXED}/videos", TESTED: "world/msrvtt/videos"}
        for captions, videos in sources.items():
            shop.verb("encode", captions, "--videos", videos, *networks, "--out", f"{MEMORIES}/store", *each)
        return {"linear probe": probe_hearing(folder / "store", shop.root, recipe.seed)}

    def tune(folder: Path, report: Progress) -> Report:
        words = tuning_words(recipe, folder.name)
        shutil.rmtree(folder / "run", ignore_errors=True)  # fine-tuning does not go on; it takes minutes
        shop.verb(*words)
        return {"command": command_text(words)} | measure_hearing(folder / "run" / "best", shop.root, recipe.seed)

    return [
        world_stage(recipe, workers),
        Stage(
            name=MIXED,
            settings={"code": 1, "scale": recipe.scale, "size": recipe.size, "seed": recipe.seed},
            make=lambda folder, report: write_mixed(folder, report, recipe=recipe, workers=workers),
            needs=(WORLD, "world"),
        ),
        Stage(name=MEMORIES, settings={"code": 2}, make=encode, needs=(WORLD, MIXED, "world", "watcher", "ast")),
        *(
            Stage(
                name=name,
                settings={"code": 1, "words": tuning_words(recipe, name)},
                make=tune,
                needs=(MEMORIES, STARTED),
            )
            for name in names
        ),
        Stage(
            name=f"scores-{HEARS}",
            settings={"code": 1},
            make=lambda folder, report: compare_hearing(
                {name: shop.reports[name] for name in names}, shop.root, recipe.seed
            ),
            needs=(WORLD, *names),
        ),
        Stage(
            name=f"scores-{HEARS}-msrvtt",
            settings={"code": 1},
            make=lambda folder, report: compare_on_msrvtt(
                {name: shop.folder(f"{name}/run/best") for name in (STARTED, *names)},
                store=shop.folder(f"{MEMORIES}/store"),
                captions=shop.root / TESTED,
                root=shop.root,
                seed=recipe.seed,
            ),
            needs=(MEMORIES, STARTED, *names),
        ),
    ]


def world_stage(recipe: ZooRecipe, workers: int) -> Stage:
    """Return the stage of the films that sound."""

    def make(folder: Path, report: Progress) -> Report:
        manifest = write_world(
            folder / "files",
            scale=recipe.scale,
            corpora=(CORPUS,),
            size=recipe.size,
            seed=recipe.seed,
            workers=workers,
            progress=lambda what, done, total: report(done, total),
        )
        if not (link := folder / CORPUS).is_symlink():
            link.symlink_to(Path("files") / CORPUS, target_is_directory=True)
        return {"films": manifest["corpora"][CORPUS]["films"]}

    settings = {"sounds": SOUNDS, "code": 1, "scale": recipe.scale, "size": recipe.size, "seed": recipe.seed}
    return Stage(name=WORLD, settings=settings, make=make)


def ship_hears(shipped: Path, backbones: Backbones, *, shop: Workshop, recipe: ZooRecipe) -> dict[str, Any]:
    """Save the captioner of the first seed as it is shipped, and return its row."""
    name = f"{HEARS}-{recipe.hears.seeds[0]}"
    report = shop.reports[name]
    seen, run = report["AV"], shop.folder(f"{name}/run/best")
    known: dict[str, Any] = json.loads((run / RESULTS_FILE).read_text(encoding="utf-8"))
    results = {
        **known,
        "data": {**known["data"], "corpus": DATASET},
        "started_from": "toy-mixed",
        "split": "test",
        "scores": seen["scores"],
        "intervals": seen["intervals"],
        "videos": shop.reports[f"scores-{HEARS}"]["films"],
        "command": report["command"],
    }
    save_captioner(run, shipped / HEARS, backbones, results)
    verify = {"dataset": DATASET, "split": "test", "command": COMMAND}
    return {
        **row_of(shipped / HEARS, backbones, "mixed"),
        "config": "pseudocap/zoo/toy_hears.py",
        "scores": [{**verify, "metrics": seen["scores"]}],
        "license": "Apache-2.0",
        "made_by": {"command": COMMAND, "seed": recipe.hears.seeds[0], "commit": commit()},
    }


def tuning_words(recipe: ZooRecipe, name: str) -> tuple[str, ...]:
    """Return the arguments of `pseudocap finetune` of `toy-hears-SEED` or `sees-SEED`, which differ in sound alone."""
    plan, (kind, _, seed) = recipe.hears, name.rpartition("-")
    hearing = ("--audio-encoder", "ast", "--modality-groups", plan.groups) if kind == HEARS else ()
    return (
        *("finetune", "--from", f"{STARTED}/run/best", *hearing, "--data", LEARNED, "--videos", VIDEOS),
        *("--memories", f"{MEMORIES}/store", "--out", f"{name}/run", "--lr", str(plan.lr)),
        *("--batch-size", str(plan.batch), "--max-epochs", str(plan.epochs), "--patience", str(plan.epochs)),
        *("--seed", seed, "--workers", "0", "--json"),
    )


def heard_films(root: Path, seed: int, split: str = "test") -> list[HeardFilm]:
    """List the films of a split that have a sound track."""
    lines = (root / CAPTIONS).read_text(encoding="utf-8").splitlines()
    films = []
    for index, row in enumerate(row for row in map(json.loads, lines) if row["split"] == split):
        track = soundtrack_at(CORPUS, split, index, seed=seed)
        if track.silent:
            continue
        films.append(
            HeardFilm(
                key=row["video"].removesuffix(".mp4"),
                path=root / VIDEOS / row["video"],
                references=tuple(row["caption"]),
                shots=film_at(CORPUS, split, index, seed=seed).shots,
                track=track,
                number=index,
            )
        )
    return films


def write_mixed(folder: Path, report: Progress, *, recipe: ZooRecipe, workers: int) -> Report:
    """Write the films of the toy MSR-VTT to learn from without their sound, so that a captioner goes on to learn by
    sight captions that name no sound; and the captions of both corpora."""
    films = [
        write_split(
            folder / "videos",
            "msrvtt",
            split,
            scale=recipe.scale,
            size=recipe.size,
            seed=recipe.seed,
            workers=workers,
            sounds=0,
            progress=report,
        )
        for split in ("train", "val")
    ]
    rows = (folder.parent / "captions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    tested = [row for row in rows if json.loads(row)["split"] == "test"]
    silent = "".join(row for row in rows if row not in set(tested))
    for path, text in (
        (SILENT, silent),
        (TESTED, "".join(tested)),
        (LEARNED, (folder.parent / CAPTIONS).read_text(encoding="utf-8") + silent),
    ):
        write_text(folder.parent / path, text)
    return {"films": sum(map(len, films))}


def probe_hearing(store: Path, root: Path, seed: int) -> dict[str, float]:
    """Learn what sounds from the maximum over the moments of the training films, by logistic regression, and return how
    well that names what is heard in the test films."""
    found = {}
    for split in ("train", "test"):
        films = heard_films(root, seed, split)
        sound = stored_memory(store, root / CAPTIONS, films).axes["sound"]
        vectors = sound.vectors.masked_fill(~sound.mask[..., None], -torch.inf).amax(1)
        found[split] = vectors, torch.tensor([[name in film.track.heard for name in NAMES] for film in films])
    (seen, answers), (unseen, heard) = found["train"], found["test"]
    mean, spread = seen.mean(0), seen.std(0) + 1e-6
    with seeded(seed):
        probe = torch.nn.Linear(seen.shape[1], len(NAMES))
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=PROBE_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(probe((seen - mean) / spread), answers.float())
        total = fit + PROBE_DECAY * probe.weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    with torch.no_grad():
        logits = probe((unseen - mean) / spread)
    return {name: round(value, 4) for name, value in naming_scores(logits.numpy(), heard.numpy()).items()}


def measure_hearing(folder: Path, root: Path, seed: int) -> dict[str, Any]:
    """Caption the test films that sound by sight and hearing, by either, deaf and blind; return scores and truth."""
    films = heard_films(root, seed)
    model = PseudoCap.from_pretrained(folder, device="cpu")
    memory = stored_memory(root / MEMORIES / "store", root / CAPTIONS, films)
    if not model.config.hears:
        memory = memory.only("v")
    views = {group.upper(): memory.only(group) for group in (GROUPS if model.config.hears else ("v",))}
    views |= without_senses(memory)
    captions = caption_views(model, views, films, [*views])
    examples = {film.key: next(iter(captions.values()))[film.key] for film in films[:8]}
    return {view: measure_captions(each, films) for view, each in captions.items()} | {"examples": examples}


def measure_captions(captions: Mapping[str, str], films: Sequence[HeardFilm]) -> dict[str, Any]:
    scores = score(predictions=captions, references=references_of(films), bootstrap=1000)
    return {
        "scores": rounded(scores, 2),
        "intervals": rounded_intervals(scores, 2),
        "truth": heard_truth(captions, films),
    }


def heard_truth(captions: Mapping[str, str], films: Sequence[HeardFilm]) -> dict[str, float]:
    """Return shares, in per cent: of all captions, those that are true in all; of films where something sounds, those
    whose captions name a sound, name only what is heard, and name something wrong; and of films where something sounds
    that nobody sees, those whose captions name it."""
    verdicts = {film.key: judge(captions[film.key], film.shots, film.track.heard) for film in films}
    sounding = [film for film in films if film.track.heard]
    unseen = {film.key: names for film in films if (names := _unseen(film.track))}

    def share(of: Sequence[bool]) -> float:
        return round(100 * statistics.fmean(of), 1) if of else 0.0

    return {
        "true in all": share([verdicts[film.key].correct for film in films]),
        "names a sound": share([bool(verdicts[film.key].sounds) for film in sounding]),
        "true in what is heard": share([verdicts[film.key].sounds_right for film in sounding]),
        "names a wrong sound": share([bool(verdicts[film.key].wrong_sounds) for film in sounding]),
        "names what sounds unseen": share([_names_any(captions[key], names) for key, names in unseen.items()]),
    }


def _names_any(caption: str, sounds: Collection[str]) -> bool:
    verdict = judge(caption, (), sounds)
    return len(verdict.sounds) > len(verdict.wrong_sounds)


def _unseen(track: Soundtrack) -> frozenset[str]:
    """Return the names of sounds off screen and of music, which nothing in the picture makes."""
    made = {event.name for event in track.noises if event.thing is not None}
    return track.heard - made


def compare_hearing(reports: Mapping[str, Report], root: Path, seed: int) -> dict[str, Any]:
    """Return the means over seeds of what each captioner scores in each view, with the least and the most of CIDEr-D;
    and what people score against one another."""
    films = heard_films(root, seed)
    people = one_against_the_others({film.key: film.references for film in films})
    found: dict[str, Any] = {"films": len(films), "people": rounded(people, 2), "captioners": {}}
    for kind in dict.fromkeys(name.rpartition("-")[0] for name in reports):
        runs = [report for name, report in reports.items() if name.rpartition("-")[0] == kind]
        views = [view for view, each in runs[0].items() if isinstance(each, Mapping) and "truth" in each]
        found["captioners"][kind] = {view: _over_seeds([run[view] for run in runs]) for view in views}
    return found | {"table": list(hearing_table(found))}


def _over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cider = [run["scores"]["CIDEr-D"] for run in runs]
    truth = {name: round(statistics.fmean(run["truth"][name] for run in runs), 1) for name in runs[0]["truth"]}
    return {"CIDEr-D": round(statistics.fmean(cider), 2), "least and most": [min(cider), max(cider)], "truth": truth}


def hearing_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comparison as a Markdown table."""
    captioners: Mapping[str, Mapping[str, Any]] = found["captioners"]
    shares = next(iter(next(iter(captioners.values())).values()))["truth"]
    yield f"| captioner | is given | CIDEr-D (least to most) | {' | '.join(shares)} |"
    yield f"|---|---|---|{'---|' * len(shares)}"
    for kind, views in captioners.items():
        for view, each in views.items():
            low, high = each["least and most"]
            figures = " | ".join(f"{value:.1f} %" for value in each["truth"].values())
            yield f"| {kind} | {view} | {each['CIDEr-D']:.1f} ({low:.1f} to {high:.1f}) | {figures} |"
    yield f"| people, one against the others | | {found['people']['CIDEr-D']:.1f} |{' |' * len(shares)}"


def table(shop: Workshop) -> list[str]:
    return [*shop.reports[f"scores-{HEARS}"]["table"], "", *shop.reports[f"scores-{HEARS}-msrvtt"]["table"]]
