"""The page in a real Chromium, on the real command line's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from helpers.audits import label, write_colours, write_corpus
from helpers.chromium import Chromium, find_chromium
from helpers.pages import page_of

from pseudocap.label.schema import shard_path, write_labels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)"),
]
READY = "state && !busy && document.querySelectorAll('#rows li').length === state.rows.length"
PLAYS = "state && !busy && playing && video.readyState > 2 && !video.paused"
LISTED = "[...document.querySelectorAll('#rows p')].map((each) => each.textContent)"
PROBLEM = "document.getElementById('problem').textContent"
MARKUP = "<img src=x onerror='document.title = 1'><b>bold</b>"


def browse_running(labels: Path, *options: str, port: int = 0) -> AbstractContextManager[str]:
    words = ("browse", str(labels), "--editor", "anna", "--port", str(port), *options)
    return page_of(*words, last_words="are changed")


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "edits.jsonl").read_text().splitlines()]


def write_rows(folder: Path, captions: list[str]) -> Path:
    """Labels of stretches of one short film, with confidences that fall."""
    (folder / "labels").mkdir()
    write_colours(folder / "film.mp4", seconds=2)
    rows = [
        label("film.mp4", 1.0 * (number % 2), 1.0 * (number % 2) + 1 + number / 1e6, text, confidence=1 - number / 1000)
        for number, text in enumerate(captions)
    ]
    write_labels(shard_path(folder / "labels", 0), rows, root=str(folder))
    return folder / "labels"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as running:
        yield running
        assert running.complaints == []


def retype(browser: Chromium, text: str) -> None:
    """Leave the typed text in the editor, unsaved."""
    browser.press("e")
    browser.wait("document.activeElement.id === 'caption'")
    browser.value("document.getElementById('caption').select()")
    browser.write(text)


def test_rows_are_played_edited_accepted_rejected_and_undone_by_keyboard(tmp_path: Path, browser: Chromium) -> None:
    write_corpus(tmp_path, films=2, clips=3, seconds=1.0)
    labels = tmp_path / "labels"
    with browse_running(labels) as url:
        browser.go(url)
        browser.wait(PLAYS)
        assert browser.value("[state.total, selected, playing.start, playing.end]") == [6, 0, 0, 1]
        browser.wait("document.querySelector('#rows img').naturalWidth")  # the poster frame
        browser.press("ArrowDown")
        browser.wait(f"selected === 1 && {PLAYS}")
        assert browser.wait("video.currentTime >= 0.99 && video.currentTime")
        retype(browser, "a brighter wall")
        browser.press("Enter")
        browser.wait("selected === 2 && !busy")
        browser.press("x")
        browser.wait("selected === 3 && !busy")
        browser.press("a")
        browser.wait("selected === 4 && !busy")
        count = browser.value("document.getElementById('count').textContent")
        assert count == "6 of 6 rows; 2 accepted; 1 rejected; 1 edited"
        browser.press("u")
        browser.wait("selected === 3 && !busy && row().decision === ''")
        browser.press("k")
        browser.press("k")
        assert browser.value("document.getElementById('caption').value") == "a brighter wall"
        assert "was: caption of 0 at 1" in browser.value("document.getElementById('was').textContent")
        browser.call("Page.reload")
        browser.wait(f"performance.getEntriesByType('navigation')[0].type === 'reload' && {READY}")
        assert browser.value(LISTED)[:3] == ["caption of 0 at 0", "a brighter wall", "caption of 0 at 2"]
    changes = [(entry["after"]["caption"], entry["after"]["decision"], entry["who"]) for entry in entries(labels)]
    assert changes == [
        ("a brighter wall", "accepted", "anna"),
        ("caption of 0 at 2", "rejected", "anna"),
        ("caption of 1 at 0", "accepted", "anna"),
        ("caption of 1 at 0", "", "anna"),
    ]


def test_the_second_tab_is_refused_sees_the_current_text_and_keeps_its_own(tmp_path: Path, browser: Chromium) -> None:
    labels = write_rows(tmp_path, ["a dog", "a cat"])
    with browse_running(labels) as url:
        first = browser._session
        browser.go(url)
        browser.wait(PLAYS)
        second = browser.tab()
        browser.go(f"{url}?editor=bert")
        browser.wait(PLAYS)
        retype(browser, "a brown dog")
        browser.press("Enter")
        browser.wait("!busy && selected === 1")
        browser.switch(str(first))
        browser.call("Page.bringToFront")
        browser.wait("!busy")
        browser.value(
            "state.rows[0].version = 0, state.rows[0].caption = 'a dog', select(0)"
        )  # as before it was in front
        retype(browser, "a black dog")
        browser.press("Enter")
        problem = browser.wait(PROBLEM)
        assert "bert has changed this row meanwhile" in problem
        assert "“a brown dog”" in problem
        assert browser.value(LISTED)[0] == "a brown dog"
        assert browser.value("document.getElementById('caption').value") == "a black dog"
        browser.press("ArrowDown")  # in the text: what is typed is not lost by leaving the row
        browser.value("document.getElementById('caption').blur()")
        browser.press("j")
        assert browser.value("selected") == 0
        assert "not saved" in browser.wait(PROBLEM)
        browser.press("Enter")  # knowingly, over the other's
        browser.wait("!busy && selected === 1")
        assert browser.value(LISTED)[0] == "a black dog"
        browser.switch(second)
    assert [entry["after"]["caption"] for entry in entries(labels)] == ["a brown dog", "a black dog"]
    browser.complaints[:] = [each for each in browser.complaints if "409" not in each]


def test_search_filters_and_pages_are_kept_in_the_address_and_what_is_decided_leaves_them(
    tmp_path: Path, browser: Chromium
) -> None:
    labels = write_rows(tmp_path, [f"a {'dog' if number % 2 else 'cat'} {number}" for number in range(220)])
    with browse_running(labels) as url:
        browser.go(url)
        browser.wait(READY)
        browser.press("/")
        browser.write("dog")
        browser.wait(f"{READY} && state.found === 110")
        browser.press("Escape")
        browser.value("document.getElementById('sort').value = 'confidence'")
        browser.value("document.getElementById('decision').value = 'undecided'")
        browser.value("document.getElementById('decision').dispatchEvent(new Event('input', {bubbles: true}))")
        browser.wait(f"{READY} && state.rows[0].caption === 'a dog 219'")
        assert browser.value("[state.pages, state.rows.length]") == [3, 50]
        browser.press("]")
        browser.wait(f"{READY} && state.page === 2 && state.rows[0].caption === 'a dog 119'")
        browser.call("Page.reload")
        browser.wait(f"performance.getEntriesByType('navigation')[0].type === 'reload' && {READY}")
        assert browser.value("[state.page, state.rows[0].caption]") == [2, "a dog 119"]
        browser.press("x")
        browser.wait("!busy && selected === 1")
        browser.press("x")
        browser.wait("!busy && selected === 2")
        browser.press("]")  # 108 are left: the next rows have moved up onto this page
        browser.wait(f"{READY} && state.found === 108 && state.page === 2 && state.rows[0].caption === 'a dog 115'")
        browser.press("ArrowUp")
        browser.wait(f"{READY} && state.page === 1 && selected === 49")
        browser.click("document.getElementById('next')")
        browser.wait(f"{READY} && state.page === 2")


def test_markup_of_captions_and_verdicts_stays_text(tmp_path: Path, browser: Chromium) -> None:
    labels = write_rows(tmp_path, [MARKUP, "a dog"])
    with browse_running(labels) as url:
        browser.go(url)
        browser.wait(PLAYS)
        retype(browser, f"{MARKUP} again")
        browser.press("Enter")
        browser.wait("!busy && selected === 1")
        assert browser.value(LISTED)[0] == f"{MARKUP} again"
        assert browser.value("document.querySelectorAll('b, #rows p img, script[src]').length") == 0
        assert browser.value("document.title") == "Pseudocap browse"


def test_pictures_and_files_that_no_browser_plays_are_their_frames(tmp_path: Path, browser: Chromium) -> None:
    from PIL import Image

    write_colours(tmp_path / "a.avi", seconds=1, codec="mpeg4")
    Image.new("RGB", (64, 48), "red").save(tmp_path / "b.jpg")
    write_colours(tmp_path / "c.mp4", seconds=1)
    rows = [{"video": name, "caption": f"this is {name}"} for name in ("a.avi", "b.jpg", "c.mp4")]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    still = "!document.getElementById('still').hidden && document.getElementById('frame').naturalWidth"
    why = "document.getElementById('why').textContent"
    with browse_running(tmp_path / "captions.jsonl") as url:
        browser.go(url)
        browser.wait(still)
        assert "cannot play" in browser.value(why)
        browser.press("j")
        browser.wait(f"{still} && selected === 1")
        assert browser.value(why) == ""
        browser.press("j")
        browser.wait(f"selected === 2 && {PLAYS} && video.duration < 1.5")  # all of it, again and again
        browser.wait("video.currentTime > 0.6")
        browser.wait("video.currentTime < 0.4")
        browser.press("x")
        browser.wait("!busy && state.rejected === 1")
    assert [
        entry["video"] for entry in map(json.loads, (tmp_path / "captions.edits.jsonl").read_text().splitlines())
    ] == ["c.mp4"]


def test_a_server_that_dies_is_reported_and_the_text_is_still_there_when_it_is_back(
    tmp_path: Path, browser: Chromium
) -> None:
    labels = write_rows(tmp_path, ["a dog", "a cat"])
    with browse_running(labels) as url:
        browser.go(url)
        browser.wait(PLAYS)
        retype(browser, "a brown dog")
    browser.press("Enter")
    assert "does not answer" in browser.wait(PROBLEM)
    browser.complaints.clear()
    with browse_running(labels, port=int(url.rstrip("/").rpartition(":")[2])):
        browser.press("Enter")
        browser.wait("!busy && selected === 1")
        assert browser.value(PROBLEM) == ""
    assert [entry["after"]["caption"] for entry in entries(labels)] == ["a brown dog"]
    browser.complaints.clear()  # clips that could not be fetched meanwhile
