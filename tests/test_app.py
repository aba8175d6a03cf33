"""The page in a real Chromium, on the real command line's server: upload, caption, compare, correct, download."""

from __future__ import annotations

import argparse
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.chromium import Chromium, find_chromium
from helpers.pages import page_of
from helpers.shaded_films import write_film
from PIL import Image

from pseudocap import PseudoCap, list_checkpoints
from pseudocap.cli import app as cli
from pseudocap.cli.main import main
from pseudocap.cli.registry import DEFAULT_CAPTIONER
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError, DataError, InputError
from pseudocap.search import SearchHit, VideoIndex
from pseudocap.video.subtitles import merge_equal, to_srt

app = pytest.importorskip("pseudocap.app", reason="Gradio is not installed: pip install 'pseudocap[app]'")


def needs_browser(test):  # type: ignore[no-untyped-def]
    why = "no Chromium on the PATH (Debian: apt-get install chromium)"
    return pytest.mark.slow(pytest.mark.skipif(find_chromium() is None, reason=why)(test))


@pytest.fixture
def captioners(model: PseudoCap, build, tmp_path: Path) -> list[str]:  # type: ignore[no-untyped-def]
    model.save_pretrained(tmp_path / "one")
    build("opt-350m").save_pretrained(tmp_path / "other")
    return [str(tmp_path / "one"), str(tmp_path / "other")]


@pytest.fixture
def address(captioners: list[str], tmp_path: Path) -> Iterator[str]:
    """`pseudocap app` as its own process, ended by Ctrl-C, which leaves nothing; where its page is."""
    words = [word for name in captioners for word in ("--checkpoint", name)]
    (tmp_path / "scratch").mkdir()
    options = ("--port", "0", "--device", "cpu", "--max-upload", "1")
    with page_of("app", *words, *options, env={"TMPDIR": str(tmp_path / "scratch")}) as url:
        yield url.rstrip("/")
    assert not list((tmp_path / "scratch").glob("pseudocap-app-*"))


@pytest.fixture
def browser(tmp_path: Path, address: str) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as running:
        running.go(address)
        running.wait("document.querySelector('#video input[type=file]') !== null", 60)
        running.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "got"))
        yield running


def upload(browser: Chromium, where: str, file: Path) -> None:
    """Upload a file as a person does who picks it in the dialog."""
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector=f"{where} input[type=file]")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)


def click(browser: Chromium, what: str) -> None:
    browser.wait(f"(it => it && !it.disabled && (it.click(), true))(document.querySelector('{what}'))", 60)


def open_tab(browser: Chromium, name: str) -> None:
    tabs = "[...document.querySelectorAll('button[role=tab]')]"
    browser.wait(f"(it => it && (it.click(), true))({tabs}.find(each => each.innerText.trim() == '{name}'))")


def rows(browser: Chromium, table: str, width: int) -> list[tuple[str, ...]]:
    cells = f"[...document.querySelectorAll('{table} [role=gridcell]')]"
    texts = browser.wait(
        f"{cells}.some(each => each.innerText.trim()) && {cells}.map(each => each.innerText.trim())", 60
    )
    return [tuple(texts[first : first + width]) for first in range(0, len(texts), width)]


def downloaded(browser: Chromium, button: str, path: Path) -> str:
    click(browser, button)
    deadline = time.monotonic() + 30
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    return path.read_text(encoding="utf-8")


TURNS = "[...document.querySelectorAll('#chat [data-testid=user], #chat [data-testid=bot]')]"
IDLE = "document.querySelector('#chat [data-testid=status-tracker]').classList.contains('hide')"  # no answer is awaited


def ask(browser: Chromium, question: str) -> None:
    browser.value("(it => { it.focus(); it.select(); })(document.querySelector('#question textarea, #question input'))")
    browser.write(question)
    click(browser, "#ask")


def upload_picture_to_ask_about(browser: Chromium, file: Path) -> None:
    browser.value("[...document.querySelectorAll('button[role=tab]')].filter(it => it.checkVisibility())"
                  ".find(it => it.innerText.trim() == 'Picture').click()")  # fmt: skip
    browser.wait("document.querySelector('#asked-picture input[type=file]') !== null")
    upload(browser, "#asked-picture", file)
    browser.wait("document.querySelector('#asked-picture img') !== null")


# Texts of cells that are wider or higher than their cell displays.
CUT = """[...document.querySelectorAll('#captions [role=gridcell]')].filter(cell =>
    [cell, ...cell.querySelectorAll('*')].some(each => getComputedStyle(each).overflow != 'visible' &&
        (each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1))
).map(cell => cell.innerText)"""

