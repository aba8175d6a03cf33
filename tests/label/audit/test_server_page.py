"""The page in a real Chromium, on the real command line's server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.audits import write_corpus
from helpers.chromium import Chromium, find_chromium
from helpers.pages import page_of

from pseudocap.label.schema import read_rows, shard_path, write_labels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)"),
]
PLAYS = "state && state.pair && video.readyState > 2 && !video.paused"


def audit_running(folder: Path, *options: str, port: int = 0) -> AbstractContextManager[str]:
    words = ("audit", str(folder / "labels"), "--rater", "anna", "--port", str(port), *options)
    return page_of(*words, last_words="--report sums them up")


def reported(folder: Path) -> dict:
    command = [sys.executable, "-m", "pseudocap", "audit", str(folder / "labels"), "--report", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def drawn_from(folder: Path, count: int) -> list[str]:
    return ["--asr", str(folder / "caption.json"), "--n", str(count)]


def write_mined(folder: Path) -> None:
    """Labels of the films as mining writes them, two pictures for each clip."""
    write_corpus(folder, films=1, clips=2)
    rows = [
        replace(row, teacher="mined", parent=f"{picture}.jpg", captions=(f"{row.caption} as {picture}",))
        for row in read_rows(shard_path(folder / "labels", 0))
        for picture in ("red", "blue")
    ]
    write_labels(shard_path(folder / "labels", 0), rows, root=str(folder / "videos"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as running:
        yield running
        assert running.complaints == []


def prefer_the_caption(browser: Chromium) -> str:
    """The key that says that the pseudolabel, which calls itself a caption here, is better."""
    return "ArrowLeft" if browser.value("state.pair.left").startswith("caption") else "ArrowRight"


def judge(browser: Chromium) -> None:
    """One pair: the caption is better and correct, the other text is chit-chat."""
    judged = browser.value("state.judged")
    better = prefer_the_caption(browser)
    for key in (better, *("14" if better == "ArrowLeft" else "41")):
        browser.press(key)
    browser.wait(f"state.judged === {judged + 1}")


def test_a_rater_judges_ten_clips_by_keyboard_and_reloads_midway_and_the_report_counts_ten(
    tmp_path: Path, browser: Chromium
) -> None:
    write_corpus(tmp_path)
    with audit_running(tmp_path, *drawn_from(tmp_path, 10)) as url:
        browser.go(url)
        browser.wait(PLAYS)
        for _ in range(4):
            judge(browser)
        pair, better = browser.value("state.pair.id"), prefer_the_caption(browser)
        browser.press(better)
        browser.call("Page.reload")
        browser.wait(f"performance.getEntriesByType('navigation')[0].type === 'reload' && {PLAYS}")
        assert browser.value("[state.judged, state.pair.id, answers.length]") == [4, pair, 1]
        browser.press("1" if better == "ArrowLeft" else "4")
        browser.press("4" if better == "ArrowLeft" else "1")
        browser.wait("state.judged === 5")
        for _ in range(5):
            judge(browser)
        browser.wait("!document.getElementById('done').hidden")
        assert browser.value("document.getElementById('count').textContent") == "10 of 10"
    report = reported(tmp_path)
    shares = {figure["name"]: figure["share"] for figure in report["figures"]}
    assert (report["clips"], report["judgements"], report["judged_by"]) == (10, 10, {"anna": 10})
    assert (shares["pseudolabel_better"], shares["pseudolabel_correct"], shares["asr_chit_chat"]) == (100, 100, 100)


def test_two_tabs_and_undo_keep_one_answer_a_pair(tmp_path: Path, browser: Chromium) -> None:
    write_corpus(tmp_path, films=2, clips=2)
    with audit_running(tmp_path, *drawn_from(tmp_path, 3)) as url:
        first = browser._session
        browser.go(url)
        browser.wait(PLAYS)
        second = browser.tab()
        browser.go(url)
        browser.wait(PLAYS)
        pair = browser.value("state.pair.id")
        judge(browser)
        browser.switch(str(first))
        assert browser.value("state.pair.id") == pair  # both show it, and the second answer replaces the first
        for key in ("ArrowDown", "2", "2"):
            browser.press(key)
        browser.wait("state.judged === 1")
        browser.press("Backspace")
        browser.wait("state.judged === 0 && answers.length === 2")
        assert browser.value("[state.pair.id, ...answers]") == [pair, "tie", "wrong"]
        browser.press("Backspace")
        browser.press("Backspace")
        assert browser.value("answers.length") == 0
        judge(browser)
        judge(browser)
        browser.switch(second)
        browser.call("Page.bringToFront")
        browser.value("document.dispatchEvent(new Event('visibilitychange'))")
        browser.wait("state.judged === 2 && state.pair.id !== " + json.dumps(pair))
    report = reported(tmp_path)
    shares = {figure["name"]: figure["share"] for figure in report["figures"]}
    assert (report["judgements"], shares["tie"], shares["pseudolabel_better"]) == (2, 0, 100)


def test_a_clip_plays_from_its_start_to_its_end_again_and_again(tmp_path: Path, browser: Chromium) -> None:
    write_corpus(tmp_path, films=1, clips=3, seconds=1.5)
    with audit_running(tmp_path, *drawn_from(tmp_path, 3)) as url:
        browser.go(url)
        for _ in range(3):
            browser.wait(PLAYS)
            start, end = browser.value("[state.pair.start, state.pair.end]")
            times, until = [], time.monotonic() + 2.5
            while time.monotonic() < until:
                times.append(browser.value("video.currentTime"))
                time.sleep(0.02)
            assert start - 0.01 <= min(times)
            assert max(times) <= end + 0.4
            assert max(times) > end - 0.5
            assert any(later < earlier - 1 for earlier, later in pairwise(times))  # it began again
            judge(browser)


def test_a_file_that_no_browser_plays_is_shown_as_the_frame_at_its_centre(tmp_path: Path, browser: Chromium) -> None:
    write_corpus(tmp_path, films=1, clips=2, suffix=".avi")
    with audit_running(tmp_path, *drawn_from(tmp_path, 2)) as url:
        browser.go(url)
        for _ in range(2):
            browser.wait("!document.getElementById('still').hidden && document.getElementById('frame').naturalWidth")
            assert "cannot play" in browser.value("document.getElementById('why').textContent")
            judge(browser)
    assert reported(tmp_path)["clips"] == 2


def test_a_server_that_dies_is_told_and_what_was_answered_is_there_when_it_is_back(
    tmp_path: Path, browser: Chromium
) -> None:
    write_corpus(tmp_path, films=1)
    with audit_running(tmp_path, *drawn_from(tmp_path, 3)) as url:
        browser.go(url)
        browser.wait(PLAYS)
        judge(browser)
        pair = browser.value("state.pair.id")
    for key in ("ArrowDown", "1", "1"):
        browser.press(key)
    assert "does not answer" in browser.wait("document.getElementById('problem').textContent")
    assert any("ERR_CONNECTION_REFUSED" in complaint for complaint in browser.complaints)
    browser.complaints.clear()
    with audit_running(tmp_path, port=int(url.rstrip("/").rpartition(":")[2])):  # without reading the labels again
        browser.press("2")
        browser.wait("state.judged === 2")
        assert browser.value("document.getElementById('problem').textContent") == ""
        assert browser.value("state.last") == pair
    assert reported(tmp_path)["clips"] == 2


def test_mined_captions_are_asked_for_one_aligned_frame(tmp_path: Path, browser: Chromium) -> None:
    write_mined(tmp_path)
    with audit_running(tmp_path, "--n", "3") as page:
        browser.go(page)
        for number, key in enumerate("121"):
            browser.wait(PLAYS)
            assert browser.value("getComputedStyle($('right')).display") == "none"
            assert " as " in browser.value("$('left').querySelector('p').textContent")
            browser.press(key)
            browser.wait(f"state.judged === {number + 1}")
        browser.press("Backspace")
        browser.wait("state.judged === 2")
        browser.press("2")
        browser.wait("state.judged === 3")
    (aligned,) = reported(tmp_path)["figures"]
    assert (aligned["name"], round(aligned["share"]), aligned["papers"]) == ("aligned", 33, 91)
