"""Write the report of a run as one self-contained page: figures, curves, clips with captions, what to do next."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from pseudocap.data.corpora.own import read_own
from pseudocap.errors import DecodeError
from pseudocap.files.atomic import write_text
from pseudocap.label.audit.report_page import STYLE
from pseudocap.label.pages.media import centre_jpeg
from pseudocap.learn.measure import AFTER, BEFORE, Change, Measurements
from pseudocap.learn.plan import (
    CAPTIONER,
    CAPTIONS,
    HELD_OUT,
    LABELS,
    LEARNED,
    REFERENCES,
    TRAIN,
    LearnPlan,
    describe,
)
from pseudocap.metrics.suite import Scores
from pseudocap.regimes.finetune_report import CIDER, ValidationResult, draw_curves, read_metric
from pseudocap.stages import Workshop
from pseudocap.types import CaptionedVideo

CLIPS = 24  # of a sheet
FRAMES = (1 / 6, 1 / 2, 5 / 6)  # of a clip's length
HEIGHT = 110  # pixels of a frame
CERTAIN = 0.05  # p of a change that is not put down to chance; of a few videos an interval looks surer than it is
RELIABLE = 30  # videos below which an interval is too wide to decide by
OWN_STYLE = """
.film { display: flex; gap: 2px; } .film img { height: 7rem; width: auto; flex: 1 1 0; min-width: 0; object-fit: cover;
  border-radius: 0; background: none; } article { grid-template-columns: 26rem 1fr; }
