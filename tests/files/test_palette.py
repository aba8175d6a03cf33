"""The colours of pages: one set, and no style uses a colour that it has not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pseudocap.explain.page import write_page
from pseudocap.files.palette import PALETTE
from pseudocap.label.audit.report_page import STYLE
from pseudocap.label.pages.local_server import assemble_page
from pseudocap.learn.page import OWN_STYLE
from pseudocap.search.page import hits_page


def explanations(folder: Path) -> str:
    write_page(folder / "page.html", (), (), title="", note="")
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["explain", "browse", "audit", "report", "learn", "search"])
def test_a_page_has_the_one_palette_and_uses_no_colour_beyond_it(name: str, tmp_path: Path) -> None:
    page = {
        "explain": lambda: explanations(tmp_path),
        "browse": lambda: assemble_page("pseudocap.browse"),
        "audit": lambda: assemble_page("pseudocap.label.audit"),
        "report": lambda: STYLE,
        "learn": lambda: STYLE + OWN_STYLE,
        "search": lambda: hits_page("", ()),
    }[name]()
    assert page.count(PALETTE) == page.count(":root") == 1
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    assert {"--ground", "--ink"} <= used
    assert used <= set(re.findall(r"(--[\w-]+):", PALETTE))
