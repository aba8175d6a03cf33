"""The demo: films that no captioner was trained on, captioned by several and explained, side by side.

Toy films are the first of the zoo's test split, drawn anew from their seed: nobody has chosen them for their captions.
Captioners watch them as they were trained, at 64 pixels; the page plays the same scene drawn larger.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudocap.captioner import PseudoCap
from pseudocap.explain.page import FilmCaption, PageCaptioner, PageFilm, gates_of
from pseudocap.toyworld.corpora import captions_at, film_at
from pseudocap.toyworld.film import write_film
from pseudocap.toyworld.grammar import full_truth
from pseudocap.toyworld.scenes import Shot
from pseudocap.toyworld.truth import judge
from pseudocap.types import Progress
from pseudocap.video.playable import Playable, playable
from pseudocap.zoo.recipe import FULL_RECIPE

CORPUS, SPLIT = "msrvtt", "test"
LARGE = 192  # pixels of the film on the page
REFERENCES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFilm:
    """A film to be captioned, what plays on the page, and, of a toy film, the truth."""

    title: str
    path: Path
    media: Playable
    truth: str = ""
    references: tuple[str, ...] = ()
    shots: tuple[Shot, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    films: tuple[PageFilm, ...]
    captioners: tuple[PageCaptioner, ...]


def toy_films(folder: Path, count: int) -> Iterator[DemoFilm]:
    """The first films of the test split of the zoo's world, drawn into the folder."""
    for place in range(count):
        film = film_at(CORPUS, SPLIT, place, seed=FULL_RECIPE.seed)
        watched, shown = folder / f"{CORPUS}-{SPLIT}-{place}.mp4", folder / f"{place}-large.mp4"
        write_film(watched, film, size=FULL_RECIPE.size)
        write_film(shown, film, size=LARGE)
        yield DemoFilm(
            title=f"toy film {place} of the test split",
            path=watched,
            media=playable(shown),
            truth=full_truth(film),
            references=tuple(captions_at(CORPUS, SPLIT, place, seed=FULL_RECIPE.seed, count=REFERENCES)),
            shots=film.shots,
        )


def own_film(path: Path) -> DemoFilm:
    """A video or an image of the user's. Raises DecodeError."""
    return DemoFilm(title=path.name, path=path, media=playable(path))


def demonstrate(
    films: Sequence[DemoFilm],
    names: Sequence[str],
    *,
    checkpoints: str | Path | None = None,
    device: str = "auto",
    progress: Progress = lambda done, total: None,
) -> Demonstration:
    """Load one captioner after the other; caption each film, timed, and explain the caption."""
    said: dict[str, list[FilmCaption]] = {}
    captioners = []
    for name in names:
        started = time.perf_counter()
        model = PseudoCap.from_pretrained(name, checkpoints=checkpoints, device=device)
        seconds = time.perf_counter() - started
        said[name] = []
        for film in films:
            said[name].append(_told(model, name, film))
            progress(sum(map(len, said.values())), len(names) * len(films))
        gates = gates_of(said[name][0].explanation)
        captioners.append(PageCaptioner(name=name, gates=gates, seconds=seconds))
    shown = tuple(
        PageFilm(
            title=film.title,
            media=film.media,
            truth=film.truth,
            references=film.references,
            captions=tuple(said[name][place] for name in names),
        )
        for place, film in enumerate(films)
    )
    return Demonstration(films=shown, captioners=tuple(captioners))


def _told(model: PseudoCap, name: str, film: DemoFilm) -> FilmCaption:
    started = time.perf_counter()
    caption = model.caption(film.path)
    seconds = time.perf_counter() - started
    verdict = truth_in_words(str(caption), film.shots) if film.shots else ""
    return FilmCaption(captioner=name, explanation=model.explain(film.path), seconds=seconds, verdict=verdict)


def truth_in_words(caption: str, shots: Sequence[Shot]) -> str:
    """The caption against the exact scene."""
    verdict = judge(caption, shots)
    wrong = (*verdict.wrong_things, *verdict.wrong_colours, *verdict.wrong_events, *verdict.wrong_ways)
    if wrong:
        return f"wrong: {', '.join(dict.fromkeys(wrong))}"
    return "true" if verdict.correct else "names nothing that could be true"