article b { font-weight: 600; } .curves { width: 100%; background: #fff; border-radius: 0.7rem; }
li { margin: 0.3rem 0; } code { font-size: 0.92em; }
@media (max-width: 60rem) { article { grid-template-columns: 1fr; } }
"""


def write_page(path: Path, shop: Workshop, plan: LearnPlan, measured: Measurements) -> None:
    counts = shop.reports[CAPTIONS]
    rows = {name: _rows_of(shop, name) for name in measured.references}
    parts = [
        f"<h1>What {escape(Path(plan.start).name)} learned from {len(plan.videos):,} videos</h1>",
        f"<p class=note>{escape(_summary(plan, counts))}</p>",
        *_figures(plan, measured),
        *_curves(path.parent, shop, measured),
        "<h2>What to do next</h2><ul>",
        *(f"<li>{line}</li>" for line in advice(shop, plan, measured)),
        "</ul>",
        *(
            part
            for name in (REFERENCES, HELD_OUT, LEARNED)
            if name in rows
            for part in _sheet(plan, measured, rows, name)
        ),
        f"<h2>Settings</h2><pre>{escape(json.dumps({**describe(plan), **_plain(counts)}, indent=1))}</pre>",
    ]
    head = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Learned from {escape(Path(plan.root).name)}</title><style>{STYLE}{OWN_STYLE}</style></head>\n<body>"
    )
    write_text(path, head + "\n".join(parts) + "</body></html>\n")


def _plain(counts: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in counts.items() if name not in ("seconds", "commit")}


def _rows_of(shop: Workshop, name: str) -> dict[str, CaptionedVideo]:
    return {row.id: row for row in read_own(shop.folder(CAPTIONS) / f"{name}.jsonl").rows}


def _summary(plan: LearnPlan, counts: Mapping[str, int]) -> str:
    teacher = "itself: the best agreeing of several captions of a clip" if plan.teaches_itself else plan.teacher
    unread = f" {len(plan.unreadable):,} more could not be read." if plan.unreadable else ""
    return (
        f"{plan.seconds / 3600:.2f} hours of video, {counts['clips']:,} clips; the teacher's captions of "
        f"{counts['learned from']:,} were learned in {plan.optimiser_steps:,} steps ({plan.regime}), and those of "
        f"{counts['held out']:,} clips of {len(plan.held_out):,} other videos were held out. The teacher is "
        f"{teacher}.{unread}"
    )


def _figures(plan: LearnPlan, measured: Measurements) -> Iterator[str]:
    """Yield the table of figures, people's captions first, and what it says in words."""
    yield f"<p>{escape(verdict(measured))}</p>"
    yield "<table><tr><th></th><th class=n>before</th><th class=n>after</th><th class=n>change, 95 %</th></tr>"
    for name, change in measured.changes.items():
        yield _row(f"{name} against people's captions", change, measured.scores[BEFORE], name)
    clips = len(measured.references[HELD_OUT])
    yield _row(
        f"loss of the teacher's captions, held out ({clips:,} clips of {measured.videos:,} videos)", measured.loss
    )
    if CIDER in measured.agreement.get(BEFORE, {}):
        before, after = (_with_interval(measured.agreement[when], CIDER) for when in (BEFORE, AFTER))
        name = "CIDEr-D against the teacher's captions, held out"
        yield f"<tr><td>{name}</td><td class=n>{before}</td><td class=n>{after}</td><td class=n></td></tr>"
    yield "</table>"
    if not plan.captions:
        yield (
            "<p class=note><b>No captions by people were given, so there is no score.</b> The figures compare the "
            "captioner with its teacher, which may be wrong: they show that it learned, not that it is right.</p>"
        )


def _row(name: str, change: Change, before: Scores | None = None, metric: str = "") -> str:
    n = "" if before is None else f" ({before.n:,} held out)"
    digits = 3 if before is None else 1
    middle = "" if change.interval is None else f"{change.interval[0]:+.{digits}f} to {change.interval[1]:+.{digits}f}"
    p = "" if change.p is None else f", p = {change.p:.3f}"
    return (
        f"<tr><td>{escape(name + n)}</td><td class=n>{change.before:.{digits}f}</td>"
        f"<td class=n>{change.after:.{digits}f}</td><td class=n>{middle}{p}</td></tr>"
    )


def _with_interval(scores: Scores, name: str) -> str:
    each = scores.intervals[name]
    return f"{scores[name]:.1f} ({each.low:.1f} to {each.high:.1f})"


def verdict(measured: Measurements) -> str:
    """State in a sentence whether it learned, and whether that can be relied on."""
    if CIDER in measured.changes:
        change, n = measured.changes[CIDER], measured.scores[BEFORE].n
        what, better = f"CIDEr-D against people's captions of {n:,} stretches", change.after > change.before
        rest = f"from {change.before:.1f} to {change.after:.1f}"
    else:
        change, n = measured.loss, measured.videos
        what, better = "The loss of held-out captions by the teacher", change.after < change.before
        rest = f"from {change.before:.3f} to {change.after:.3f}"
    moved = "improved" if better else "did not improve"
    doubt = "" if change.p is not None and change.p < CERTAIN else f", and {n:,} are too few to exclude chance"
    return f"{what} {moved}, {rest}{doubt}."


def advice(shop: Workshop, plan: LearnPlan, measured: Measurements) -> Iterator[str]:
    """Yield what to do next, as HTML, the most useful first."""
    run = escape(shop.root.name)
    improved = measured.loss.after < measured.loss.before
    if plan.teaches_itself:
        yield (
            "The teacher was the captioner itself, which can make its captions steadier but not add what it does not "
            "know. Name a stronger one: <code>--teacher blip-large</code> (1.9 GB, better with a GPU)."
        )
    if not improved:
        yield (
            "Held-out captions became less likely, not more: keep the captioner that you started from, or try more "
            f"videos, a better <code>--teacher</code>, or fewer <code>--steps</code> than {plan.optimiser_steps:,}."
        )
    elif plan.steps == 0 and _still_falling(shop):
        yield f"The loss was still falling at the end: try <code>--steps {2 * plan.optimiser_steps}</code>."
    if not plan.captions:
        yield (
            "Write captions of some 30 of the videos held out (listed in <code>run.json</code>) as rows of "
            "<code>video, caption</code>, and run again with <code>--captions FILE</code>: only then is there a score."
        )
    elif not plan.tune:
        yield "With captions by people of more videos, add <code>--finetune</code> to learn those as well."
    if measured.videos < RELIABLE:
        yield (
            f"{measured.videos:,} videos are held out; below {RELIABLE} an interval is wide: add videos, or raise "
            "<code>--holdout</code>."
        )
    yield f"Look at the labels: <code>pseudocap audit {run}/{LABELS}/run</code>."
    yield f"Use it: <code>pseudocap caption film.mp4 --checkpoint {run}</code>."
    yield f"Publish it: <code>pseudocap push {run}/{CAPTIONER} OWNER/NAME</code>."


def _still_falling(shop: Workshop) -> bool:
    """Return whether the mean loss of the last fifth of a training is clearly below that of the fifth before."""
    losses = [value for _, value in read_metric(_metrics(shop), "train/loss")]
    fifth = len(losses) // 5
    if fifth < 4:
        return False
    last, before = losses[-fifth:], losses[-2 * fifth : -fifth]
    return sum(last) < 0.97 * sum(before)


def _curves(folder: Path, shop: Workshop, measured: Measurements) -> Iterator[str]:
    """Yield losses, and the agreement with the teacher on held-out clips, both from step 0 on."""
    agreement = measured.agreement.get(BEFORE)
    baseline = ValidationResult(
        step=0,
        scores={CIDER: float("nan"), **(agreement or {})},
        intervals={},
        loss=measured.loss.before,
        videos=measured.videos,
        captions=measured.captions[HELD_OUT][BEFORE],
    )
    picture = draw_curves(_metrics(shop), folder / "curves.png", baseline)
    if picture is not None:
        encoded = base64.b64encode(picture.read_bytes()).decode()
        yield (
            "<h2>Curves</h2><p class=note>Held-out clips, against the teacher's captions; the step-0 baseline is the "
            "captioner that was started from.</p>"
            f"<img class=curves alt='losses and CIDEr-D by step' src='data:image/png;base64,{encoded}'>"
        )


def _metrics(shop: Workshop) -> Path:
    return shop.folder(TRAIN) / "run" / "metrics.csv"


def _sheet(
    plan: LearnPlan, measured: Measurements, rows: Mapping[str, Mapping[str, CaptionedVideo]], name: str
) -> Iterator[str]:
    """Yield clips with their captions before and after, drawn by the seed and so good and bad."""
    keys = sorted(measured.references[name])
    chosen = sorted(random.Random(plan.seed).sample(keys, min(CLIPS, len(keys))))
    title, whose = {
        REFERENCES: ("Held out, with people's captions", "a person"),
        HELD_OUT: ("Held out, with the teacher's captions", "the teacher"),
        LEARNED: ("Learned from", "the teacher"),
    }[name]
    yield f"<h2>{title}</h2><p class=note>{len(chosen):,} of {len(keys):,} clips, not selected.</p>"
    for key in chosen:
        row = rows[name][key]
        before, after = (measured.captions[name][when][key] for when in (BEFORE, AFTER))
        when = "" if row.start is None or row.end is None else f", {row.start:g} to {row.end:g} s"
        yield (
            f"<article>{_film(plan, row)}<div><p><small>before</small><br>{escape(before)}</p>"
            f"<p><small>after</small><br><b>{escape(after)}</b></p>"
            f"<p><small>{whose}</small><br>{escape(measured.references[name][key][0])}</p>"
            f"<small>{escape(row.video)}{when}</small></div></article>"
        )


def _film(plan: LearnPlan, row: CaptionedVideo) -> str:
    """Return frames of a clip side by side."""
    start, end = row.start or 0.0, row.end
    if end is None:
        end = next(video.seconds for video in plan.videos if video.name == row.video)
    times = [start + share * (end - start) for share in FRAMES]
    try:
        frames = [centre_jpeg(str(Path(plan.root) / row.video), time, time, HEIGHT) for time in times]
    except DecodeError as error:
        return f"<div class=none>{escape(error.problem[:80])}</div>"
    return f"<div class=film>{''.join(map(_image, frames))}</div>"


def _image(frame: bytes) -> str:
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(frame).decode()}'>"
