"""Preview a film: write a contact sheet and a GIF of its beginning; return its scene, captions, transcript, sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pseudocap.files.atomic import unfinished
from pseudocap.toyworld.actions import events
from pseudocap.toyworld.corpora import captions_at, film_at, recipe_of, soundtrack_at, word_generator
from pseudocap.toyworld.grammar import full_truth
from pseudocap.toyworld.languages.table import language_of
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import FPS, TICKS, Film, Thing
from pseudocap.toyworld.sounds import Soundtrack
from pseudocap.toyworld.speech import segments, talk

COLUMNS, PICTURES, LARGER, EDGE = 6, 18, 2, 4
LABEL = 12
MOVING = 20 * FPS  # frames of the GIF: of a film of minutes, its beginning


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmPreview:
    """Hold the paths of a film's pictures, its scene in words, the plain truth, its captions, transcript and sounds."""

    sheet: Path
    gif: Path
    scene: tuple[str, ...]
    truth: str
    references: tuple[str, ...]
    transcript: tuple[str, ...]
    sounds: tuple[str, ...]
    languages: dict[str, tuple[str, ...]]  # the plain truth and some captions in each, by its name


def show(
    folder: Path,
    *,
    corpus: str = "msrvtt",
    split: str = "train",
    index: int = 0,
    seed: int = 0,
    size: int = 96,
    languages: Sequence[str] = (),
) -> FilmPreview:
    """Write the contact sheet and the GIF of a film into the folder."""
    spoken = {code: language_of(code) for code in languages}
    recipe = recipe_of(corpus)
    film = film_at(corpus, split, index, seed=seed)
    frames = list(render_film(film, size))
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{recipe.name}-{split}-{seed}-{index}"
    rng = word_generator(corpus, split, index, seed=seed)
    lines = segments(talk(film, rng), rng)
    preview = FilmPreview(
        sheet=folder / f"{stem}.png",
        gif=folder / f"{stem}.gif",
        scene=tuple(scene_lines(film)),
        truth=full_truth(film),
        references=tuple(captions_at(corpus, split, index, seed=seed, count=20)),
        transcript=tuple(f"{line.start:6.2f} to {line.end:6.2f}  {line.text}" for line in lines if line.text),
        sounds=tuple(sound_lines(soundtrack_at(corpus, split, index, seed=seed))),
        languages={
            each.name: (
                each.full_truth(film),
                *captions_at(corpus, split, index, seed=seed, count=5, language=code),
            )
            for code, each in spoken.items()
        },
    )
    _save(contact_sheet(frames), preview.sheet, "PNG")
    pictures = [_enlarged(frame) for frame in frames[:MOVING]]
    moving = {"append_images": pictures[1:], "duration": 1000 // FPS, "loop": 0, "optimize": False}
    _save(pictures[0], preview.gif, "GIF", save_all=True, **moving)
    return preview


def contact_sheet(frames: list[np.ndarray]) -> Image.Image:
    """Arrange pictures from the entire film in rows, each with its second."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, PICTURES).astype(int))
    side = frames[0].shape[0] * LARGER
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (side + EDGE) + EDGE, rows * (side + LABEL + EDGE) + EDGE), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for position, number in enumerate(chosen.tolist()):
        row, column = divmod(position, COLUMNS)
        left, top = EDGE + column * (side + EDGE), EDGE + row * (side + LABEL + EDGE)
        sheet.paste(_enlarged(frames[number]), (left, top + LABEL))
        draw.text((left, top), f"{number / FPS:.1f} s", fill=(220, 220, 220))
    return sheet


def scene_lines(film: Film) -> list[str]:
    """Describe the scene in lines, for people."""
    lines = []
    begin = 0.0
    for number, shot in enumerate(film.shots, start=1):
        pan = {-1: ", the camera pans left", 0: "", 1: ", the camera pans right"}[int(np.sign(shot.pan))]
        lines.append(f"shot {number}: {begin:.1f} to {begin + shot.frames / FPS:.1f} s, {shot.background}{pan}")
        lines += [f"  {index}: {_thing(thing)}" for index, thing in enumerate(shot.things)]
        for each in events(shot):
            start, end = (begin + tick / TICKS / FPS for tick in (each.start, each.end))
            patient = "" if each.patient is None else f" with {each.patient}"
            way = f", {each.direction}" if each.direction else ""
            lines.append(f"  {start:.1f} to {end:.1f} s: {each.actor} does '{each.name}'{patient}{way}")
        begin += shot.frames / FPS
    return lines


def sound_lines(track: Soundtrack) -> list[str]:
    """Describe what sounds in lines, for people."""
    if track.silent:
        return ["the film has no sound track"]
    lines = []
    for noise in track.noises:
        start, end = (tick / TICKS / FPS for tick in (noise.start, noise.end))
        whence = "" if noise.name == "music" else ", off screen" if noise.thing is None else f", by {noise.thing}"
        lines.append(f"{start:6.2f} to {end:6.2f}  {noise.name}, loudness {noise.loudness:.2f}{whence}")
    return lines or ["nothing but the hiss of a microphone"]


def _thing(thing: Thing) -> str:
    words = [thing.size, thing.material, thing.colour, thing.kind]
    turns = f", becomes {thing.becomes}" if thing.becomes else ""
    return f"{' '.join(words)} at ({thing.x:.2f}, {thing.y:.2f}){turns}"


def _enlarged(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(frame.repeat(LARGER, 0).repeat(LARGER, 1))


def _save(picture: Image.Image, path: Path, form: str, **options: Any) -> None:
    with unfinished(path) as scratch:
        picture.save(scratch, form, **options)
