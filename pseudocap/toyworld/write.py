"""Write the world into a folder: films in parallel processes, then annotations, and a manifest last.

Every file appears under its name only when it is complete, so existing files are finished and are kept: the same
command resumes an interrupted run. What bounds the speed is drawing and x264, about half each (docs/experiments.md),
and the sound, most of it for AAC.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pseudocap.errors import ConfigError, DataError
from pseudocap.toyworld import formats
from pseudocap.toyworld.corpora import CORPORA, SCALES, CorpusRecipe, Scale, film_at, filmed, recipe_of, soundtrack_at
from pseudocap.toyworld.film import write_film
from pseudocap.toyworld.languages.table import language_of
from pseudocap.types import Progress, StageProgress
from pseudocap.workers import ordered

WORLD = 2  # raised whenever a seed gives another film or other words than before
SOUNDS = 1  # raised whenever it gives other sounds; a folder of before there were any goes on without
SETTINGS, MANIFEST = "toyworld.settings.json", "toyworld.json"
BATCH = 16  # films that a worker takes at a time, at most
SIZES = (32, 256)
ANNOTATIONS: dict[str, tuple[Callable[[Path, CorpusRecipe, Scale, int], None], ...]] = {
    "clips": (formats.write_clip_labels, formats.write_scenes),
    "stills": (),
    "talking": (formats.write_talking, formats.write_scenes),
    "msrvtt": (formats.write_msrvtt, formats.write_scenes),
    "msvd": (formats.write_msvd, formats.write_scenes),
    "own": (formats.write_own, formats.write_scenes),
    "valor": (formats.write_valor, formats.write_scenes),
    "qa": (formats.write_questions,),
}
IN_ANNOTATIONS = ("msrvtt", "msvd", "valor", "qa")  # corpora whose annotations have a folder of their own
CAPTIONED = ("msrvtt", "msvd", "own", "valor")  # corpora whose captions are written in other languages too
OF_SOUND = ("valor", "qa")  # corpora that are about what is heard


Target = tuple[Path, str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmJob:
    """Hold the films, or one tar of stills, that one worker makes: for each its path, and its split and index."""

    corpus: str
    targets: tuple[Target, ...]
    size: int
    seed: int
    sounds: int = SOUNDS


def write_world(
    folder: str | os.PathLike[str],
    *,
    scale: Scale = "tiny",
    corpora: Sequence[str] | None = None,
    size: int = 64,
    seed: int = 0,
    workers: int | None = None,
    languages: Sequence[str] = (),
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Write these corpora (all of them) below the folder and return the manifest, which is written last. `languages`
    are those beside English that films are captioned in.

    A script that calls this keeps its own work under `if __name__ == "__main__"`.
    """
    root = Path(folder)
    recipes = [recipe_of(name) for name in corpora or CORPORA]
    _check(scale, size, seed, workers)
    for language in languages:
        language_of(language)
    settings = {"world": WORLD, "sounds": SOUNDS, "scale": scale, "size": size, "seed": seed}
    sounds = _check_settings(root, settings, corpora or ())
    if not sounds:
        recipes = [recipe for recipe in recipes if recipe.name not in OF_SOUND]
    settings |= {"sounds": sounds}
    report = progress or (lambda what, done, total: None)
    started = time.perf_counter()
    for recipe in recipes:
        drawn = root / recipe.name if recipe.name == "stills" else root / filmed(recipe.name).name / "videos"
        films = partial(report, f"{recipe.name}: {'stills' if recipe.name == 'stills' else 'films'}")
        targets = _targets(drawn, recipe, scale, seed)
        count = workers or os.cpu_count() or 1
        _write_films(recipe.name, targets, size=size, seed=seed, sounds=sounds, workers=count, report=films)
        annotations = root / recipe.name / ("annotations" if recipe.name in IN_ANNOTATIONS else "")
        steps = ANNOTATIONS[recipe.name]
        if sounds and recipe.name != "stills" and not recipe.of:
            steps = (*steps, formats.write_sounds)
        if recipe.name in CAPTIONED:
            steps += tuple(partial(formats.write_language, language=each) for each in languages if each != "en")
        for done, write in enumerate(steps):
            report(f"{recipe.name}: annotations", done, len(steps))
            write(annotations, recipe, scale, seed)
    path = root / MANIFEST
    summaries = json.loads(path.read_text(encoding="utf-8"))["corpora"] if path.is_file() else {}  # of earlier runs
    summaries |= {recipe.name: _summary(root / recipe.name, recipe, scale) for recipe in recipes}
    manifest = settings | {"corpora": summaries}
    formats.write_rows(path, manifest)
    return manifest | {"seconds_of_work": round(time.perf_counter() - started, 1)}


