"""Write the report of a mining run as JSON and as one HTML page with a contact sheet of random matches."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from pseudocap.errors import DataError
from pseudocap.files.atomic import write_text
from pseudocap.files.palette import PALETTE
from pseudocap.mine.report import MiningReport, Share, matched_frame
from pseudocap.mine.seeds import SeedPicture
from pseudocap.types import Pseudolabel
from pseudocap.video.picture import jpeg

SIDE = 160  # pixels of a picture's short side
STYLE = """* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; }
table { border-collapse: collapse; margin: 0.4rem 0 1.4rem; } caption { text-align: left; font-weight: 600; }
td, th { padding: 0.15rem 1rem 0.15rem 0; text-align: right; border-bottom: 1px solid var(--line); }
td:first-child, th:first-child { text-align: left; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none; }
li { background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; overflow: hidden; }
li div { display: flex; gap: 2px; } img { width: 50%; aspect-ratio: 4 / 3; object-fit: cover; background: #000; }
li p { margin: 0.4rem 0.7rem; overflow-wrap: anywhere; } .about { color: var(--faint); font-size: 0.85rem; }"""


def report_paths(path: Path) -> tuple[Path, Path]:
    """Return where the page and its figures lie: `mined.html` and `mined.json`."""
    plain = path.with_suffix("") if path.suffix in (".html", ".json") else path
    return plain.with_name(f"{plain.name}.html"), plain.with_name(f"{plain.name}.json")


def write_report(
    path: Path, report: MiningReport, matches: Sequence[Pseudolabel], pictures: Mapping[str, SeedPicture], *, title: str
) -> None:
    """Write both files, the page last. `matches` are the rows of the contact sheet."""
    page, figures = report_paths(path)
    write_text(figures, json.dumps(report.document(), indent=1) + "\n")
    body = [f"<h1>{escape(title)}</h1>", *_tables(report), "<h2>Random matches</h2>"]
    body += ["<p>On the left the picture, on the right the frame that is like it.</p><ol>"]
    body += [_match(label, pictures.get(label.parent or "")) for label in matches]
    write_text(page, _page(title, "\n".join([*body, "</ol>"])))


def _page(title: str, body: str) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{PALETTE}{STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _tables(report: MiningReport) -> Iterable[str]:
    yield _table("What was mined", ("", ""), [
        ("clips", f"{report.clips:,}"),
        ("hours", f"{report.hours:,.2f}"),
        ("pairs of a clip and a caption", f"{report.pairs:,}"),
        ("captions", f"{report.captions:,} of {report.captions_of_seeds:,} of the seeds"),
        ("clips of a caption, mean", f"{report.mean_clips_per_caption:.2f}"),
        *(_share("captions with a word that the classifier sees", report.confirmed)),
        *(_share("the same of the pictures' own captions", report.confirmed_pictures)),
        *(_share("verbs of the reference that the seeds' captions hold", report.verbs)),
    ])  # fmt: skip
    rows = [
        (f"{row['threshold']:g}", *(f"{int(row[name]):,}" for name in ("matches", "videos", "seeds")))
        for row in report.thresholds
    ]
    yield _table("Matches from a similarity on", ("similarity", "matches", "videos", "seeds"), rows)
    counts = [(number, f"{count:,}") for number, count in report.clips_per_caption.items()]
    yield _table("Clips of a caption", ("clips", "captions"), counts)
    if report.domains:
        yield _table("Domains", ("category", "clips"), [(name, f"{count:,}") for name, count in report.domains.items()])


def _share(name: str, share: Share | None) -> list[tuple[str, str]]:
    if share is None or share.share is None:
        return []
    return [(name, f"{share.share:.1%} of {share.of:,} ({share.by})")]


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    top = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>" if any(head) else ""
    return f"<table><caption>{escape(caption)}</caption>{top}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _match(label: Pseudolabel, picture: SeedPicture | None) -> str:
    seed = None
    if picture is not None:
        try:
            seed = picture.read()
        except DataError:  # it has changed since
            seed = None
    frame = matched_frame(label, short_side=SIDE)
    name = Path(label.clip.source).name
    about = f"{label.confidence or 0:.3f}, {name}, {label.clip.start:.1f} to {label.clip.end:.1f} s"
    return (
        f"<li><div>{_image(seed)}{_image(frame)}</div><p>{escape(label.caption)}</p>"
        f'<p class="about" title="{escape(label.parent or "")}">{escape(about)}</p></li>'
    )


def _image(pixels: np.ndarray | None) -> str:
    if pixels is None:
        return '<img alt="" src="data:,">'
    step = max(1, min(pixels.shape[:2]) // SIDE)
    content = base64.b64encode(jpeg(np.ascontiguousarray(pixels[::step, ::step]))).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{content}">'
