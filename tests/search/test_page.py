"""The page of hits: complete in itself but for the films, no text of theirs is markup, and a click plays the hit."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.chromium import Chromium, find_chromium
from helpers.colour_retriever import write_colours

from pseudocap.search.index import SearchHit
from pseudocap.search.page import hits_page

MARKUP = "<img src=x onerror='document.title = 1'></script>\"&amp;"


def hit(file: Path, **more: object) -> SearchHit:
    return SearchHit(**{"file": str(file), "start": 2.0, "end": 4.0, "score": 0.5, **more})  # type: ignore[arg-type]


def test_no_text_of_a_hit_is_markup(tmp_path: Path) -> None:
    file = tmp_path / "\"><script>alert(1)< x='#?%.mp4"
    page = hits_page(MARKUP, [hit(file, caption=MARKUP, note=MARKUP)], about=MARKUP)
    assert page.count("<img") == page.count("onerror='") == 0
    assert page.count("<script>") == page.count("</script>") == 1
    assert page.count("&lt;img src=x") == 4
    assert "%22%3E%3Cscript%3Ealert%281%29%3C%20x%3D%27%23%3F%25.mp4#t=2.000" in page


def test_a_page_refers_to_nothing_but_the_films(tmp_path: Path) -> None:
    page = hits_page("red", [hit(tmp_path / "gone.mp4"), hit(tmp_path / "still.jpg", start=0.0, end=0.0)])
    assert "2 hits" in page
    assert "default-src 'none'" in page
    assert page.count("file://") == 1
    assert 'poster="data:,"' in page  # the film is not there any more, and the hit is kept
    assert "http://" not in page.replace("http: https:", "")


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)")
def test_a_click_plays_a_hit_from_its_second_and_only_that_one(tmp_path: Path) -> None:
    film = write_colours(tmp_path / "it's a #1 film.mp4", "red", "green", "blue")
    page = tmp_path / "hits.html"
    hits = [hit(film, caption=MARKUP, start=start, end=start + 2) for start in (2.0, 4.0)]
    page.write_text(hits_page(MARKUP, [*hits, hit(tmp_path / "gone.mp4")]), encoding="utf-8")
    with Chromium(tmp_path / "profile") as browser:
        browser.go(page.as_uri())
        browser.wait("videos.length === 3")
        browser.click("videos[0]")
        assert browser.wait("!videos[0].paused && videos[0].currentTime > 2.05 && videos[0].currentTime") < 4.1
        browser.click("videos[1]")
        browser.wait("videos[0].paused && !videos[1].paused && videos[1].currentTime > 4.05")
        browser.wait("videos[1].currentTime < 4.05")  # from its beginning again
        browser.click("videos[2]")
        browser.wait("document.querySelectorAll('.note')[2].textContent === 'this browser cannot play the file'")
        assert browser.value("document.title") == "Pseudocap search"
        size = browser.value(
            "(() => { const i = new Image(); i.src = videos[0].poster; return i.decode().then(() => i.width); })()"
        )
        assert size > 0
        assert [
            text for text in browser.complaints if "gone.mp4" not in text and "ERR_FILE_NOT_FOUND" not in text
        ] == []
