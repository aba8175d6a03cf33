"""Write films, their captions and where each word looked as one HTML file that needs nothing beside itself.

The captions, their truth, the gates and the timings stand in the page as text; page.html's script draws the attention
over the frames. All of it (films, frames, weights) is inside the file, and its policy forbids the browser to fetch
anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.explain.explanation import Explanation
from pseudocap.explain.gates import Gate, count_gates
from pseudocap.explain.target import check_target
from pseudocap.files.atomic import write_text
from pseudocap.files.palette import PALETTE
from pseudocap.video.picture import jpeg
from pseudocap.video.playable import Playable

TEMPLATE = Path(__file__).with_name("page.html")
SCALE = 10_000  # weights travel as whole numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmCaption:
    """Hold a captioner's explained caption of a film, the seconds that it took, a verdict (or nothing), and whether the
    captioner is a toy."""

    captioner: str
    explanation: Explanation
    seconds: float
    verdict: str = ""
    toy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFilm:
    """Hold a film, what is known of it, and its captions."""

    title: str
    media: Playable
    truth: str
    references: tuple[str, ...]
    captions: tuple[FilmCaption, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageCaptioner:
    """Hold a captioner of the page, with the seconds that loading it took."""

    name: str
    gates: tuple[Gate, ...]
    seconds: float


def gates_of(explanation: Explanation) -> tuple[Gate, ...]:
    """Return the gates that an explanation carries, as a checkpoint's file would give them."""
    return tuple(
        Gate(layer=layer, name=name, values=values[index])
        for index, layer in enumerate(explanation.layers)
        for name, values in explanation.gates.items()
    )


def write_page(
    path: Path, films: Sequence[PageFilm], captioners: Sequence[PageCaptioner], *, title: str, note: str
) -> None:
    """Write the page, all of it or nothing."""
    check_target(path)
    template = TEMPLATE.read_text(encoding="utf-8").replace("/*PALETTE*/\n", PALETTE, 1)
    head, _, rest = template.partition("<!--BODY-->")
    middle, _, tail = rest.partition("/*DATA*/")
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            *(f"<p class=note>{escape(paragraph)}</p>" for paragraph in note.split("\n\n")),
            *(_film(number, film) for number, film in enumerate(films)),
            _gates(captioners),
            _timings(films, captioners),
        )
    )
    data = json.dumps([_data(film) for film in films], separators=(",", ":")).replace("<", "\\u003c")
    write_text(path, "".join((head, body, middle, data, tail)))


def _film(number: int, film: PageFilm) -> str:
    source = f"data:{film.media.media_type};base64,{base64.b64encode(film.media.data).decode()}"
    if film.media.media_type.startswith("image/"):
        player = f"<img class=film alt='' src='{source}'>"
    else:
        player = f"<video class=film controls loop muted autoplay playsinline src='{source}'></video>"
    truth = f"<p class=truth><small>what the film shows</small><br>{escape(film.truth)}</p>" if film.truth else ""
    if film.references:
        people = "".join(f"<li>{escape(each)}</li>" for each in film.references)
        truth += f"<details><summary>reference captions</summary><ul>{people}</ul></details>"
    note = f"<p class=note>{escape(film.note)}</p>" if film.note else ""
    rows = "".join(
        f"<tr><th><button class=captioner aria-pressed=false>{escape(each.captioner)}</button>"
        f"{'<small class=toy>toy</small>' if each.toy else ''}</th>"
        f"<td class=caption>{escape(each.explanation.caption) or '<i>(empty)</i>'}"
        f"{f'<small class=verdict>{escape(each.verdict)}</small>' if each.verdict else ''}</td></tr>"
        for each in film.captions
    )
    return (
        f"<section data-film={number}><h2>{escape(film.title)}</h2>{note}<div class=pair><div>{player}{truth}</div>"
        f"<table class=captions>{rows}</table></div><div class=looking></div></section>"
    )