def write_split(
    folder: Path,
    corpus: str,
    split: str,
    *,
    scale: Scale,
    size: int,
    seed: int,
    workers: int,
    sounds: int = SOUNDS,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the films of one split, under their names in the corpus and without annotations; return them in order.
    `sounds=0` leaves their sound out, of the same pictures."""
    _check(scale, size, seed, workers)
    targets = [target for target in _targets(folder, recipe_of(corpus), scale, seed) if target[1] == split]
    report = progress or (lambda done, total: None)
    _write_films(corpus, targets, size=size, seed=seed, sounds=sounds, workers=workers, report=report)
    return [path for path, _, _ in targets]


def _check(scale: str, size: int, seed: int, workers: int | None) -> None:
    if scale not in SCALES:
        raise ConfigError(f"scale is {scale!r} and must be one of {', '.join(SCALES)}")
    if size % 2 or not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(f"size is {size} and must be an even number of pixels from {SIZES[0]} to {SIZES[1]}")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed} and must be from 0 to 2**63")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers} and must be at least 1")


def _check_settings(root: Path, settings: dict[str, Any], corpora: Sequence[str]) -> int:
    """Check that the folder holds this world or nothing: settings are written first, and another world is refused.
    Return which sounds its films have: a folder that was begun before they had any keeps to that."""
    path = root / SETTINGS
    if root.is_file():
        raise ConfigError(f"{root} is a file; name a folder")
    if not path.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise ConfigError(f"{root} holds other things than a toy world; name a new or empty folder")
        formats.write_rows(path, settings)
        return SOUNDS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove the folder and write it again") from error
    if not (sounds := int(found.setdefault("sounds", 0))):
        for name in (name for name in OF_SOUND if name in corpora):
            raise ConfigError(
                f"{root} was begun before films had sound, which {name} is about; name a new folder for it"
            )
        settings = settings | {"sounds": sounds}
    for name, value in settings.items():
        if found.get(name) != value:
            raise ConfigError(
                f"{root} holds a world with {name} {found.get(name)!r}, and {value!r} is requested; "
                "name another folder, or request the same world again to complete it"
            )
    return sounds


def _targets(folder: Path, recipe: CorpusRecipe, scale: Scale, seed: int) -> list[Target]:
    """Make the folder, and list path, split and index of every film of a corpus; the path of a still is that of its
    tar."""
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.name == "stills":
        indices = enumerate(recipe.indices(scale))
        return [(folder / f"{number // formats.SHARD:05d}.tar", split, index) for number, (split, index) in indices]
    named = formats.films(recipe, scale, seed)
    return [(folder / f"{name}.mp4", split, index) for split, index, name, _ in named]


def _write_films(
    corpus: str, targets: Sequence[Target], *, size: int, seed: int, sounds: int, workers: int, report: Progress
) -> None:
    """Draw and write the films that do not exist yet, and report how many do."""
    missing = {path for path in {path for path, _, _ in targets} if not path.is_file()}
    wanted = [target for target in targets if target[0] in missing]
    if corpus == "stills":
        groups = [list(tar) for _, tar in groupby(wanted, key=itemgetter(0))]
    else:
        step = max(1, min(1 if corpus == "talking" else BATCH, len(wanted) // (4 * workers)))
        groups = [wanted[first : first + step] for first in range(0, len(wanted), step)]
    jobs = [FilmJob(corpus=corpus, targets=tuple(group), size=size, seed=seed, sounds=sounds) for group in groups]

    def killed(job: FilmJob) -> int:
        raise DataError(
            "a process that draws films was killed (is the memory full?); run the same command again, with fewer "
            "--workers, and it resumes where this one stopped"
        )

    processes = 0 if workers == 1 or len(jobs) < 2 else min(workers, len(jobs))
    done = len(targets) - len(wanted)
    report(done, len(targets))
    for finished in ordered(make, jobs, workers=processes, crashed=killed, ahead=4):
        done += finished
        report(done, len(targets))


def make(job: FilmJob) -> int:
    """Draw and write the films of a job; return how many."""
    if job.corpus == "stills":
        formats.write_stills(job.targets[0][0], (index for _, _, index in job.targets), size=job.size, seed=job.seed)
        return len(job.targets)
    for path, split, index in job.targets:
        if not path.is_file():
            film = film_at(job.corpus, split, index, seed=job.seed)
            track = soundtrack_at(job.corpus, split, index, seed=job.seed) if job.sounds else None
            write_film(path, film, size=job.size, track=track)
    return len(job.targets)


def _summary(folder: Path, recipe: CorpusRecipe, scale: Scale) -> dict[str, Any]:
    """Return the manifest's entry of a corpus. Only the films' bytes depend on the encoder's version."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    texts = [path for path in files if path.suffix in (".json", ".jsonl", ".txt", ".csv")]
    return {
        "about": recipe.about,
        "films": recipe.films[scale],
        "bytes": sum(path.stat().st_size for path in files),
        "sha256": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in texts
        },
    }
