"""Caption films that no captioner was trained on by several, and explain the captions side by side: the demo.

Real pictures and video are those that are named, or that packages carry (packaged.py).
Toy films are the first of the zoo's test split, drawn anew from their seed: nobody has chosen them for their captions.
Captioners get them as they were trained, at 64 pixels; the page plays the same scene drawn larger.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudocap.captioner import PseudoCap
from pseudocap.explain.page import FilmCaption, PageCaptioner, PageFilm, gates_of
from pseudocap.hub.toys import NOTICE, is_toy
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
    """Hold a film to be captioned, what plays on the page, and, of a toy film, the truth."""

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


def joined(parts: Sequence[Demonstration]) -> Demonstration:
    """Return one demonstration of the films and captioners of all."""
    return Demonstration(
        films=tuple(film for part in parts for film in part.films),
        captioners=tuple(captioner for part in parts for captioner in part.captioners),
    )


def toy_films(folder: Path, count: int) -> Iterator[DemoFilm]:
    """Draw the first films of the test split of the zoo's world into the folder."""
    for index in range(count):
        film = film_at(CORPUS, SPLIT, index, seed=FULL_RECIPE.seed)
        small, large = folder / f"{CORPUS}-{SPLIT}-{index}.mp4", folder / f"{index}-large.mp4"
        write_film(small, film, size=FULL_RECIPE.size)
        write_film(large, film, size=LARGE)
        yield DemoFilm(
            title=f"toy film {index} of the test split",
            path=small,
            media=playable(large),
            truth=full_truth(film),
            references=tuple(captions_at(CORPUS, SPLIT, index, seed=FULL_RECIPE.seed, count=REFERENCES)),
            shots=film.shots,
        )


def own_film(path: Path) -> DemoFilm:
    """Take a video or an image of the user's. Raises DecodeError."""
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
    captions: dict[str, list[FilmCaption]] = {}
    captioners: list[PageCaptioner] = []
    for name in names:
        started = time.perf_counter()
        model = PseudoCap.from_pretrained(name, checkpoints=checkpoints, device=device)
        seconds = time.perf_counter() - started
        captions[name] = []
        for film in films:
            captions[name].append(_captioned(model, name, film))
            progress(sum(map(len, captions.values())), len(names) * len(films))
        gates = gates_of(captions[name][0].explanation)
        captioners.append(PageCaptioner(name=name, gates=gates, seconds=seconds))
    toys = any(each.toy for each in itertools.chain(*captions.values()))
    note = f"Each captioner marked as a toy {NOTICE}." if toys else ""
    displayed = tuple(
        PageFilm(
            title=film.title,
            media=film.media,
            truth=film.truth,
            references=film.references,
            captions=tuple(captions[name][index] for name in names),
            note=note,
        )
        for index, film in enumerate(films)
    )
    return Demonstration(films=displayed, captioners=tuple(captioners))


def _captioned(model: PseudoCap, name: str, film: DemoFilm) -> FilmCaption:
    started = time.perf_counter()
    caption = model.caption(film.path)
    seconds = time.perf_counter() - started
    verdict = truth_in_words(str(caption), film.shots) if film.shots else ""
    return FilmCaption(
        captioner=name, explanation=model.explain(film.path), seconds=seconds, verdict=verdict, toy=is_toy(model.config)
    )


def truth_in_words(caption: str, shots: Sequence[Shot]) -> str:
    """Compare the caption with the exact scene."""
    verdict = judge(caption, shots)
    wrong = (*verdict.wrong_things, *verdict.wrong_colours, *verdict.wrong_events, *verdict.wrong_ways)
    if wrong:
        return f"wrong: {', '.join(dict.fromkeys(wrong))}"
    return "true" if verdict.correct else "names nothing that could be true"
