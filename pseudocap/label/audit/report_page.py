"""Write the report as one self-contained HTML file: figures, agreement, and every pair with its frame."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from pseudocap.errors import DataError, DecodeError, first_line
from pseudocap.files.atomic import write_text
from pseudocap.files.palette import PALETTE
from pseudocap.label.audit.judgement import AuditPair, Judgement
from pseudocap.label.audit.report import Agreement, AuditReport, Figure
from pseudocap.label.pages.media import centre_jpeg

FRAME = 180  # pixels of the short side
STYLE = (
    PALETTE
    + """\
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 0.6rem; }
p.note { color: var(--faint); margin: 0.3rem 0 1rem; max-width: 46rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--faint); font-size: 0.9rem; }
th, td { padding: 0.35rem 0.8rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { display: block; width: 16rem; height: 1.5rem; }
.bar { fill: var(--line); } .span { stroke: var(--accent); stroke-width: 2; } .dot { fill: var(--accent); }
.papers { stroke: var(--warm); stroke-width: 2; }
article { display: grid; grid-template-columns: 15rem 1fr; gap: 1.1rem; padding: 0.9rem; margin: 0 0 0.9rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 0.7rem; }
article img, article .none { width: 15rem; height: 9rem; object-fit: contain; background: #000; border-radius: 0.4rem; }
article .none { color: #aaa; display: grid; place-items: center; font-size: 0.85rem; }
article p { margin: 0 0 0.4rem; } article small { color: var(--faint); }
@media (max-width: 44rem) { article { grid-template-columns: 1fr; } svg { width: 8rem; } }
"""
)


def write_report_page(path: Path, report: AuditReport, judged: Iterable[tuple[AuditPair, Sequence[Judgement]]]) -> None:
    """Write the page, all of it or nothing. `judged` is gone through once, a frame decoded for each pair."""
    pairs = "\n".join(_pair(pair, judgements) for pair, judgements in judged)
    by_rater = "\n".join(
        f"<h2>{escape(rater)}</h2><p class=note>{report.judged_by[rater]} clips</p>{_figures(rows)}"
        for rater, rows in report.by_rater.items()
        if len(report.by_rater) > 1
    )
    page = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Audit of {report.clips} clips</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>Audit of {report.clips} clips</h1><p class=note>{escape(summary(report))}</p>{_figures(report.figures)}"
        "<p class=note>The share and its 95 % Wilson interval. Orange: what the papers found in 100 "
        f"clips of their own.</p>{_agreements(report.agreements)}{by_rater}<h2>Pair by pair</h2>{pairs}</body></html>\n"
    )
    try:
        write_text(path, page)
    except OSError as error:
        raise DataError(f"{path}: the report cannot be written ({first_line(error)})") from error


def summary(report: AuditReport) -> str:
    """Summarise how much was judged, and whether a side was preferred: the context of every figure."""
    raters = ", ".join(f"{rater} {count}" for rater, count in report.judged_by.items())
    left = "" if report.left is None else f"; {report.left:.0f} % of the preferences are for the left side"
    return f"{report.clips} of {report.pairs} clips judged ({raters}; seed {report.seed}){left}"


def _figures(rows: Sequence[Figure]) -> str:
    lines = "".join(
        f"<tr><td>{escape(row.says)}</td><td class=n>{row.share:.1f} %</td>"
        f"<td class=n>{row.low:.1f} to {row.high:.1f}</td><td>{_line(row)}</td>"
        f"<td class=n>{'' if row.papers is None else f'{row.papers} %'}</td></tr>"
        for row in rows
    )
    heads = "<tr><th></th><th class=n>share</th><th class=n>95 %</th><th></th><th class=n>papers</th></tr>"
    return f"<table>{heads}{lines}</table>"


def _line(row: Figure) -> str:
    papers = "" if row.papers is None else f"<line class=papers x1={row.papers} x2={row.papers} y1=0 y2=10 />"
    return (
        "<svg viewBox='-1 0 102 10' preserveAspectRatio=none aria-hidden=true><rect class=bar x=0 y=4.5 width=100 "
        f"height=1 />{papers}<line class=span x1={row.low:.2f} x2={row.high:.2f} y1=5 y2=5 />"
        f"<rect class=dot x={row.share - 0.8:.2f} y=1.5 width=1.6 height=7 /></svg>"
    )


def _agreements(rows: Sequence[Agreement]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{escape(' and '.join(row.raters))}</td><td>{row.subject}</td><td class=n>{row.clips}</td>"
        f"<td class=n>{'' if row.agreed is None else f'{row.agreed:.0f} %'}</td>"
        f"<td class=n>{'undefined' if row.kappa is None else f'{row.kappa:.2f}'}</td></tr>"
        for row in rows
    )
    heads = "<tr><th>raters</th><th>on</th><th class=n>clips</th><th class=n>agreed</th><th class=n>kappa</th></tr>"
    return f"<h2>Agreement</h2><table>{heads}{lines}</table>"


def _pair(pair: AuditPair, judgements: Sequence[Judgement]) -> str:
    verdicts = "<br>".join(f"{escape(each.rater)}: {_verdict(pair, each)}" for each in judgements)
    spoken = f"<p><small>speech</small><br>{escape(pair.asr)}</p>" if pair.asr else ""
    try:
        frame = base64.b64encode(centre_jpeg(pair.source, pair.start, pair.end, FRAME)).decode()
        picture = f"<img alt='' src='data:image/jpeg;base64,{frame}'>"
    except DecodeError as error:
        picture = f"<div class=none>{escape(error.problem[:80])}</div>"
    return (
        f"<article>{picture}<div><p><small>pseudolabel</small><br>{escape(pair.pseudolabel)}</p>"
        f"{spoken}<small>{escape(Path(pair.source).name)}, "
        f"{pair.start:g} to {pair.end:g} s<br>{verdicts or 'not judged'}</small></div></article>"
    )


def _verdict(pair: AuditPair, judgement: Judgement) -> str:
    if not pair.asr:
        return "aligned" if judgement.pseudolabel == "correct" else "not aligned"
    return f"better is {judgement.better}; pseudolabel {judgement.pseudolabel}, speech {judgement.asr}"