# What lies upon the figure, and would cover its title.
UPON_THE_FIGURE = """(figure => [...document.querySelectorAll('#looked label, #looked button')].filter(each => {
    const [one, other] = [each.getBoundingClientRect(), figure.getBoundingClientRect()];
    const meet = one.bottom > other.top && one.top < other.bottom;
    return one.width > 1 && one.height > 1 && meet && !each.contains(figure);
}).map(each => each.outerHTML))(document.querySelector('#looked img'))"""


@needs_browser
def test_a_video_is_captioned_and_corrected(browser: Chromium, model: PseudoCap, tmp_path: Path) -> None:
    film = write_film(tmp_path / "my film.mp4", 18)
    captions = list(merge_equal(model.caption_long(film)))
    upload(browser, "#video", film)
    browser.wait("document.querySelector('#video video') !== null")
    click(browser, "#caption")
    subtitles = downloaded(browser, "#srt", tmp_path / "got" / "my film.srt")
    assert subtitles == to_srt(captions)
    assert [row[2] for row in rows(browser, "#captions", 3)] == [each.text for each in captions]
    click(browser, "#why")
    browser.wait("document.querySelector('#looked img')?.naturalWidth > 600", 60)
    assert browser.value(CUT) == []
    assert browser.value(UPON_THE_FIGURE) == []
    open_tab(browser, "Correct")
    assert [row[3] for row in rows(browser, "#corrected", 4)] == [each.text for each in captions]
    click(browser, "#save")
    downloaded(browser, "#saved", tmp_path / "got" / "captions.jsonl")
    kept = read_own(tmp_path / "got" / "captions.jsonl", split="train")
    assert [(row.video, row.start, row.captions) for row in kept.rows] == [
        ("my film.mp4", each.start, (each.text,)) for each in captions
    ]
    assert browser.complaints == []


@needs_browser
def test_a_picture_is_captioned_and_counts_in_place_of_the_video(
    browser: Chromium, model: PseudoCap, tmp_path: Path
) -> None:
    upload(browser, "#video", write_film(tmp_path / "film.mp4", 4))
    browser.wait("document.querySelector('#video video') !== null")
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "still.png")
    open_tab(browser, "Picture")
    browser.wait("document.querySelector('#picture input[type=file]') !== null")
    upload(browser, "#picture", tmp_path / "still.png")
    browser.wait("document.querySelector('#picture img') !== null")
    open_tab(browser, "Video")
    browser.wait("document.querySelector('#video video') === null")
    click(browser, "#caption")
    assert [row[2] for row in rows(browser, "#captions", 3)] == [model.caption(tmp_path / "still.png")]
    assert browser.complaints == []


@needs_browser
def test_questions_about_a_video_are_answered_in_a_chat(browser: Chromium, model: PseudoCap, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 4)
    open_tab(browser, "Ask")
    browser.wait("document.querySelector('#asked input[type=file]') !== null")
    upload(browser, "#asked", film)
    browser.wait("document.querySelector('#asked video') !== null")
    questions = ["who runs?", "which way does it go?"]
    for number, question in enumerate(questions, start=1):
        ask(browser, question)
        texts = browser.wait(f"{TURNS}.length == {2 * number} && {TURNS}.map(each => each.innerText.trim())", 60)
    answers = model.ask(film, questions)
    assert texts == [text.strip() for pair in zip(questions, answers, strict=True) for text in pair]
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "still.png")
    upload_picture_to_ask_about(browser, tmp_path / "still.png")
    browser.wait(f"{TURNS}.length == 0")  # the chat was about another
    ask(browser, "who runs?")
    texts = browser.wait(f"{TURNS}.length == 2 && {TURNS}.map(each => each.innerText.trim())", 60)
    assert texts == ["who runs?", model.ask(tmp_path / "still.png", "who runs?").strip()]
    assert browser.complaints == []


