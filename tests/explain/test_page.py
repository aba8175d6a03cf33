"""The page stands alone: it parses, escapes what captioners and files say, fetches nothing; clicking a word draws."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import Chromium, find_chromium

from pseudocap.errors import InputError
from pseudocap.explain.explanation import Explanation
from pseudocap.explain.page import FilmCaption, PageCaptioner, PageFilm, gates_of, write_page
from pseudocap.toyworld.film import encode
from pseudocap.video.playable import playable

NASTY = "</script><script>alert(1)</script> <img src=x onerror=alert(2)> \"a\" & 'b' http://evil.example/"
VOID = {"meta", "link", "img", "br"}
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the PATH")


def explained(words: tuple[str, ...], *, seed: int = 0) -> Explanation:
    """Each word looks at another patch, each second one at another frame; adapters 1 and 3 look at different ones."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 255, (3, 16, 16, 3), np.uint8)
    word, adapter = np.arange(len(words))[:, None], np.arange(2)[None]
    return Explanation(
        source="film.mp4",
        caption=" ".join(words),
        words=words,
        layers=(1, 3),
        shares={
            "time": 0.1 + 0.7 * np.eye(3, dtype=np.float32)[(word // 2 + adapter) % 3],
            "space": 0.05 + 0.8 * np.eye(4, dtype=np.float32)[(word + adapter) % 4],
        },
        grid=(2, 2),
        added=np.full((len(words), 2), 0.25, np.float32),
        by_video=np.full((len(words), 2), 0.125, np.float32),
        gates={"attention": generator.normal(size=(2, 16)), "ffn": generator.normal(size=(2, 16))},
        frames=frames,
        times=np.array([0.5, 1.5, 2.5]),
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    pictures = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8)
    encode(tmp_path / "film.mp4", list(pictures))
    said = (
        FilmCaption(captioner=f"one {NASTY}", explanation=explained(("a", "dog", NASTY)), seconds=0.5, verdict=NASTY),
        FilmCaption(captioner="other", explanation=explained(("two", "cats")), seconds=0.25),
        FilmCaption(captioner="silent", explanation=explained(()), seconds=0.1),
    )
    film = PageFilm(
        title=f"film {NASTY}", media=playable(tmp_path / "film.mp4"), truth=NASTY, references=(NASTY,), captions=said
    )
    captioners = [PageCaptioner(name=each.captioner, gates=gates_of(said[0].explanation), seconds=1) for each in said]
    write_page(tmp_path / "page.html", [film], captioners, title=NASTY, note=NASTY)
    return tmp_path / "page.html"


class Reader(HTMLParser):
    """Tags that are open, every tag's attributes, and the text by tag."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


def test_the_page_parses_and_what_is_said_stays_text(page: Path) -> None:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    assert [tag for tag, _ in reader.seen].count("script") == 2
    assert not any("onerror" in attributes for _, attributes in reader.seen)
    said = [text for tag, text in reader.texts if tag == "td"]
    assert f"a dog {NASTY}" in said
    (data,) = [text for tag, text in reader.texts if tag == "script" and text.startswith("[")]
    assert json.loads(data)[0]["captions"][0]["words"] == ["a", "dog", NASTY]


def test_the_page_names_no_address_outside_itself(page: Path) -> None:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    for tag, attributes in reader.seen:
        for name in ("src", "href", "action", "poster", "data", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), f"{tag} {name}"
    policy = next(each["content"] for _, each in reader.seen if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    style = next(text for tag, text in reader.texts if tag == "style")
    assert not re.search(r"url\(|@import", style)


def test_captioners_that_watched_the_same_frames_share_them(page: Path) -> None:
    data = re.search(r'<script id="data"[^>]*>(.*?)</script>', page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert data is not None
    (film,) = json.loads(data[1])
    assert [len(frames) for frames in film["frames"]] == [3]
    assert np.allclose(np.array(film["captions"][0]["time"]).sum(axis=-1), film["scale"])


@pytest.fixture
def sunk(page: Path) -> Path:
    """A page of one caption by a toy: in every adapter and at every word patch 2 of 4 has 0.6, the rest is even."""
    explanation = explained(("a", "dog", "runs"))
    space = np.where(np.arange(4) == 2, 0.6, 0.4 / 3) * np.ones((3, 2, 1))
    explanation = replace(explanation, shares={**explanation.shares, "space": space})
    said = FilmCaption(captioner="toy-one", explanation=explanation, seconds=0.5, toy=True)
    media = playable(page.with_name("film.mp4"))
    film = PageFilm(title="film", media=media, truth="", references=(), captions=(said,), note="It is a toy.")
    other = replace(film, captions=(replace(said, captioner="real", toy=False),), note="")
    captioners = [PageCaptioner(name=name, gates=gates_of(explanation), seconds=1) for name in ("toy-one", "real")]
    write_page(page, [film, other], captioners, title="t", note="n")
    return page


def test_sinks_are_in_the_page_of_the_mean_and_of_each_adapter(sunk: Path) -> None:
    data = re.search(r'<script id="data"[^>]*>(.*?)</script>', sunk.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert data is not None
    sinks = json.loads(data[1])[0]["captions"][0]["sinks"]
    assert sinks == {"space": [[0, 0, 6000, 0]] * 3, "time": [[0, 0, 0]] * 3}


def test_a_toy_is_marked_beside_its_name_and_a_film_that_it_left_alone_has_no_seconds(sunk: Path) -> None:
    text = sunk.read_text(encoding="utf-8")
    assert text.count("<small class=toy>toy</small>") == 1
    assert "toy-one</button><small class=toy>toy</small>" in text
    assert "<p class=note>It is a toy.</p>" in text
    assert "<tr><td>toy-one</td><td class=n>1.00 s</td><td class=n>0.50 s</td><td class=n></td></tr>" in text
    assert "<tr><td>real</td><td class=n>1.00 s</td><td class=n></td><td class=n>0.50 s</td></tr>" in text


@pytest.mark.slow
@needs_chromium
def test_in_a_browser_a_sink_is_crossed_and_has_no_heat(sunk: Path, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile") as browser:
        browser.go(sunk.as_uri())
        summary = browser.wait("document.querySelector('.summary')?.textContent")
        assert "Attention sinks: 1 crossed region (60 % of the attention at every word" in summary
        assert "the region with the most attention has 13 %" in summary
        assert browser.complaints == []


def test_a_page_of_ours_is_replaced_and_nothing_else(page: Path, tmp_path: Path) -> None:
    write_page(page, [], [], title="new", note="")
    assert "<h1>new</h1>" in page.read_text(encoding="utf-8")
    mine = tmp_path / "mine.html"
    mine.write_text("<p>years of work")
    with pytest.raises(InputError, match=r"mine.html is there and is no page of this kind"):
        write_page(mine, [], [], title="new", note="")
    with pytest.raises(InputError, match="is a folder"):
        write_page(tmp_path, [], [], title="new", note="")
    assert mine.read_text() == "<p>years of work"


@pytest.fixture
def browser(tmp_path: Path, page: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as running:
        running.go(page.as_uri())
        running.wait("document.querySelectorAll('.words button').length === 3")
        yield running
        assert running.complaints == []


PICTURE = "document.querySelector('canvas').toDataURL()"
WORDS = "[...document.querySelectorAll('.words button')]"


def picture_after(browser: Chromium, before: str) -> str:
    browser.wait(f"{PICTURE} !== {json.dumps(before)}")
    return str(browser.value(PICTURE))


@pytest.mark.slow
@needs_chromium
def test_in_a_browser_the_film_is_there_and_a_word_changes_the_heat_map(browser: Chromium) -> None:
    browser.wait("document.querySelector('video').readyState >= 2")
    assert browser.value("document.querySelector('video').duration") == pytest.approx(2.5, abs=0.2)
    first = picture_after(browser, browser.value("document.createElement('canvas').toDataURL()"))
    browser.value(f"{WORDS}[1].click()")
    second = picture_after(browser, first)  # of the same frame
    assert browser.value(f"{WORDS}.map((button) => button.getAttribute('aria-pressed'))") == ["false", "true", "false"]
    assert "At “dog” the region" in browser.value("document.querySelector('.summary').textContent")
    browser.value("(() => { const s = document.querySelector('select'); s.value = '1'; s.onchange(); })()")
    picture_after(browser, second)
    most = "[...document.querySelectorAll('.frame')].findIndex((frame) => frame.classList.contains('most'))"
    assert browser.value(most) == 1  # the second word in the second adapter


@pytest.mark.slow
@needs_chromium
def test_in_a_browser_each_captioner_has_its_own_words_and_one_that_says_nothing_none(browser: Chromium) -> None:
    assert browser.value(f"{WORDS}.map((button) => button.textContent)") == ["a", "dog", NASTY]
    browser.value("document.querySelectorAll('button.captioner')[1].click()")
    assert browser.value(f"{WORDS}.map((button) => button.textContent)") == ["two", "cats"]
    browser.value("document.querySelectorAll('button.captioner')[2].click()")
    assert browser.value("document.querySelector('.words').textContent") == "The caption is empty."
    browser.value("document.querySelectorAll('button.captioner')[0].click()")
    assert browser.value(f"{WORDS}.length") == 3


def test_the_note_is_in_paragraphs(page: Path) -> None:
    write_page(page, [], [], title="new", note="what <it> is\n\nwhat to do")
    assert "<p class=note>what &lt;it&gt; is</p>\n<p class=note>what to do</p>" in page.read_text(encoding="utf-8")


def heard(explanation: Explanation, moments: int = 5) -> Explanation:
    """Word k listens to moment k."""
    words = len(explanation.words)
    shares = 0.1 + 0.5 * np.eye(moments)[np.arange(words) % moments]
    return replace(
        explanation,
        shares={**explanation.shares, "sound": np.repeat(shares[:, None], 2, axis=1)},
        by_sound=np.full((words, 2), 0.0625),
        sound_times=np.arange(moments) + 0.25,
        spectrogram=np.arange(8 * 40, dtype=np.uint8).reshape(8, 40),
    )


@needs_chromium
def test_a_strip_of_sound_stands_under_the_frames_of_a_captioner_that_heard(page: Path, tmp_path: Path) -> None:
    loud = FilmCaption(captioner="hears", explanation=heard(explained(("a", "bell", "rings"))), seconds=0.5)
    deaf = FilmCaption(captioner="deaf", explanation=explained(("a", "bell")), seconds=0.5)
    film = PageFilm(
        title="film", media=playable(page.with_name("film.mp4")), truth="", references=(), captions=(loud, deaf)
    )
    write_page(page, [film], [], title="t", note="n")
    with Chromium(tmp_path / "profile") as browser:
        browser.go(page.as_uri())
        browser.wait("document.querySelectorAll('.strip div').length === 5")
        browser.value("document.querySelectorAll('.words button')[1].click()")
        most = "[...document.querySelectorAll('.strip div')].findIndex((bar) => bar.className === 'most')"
        assert browser.value(most) == 1
        assert browser.value("document.querySelector('.strip').style.backgroundImage").startswith('url("data:image/')
        summary = browser.value("document.querySelector('.summary').textContent")
        assert "moment of sound with the most attention, at 1.3 s, has 60 % (average 20 %)" in summary
        assert "the part due to sound is 6.3 %" in summary
        browser.value("document.querySelectorAll('button.captioner')[1].click()")
        assert browser.value("document.querySelector('.strip').offsetHeight") == 0
        assert "sound" not in browser.value("document.querySelector('.summary').textContent")
        assert browser.complaints == []
