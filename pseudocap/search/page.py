"""Write hits as one HTML page: a click plays a hit at its second, out of the file itself.

Pictures of the hits are in the page; the films are not, so the page is for the machine that has them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pseudocap.errors import DecodeError
from pseudocap.files.palette import PALETTE
from pseudocap.label.pages.media import centre_jpeg
from pseudocap.search.index import SearchHit

TEMPLATE = Path(__file__).with_name("page.html")
PICTURE = 270  # pixels of a hit's short side


def hits_page(query: str, hits: Sequence[SearchHit], *, about: str = "") -> str:
    """Return the page of what a query has found."""
    count = f"{len(hits)} hit{'' if len(hits) == 1 else 's'}"
    head = f"<header><h1>{escape(query)}</h1><p>{escape(', '.join(filter(None, (count, about))))}</p></header>"
    body = f"{head}<ol>{''.join(map(_hit, hits))}</ol>"
    return TEMPLATE.read_text(encoding="utf-8").replace("/*PALETTE*/", PALETTE, 1).replace("<!--BODY-->", body, 1)


def _hit(hit: SearchHit) -> str:
    picture = _picture(hit)
    if hit.still:
        player = f'<img class="still" alt="" src="{picture}">'
    else:
        source = hit.file if "://" in hit.file else Path(hit.file).absolute().as_uri()
        player = (
            f'<video preload="none" muted playsinline poster="{picture}" data-start="{hit.start:.3f}" '
            f'data-end="{hit.end:.3f}" src="{escape(source)}#t={hit.start:.3f}"></video>'
        )
    about = ", ".join(filter(None, (Path(hit.file).name, " to ".join(filter(None, hit.times)), f"{hit.score:.3f}")))
    return (
        f'<li>{player}<div><p>{escape(hit.caption)}</p><p class="about" title="{escape(hit.file)}">{escape(about)}</p>'
        f'<p class="note">{escape(hit.note)}</p></div></li>'
    )


def _picture(hit: SearchHit) -> str:
    """Return the frame at the centre of a hit; an empty picture where there is none."""
    try:
        jpeg = centre_jpeg(hit.file, hit.start, None if hit.still else hit.end, PICTURE)
    except DecodeError:
        return "data:,"
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