@needs_browser
def test_an_answer_that_comes_after_another_file_is_not_in_its_chat(captioners: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "still.png")
    offered = app.Captioners(names=captioners, device="cpu")
    page = app.page(offered)
    theme = app.gr.themes.Default(font="system-ui", font_mono="monospace")  # none from another machine
    page.launch(server_name="127.0.0.1", theme=theme, ssr_mode=False, prevent_thread_lock=True, quiet=True)
    try:
        with Chromium(tmp_path / "profile") as browser:
            browser.go(page.local_url)
            open_tab(browser, "Ask")
            browser.wait("document.querySelector('#asked input[type=file]') !== null", 60)
            upload(browser, "#asked", write_film(tmp_path / "film.mp4", 4))
            browser.wait("document.querySelector('#asked video') !== null")
            with offered._lock:  # the answer waits for its captioner
                ask(browser, "who runs?")
                browser.wait(f"{IDLE} === false")
                upload_picture_to_ask_about(browser, tmp_path / "still.png")
            browser.wait(IDLE)
            ask(browser, "what is it?")
            texts = browser.wait(f"{TURNS}.length > 1 && {TURNS}.map(each => each.innerText.trim())", 60)
            model = offered.load(captioners[0])
            assert texts == ["what is it?", model.ask(tmp_path / "still.png", "what is it?").strip()]
            assert browser.complaints == []
    finally:
        page.close()


@needs_browser
def test_two_captioners_stand_side_by_side(browser: Chromium, captioners: list[str], tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 10)
    open_tab(browser, "Compare")
    browser.wait("document.querySelector('#compared input[type=file]') !== null")
    upload(browser, "#compared", film)
    browser.wait("document.querySelector('#compared video') !== null")
    click(browser, "#compare")
    both = [PseudoCap.from_pretrained(name, device="cpu") for name in captioners]
    expected = list(zip(*([each.text for each in one.caption_long(film)] for one in both), strict=True))
    browser.wait(f"document.querySelectorAll('#comparison [role=gridcell]').length == {4 * len(expected)}", 60)
    assert [row[2:] for row in rows(browser, "#comparison", 4)] == expected


@needs_browser
def test_an_index_is_searched_and_its_hits_play(model: PseudoCap, tmp_path: Path) -> None:
    """A film, a picture, and a film that has gone since."""
    from helpers.clip_models import write_image_text
    from helpers.colour_retriever import write_colours

    model.save_pretrained(tmp_path / "one")
    write_image_text(tmp_path / "clip")
    (tmp_path / "films").mkdir()
    gone = write_colours(tmp_path / "films" / "gone.mp4", "white")
    write_colours(tmp_path / "films" / "a.mp4", "red", "green")
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "films" / "still.png")
    words = ["--retriever", str(tmp_path / "clip"), "--out", str(tmp_path / "index"), "--clip-seconds", "2"]
    assert main(["index", str(tmp_path / "films"), *words, "--workers", "0"]) == 0
    gone.unlink()
    hits = VideoIndex.open(tmp_path / "index", device="cpu").search("a red dog")
    options = ("--checkpoint", str(tmp_path / "one"), "--index", str(tmp_path / "index"), "--device", "cpu")
    with page_of("app", *options, "--port", "0") as url, Chromium(tmp_path / "profile") as browser:
        browser.go(url.rstrip("/"))
        open_tab(browser, "Search")
        browser.wait("document.querySelector('#query textarea, #query input') !== null")
        cell = "document.querySelectorAll('#hits [role=gridcell]')[{}]"
        browser.value("document.querySelector('#query textarea, #query input').focus()")
        browser.write("a red dog")
        click(browser, "#search")
        found = rows(browser, "#hits", 6)
        assert [row[:2] for row in found] == [
            (str(rank), Path(hit.file).name) for rank, hit in enumerate(hits, start=1)
        ]
        names = [row[1] for row in found]
        toasts = "[...document.querySelectorAll('.toast-body')].map(each => each.innerText)"
        browser.click(cell.format(6 * names.index("a.mp4")))
        length = browser.wait("document.querySelector('#hit video')?.duration", 60)
        assert length == pytest.approx(2.0, abs=0.3)
        browser.click(cell.format(6 * names.index("still.png")))
        browser.wait("document.querySelector('#hit-picture img')?.naturalWidth > 0", 60)
        browser.click(cell.format(6 * names.index("gone.mp4")))
        assert str(tmp_path) not in browser.wait(f"{toasts}.find(text => text.includes('gone.mp4'))", 60)


def test_a_row_is_a_hit_by_its_rank_and_an_empty_table_has_none() -> None:
    hits = [SearchHit(file=file, start=0.0, end=2.0, score=0.5, caption="", note="") for file in ("a.mp4", "b.mp4")]
    assert app.hit_of_row(hits, [2, "b.mp4", "0:00.0", "0:02.0", 0.5, ""]) is hits[1]
    assert app.hit_of_row([], ["", "", "", "", "", ""]) is None