def _gates(captioners: Sequence[PageCaptioner]) -> str:
    if not captioners:
        return ""
    parts = [
        "<h2>For developers: gates of the adapters</h2><p class=note>A gate scales what an adapter adds to the "
        "language model: at 0 nothing. Each row is a histogram of a gate's learned values; the line is their mean.</p>"
    ]
    # Over the same bins for all, so that captioners can be compared.
    together = count_gates([gate for captioner in captioners for gate in captioner.gates])
    low, high = together.edges[[0, -1]]
    counted = iter(together.counts)
    for captioner in captioners:
        rows = ""
        for gate in captioner.gates:
            mean = float(gate.values.mean())
            rows += (
                f"<tr><td>before layer {gate.layer}</td><td>{escape(gate.name)}</td><td class=n>{mean:.3f}</td>"
                f"<td>{_histogram(next(counted), (mean - low) / (high - low))}</td></tr>"
            )
        heads = f"<tr><th>adapter</th><th>gate</th><th class=n>mean</th><th>{low:.2f} to {high:.2f}</th></tr>"
        parts.append(f"<h3>{escape(captioner.name)}</h3><table>{heads}{rows}</table>")
    return f"<section>{''.join(parts)}</section>"


def _histogram(counts: np.ndarray, mean: float) -> str:
    fullest = max(int(counts.max()), 1)
    bars = "".join(
        f"<rect x={bin_} y={20 - 20 * count / fullest:.2f} width=0.9 height={20 * count / fullest:.2f} />"
        for bin_, count in enumerate(counts.tolist())
        if count
    )
    at = f"{mean * len(counts):.2f}"
    return (
        f"<svg viewBox='0 0 {len(counts)} 20' preserveAspectRatio=none aria-hidden=true>{bars}"
        f"<line x1={at} x2={at} y1=0 y2=20 /></svg>"
    )


def _timings(films: Sequence[PageFilm], captioners: Sequence[PageCaptioner]) -> str:
    """Tabulate the seconds measured in this one run."""
    heads = "".join(f"<th class=n>{escape(film.title)}</th>" for film in films)
    rows = ""
    for captioner in captioners:
        cells = ""
        for film in films:  # not every captioner captions every film
            took = [f"{each.seconds:.2f} s" for each in film.captions if each.captioner == captioner.name]
            cells += f"<td class=n>{''.join(took)}</td>"
        rows += f"<tr><td>{escape(captioner.name)}</td><td class=n>{captioner.seconds:.2f} s</td>{cells}</tr>"
    return (
        "<section><h2>Time</h2><p class=note>Seconds to load each model and to caption each file on this machine, "
        f"one after the other.</p><table><tr><th></th><th class=n>load</th>{heads}</tr>{rows}</table></section>"
    )


def _data(film: PageFilm) -> dict[str, Any]:
    """Return what the script draws. Captioners that saw the same frames share them."""
    known: dict[bytes, int] = {}
    frames: list[list[str]] = []
    captions = []
    for each in film.captions:
        explained = each.explanation
        key = explained.frames.tobytes()
        if key not in known:
            known[key] = len(frames)
            files = (base64.b64encode(jpeg(one, sharp=True)).decode() for one in explained.frames)
            frames.append([f"data:image/jpeg;base64,{file}" for file in files])
        captions.append(
            {
                "words": explained.words,
                "layers": explained.layers,
                "grid": explained.grid,
                "frames": known[key],
                "times": explained.times.round(2).tolist(),
                "time": _integers(explained.time),
                "space": _integers(explained.space),
                "sinks": _sinks(explained),
                "added": _integers(explained.added),
                "by_video": _integers(explained.by_video),
                "sound": _sound(explained),
            }
        )
    return {"frames": frames, "captions": captions, "scale": SCALE}


def _sound(explained: Explanation) -> dict[str, Any] | None:
    """Return what the script draws under the frames; None where nothing was heard."""
    strip, times, part = explained.spectrogram, explained.sound_times, explained.by_sound
    if strip is None or times is None or part is None:
        return None
    sinks = np.stack([explained.sound_sinks(layer) for layer in (None, *explained.layers)])
    picture = base64.b64encode(jpeg(np.repeat(strip[..., None], 3, axis=-1), sharp=True)).decode()
    return {
        "strip": f"data:image/jpeg;base64,{picture}",
        "times": times.round(2).tolist(),
        "shares": _integers(explained.shares["sound"]),
        "sinks": _integers(sinks),
        "by_sound": _integers(part),
    }


def _sinks(explained: Explanation) -> dict[str, Any]:
    """Return the sinks by axis: of the mean over the adapters, then of each adapter."""
    found = [explained.sinks(layer) for layer in (None, *explained.layers)]
    time, space = (np.stack(each) for each in zip(*found, strict=True))
    return {"time": _integers(time), "space": _integers(space.reshape(len(found), -1))}


def _integers(values: np.ndarray) -> Any:
    return (values.astype(np.float64) * SCALE).round().astype(int).tolist()