@needs_browser
def test_what_is_no_video_is_told_and_too_large_a_file_is_refused(browser: Chromium, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("no film")
    upload(browser, "#video", tmp_path / "broken.mp4")
    browser.wait("document.querySelector('#video video') !== null")
    click(browser, "#caption")
    toasts = "[...document.querySelectorAll('.toast-body')].map(each => each.innerText)"
    message = browser.wait(f"{toasts}.find(text => text.includes('broken.mp4'))", 60)
    assert str(tmp_path) not in message
    (tmp_path / "large.mp4").write_bytes(bytes(1_200_000))
    open_tab(browser, "Compare")
    browser.wait("document.querySelector('#compared input[type=file]') !== null")
    upload(browser, "#compared", tmp_path / "large.mp4")
    browser.wait("document.body.innerText.includes('exceed the maximum allowed size')", 60)


@pytest.mark.slow
def test_no_file_of_this_machine_can_be_asked_for(address: str, captioners: list[str]) -> None:
    for path in (f"{captioners[0]}/config.json", "/etc/passwd", "../../etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
        assert refused.value.code in (403, 404)


def test_only_what_is_offered_is_loaded(captioners: list[str]) -> None:
    offered = app.Captioners(names=captioners[:1], device="cpu")
    offered.load(captioners[0])
    with pytest.raises(ConfigError, match="is none of"):
        offered.load(captioners[1])


def test_captioners_are_loaded_once_and_the_last_two_are_kept(captioners: list[str], tmp_path: Path) -> None:
    shutil.copytree(captioners[0], tmp_path / "third")
    names = [*captioners, str(tmp_path / "third")]
    offered = app.Captioners(names=names, device="cpu")
    first = [offered.load(name) for name in names]
    assert [offered.load(name) is before for name, before in zip(names[::-1], first[::-1], strict=True)] == [
        True,
        True,
        False,
    ]


def test_a_picture_is_captioned_as_a_clip_of_its_own(captioners: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "still.jpg")
    offered = app.Captioners(names=captioners, device="cpu")
    (captions,) = offered.caption(str(tmp_path / "still.jpg"), captioners[0], 8.0)
    assert [each.text for each in captions] == [offered.load(captioners[0]).caption(tmp_path / "still.jpg")]


def test_of_all_rows_the_captioner_of_real_pictures_is_chosen_first() -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    offered = cli._names(parser.parse_args([]))
    assert offered[0] == DEFAULT_CAPTIONER
    assert sorted(offered) == sorted(
        row["name"] for row in list_checkpoints() if row["regime"] != "external" and "kind" not in row
    )


def test_a_model_of_transformers_is_offered_and_says_nothing_of_where_it_looked(
    blip_folder: Path, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.mp4", seconds=4)
    offered = app.Captioners(names=[str(blip_folder)], device="cpu")
    captions = list(offered.caption(str(film), str(blip_folder), 2.0))[-1]
    assert captions[-1].end == pytest.approx(4, abs=0.2)
    with pytest.raises(ConfigError, match="blip looked is not known: only a PseudoCap's adapters say it"):
        app.picture(offered.load(str(blip_folder)), str(film))


def test_a_question_and_its_answer_are_two_turns(captioners: list[str], model: PseudoCap, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", seconds=4)
    offered = app.Captioners(names=captioners, device="cpu")
    found = app.turns(offered.load(captioners[0]), str(film), " who runs? ")
    assert found == [
        {"role": "user", "content": "who runs?"},
        {"role": "assistant", "content": model.ask(film, "who runs?")},
    ]
    with pytest.raises(InputError, match="has no words"):
        app.turns(offered.load(captioners[0]), str(film), "  ")


def test_corrections_are_what_finetune_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    table = [["a.mp4", 0, 8, "a dog runs"], ["a.mp4", 8, 16, "  "], ["b.mp4", None, None, "a cat"]]
    corpus = read_own(app.fine_tuning_file(table), split="train")
    assert [(row.video, row.start, row.end, row.captions) for row in corpus.rows] == [
        ("a.mp4", 0.0, 8.0, ("a dog runs",)),
        ("b.mp4", None, None, ("a cat",)),
    ]
    with pytest.raises(DataError, match=r"line 1 \(a.mp4\)"):
        app.fine_tuning_file([["a.mp4", 9, 8, "a dog runs"]])
    with pytest.raises(ConfigError, match="no caption to save"):
        app.fine_tuning_file([["a.mp4", 0, 8, ""]])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port is 70000"),
        (["--max-upload", "0"], "--max-upload is 0 MB"),
        (["--checkpoint", "toy-mxed"], "toy-mxed is no directory here"),
        (["--checkpoint", "pseudocap://toy-opt"], "pseudocap://toy-opt is a opt, which writes no text about pictures"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", *words]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
