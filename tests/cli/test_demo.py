"""`pseudocap demo`: films captioned side by side, a table, JSON, and a page that shows why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.chromium import Chromium, find_chromium
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.cli import demo
from pseudocap.cli.main import main
from pseudocap.cli.registry import DEFAULT_CAPTIONER
from pseudocap.regimes.table import REGIMES
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.film import encode
from pseudocap.toyworld.grammar import full_truth
from pseudocap.zoo import packaged
from pseudocap.zoo.demo import truth_in_words
from pseudocap.zoo.packaged import packaged_media


@pytest.fixture
def captioners(build: Callable[..., PseudoCap], tmp_path: Path) -> list[str]:
    """Options that name two small captioners, one of each fusion."""
    options = []
    for fusion in ("residual", "convex"):
        build(fusion=fusion).save_pretrained(tmp_path / fusion)
        options += ["--checkpoint", str(tmp_path / fusion)]
    return options


@pytest.fixture
def film(tmp_path: Path) -> str:
    encode(tmp_path / "film.mp4", list(np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)))
    return str(tmp_path / "film.mp4")


def test_own_films_and_pictures_are_captioned_by_each_captioner(
    captioners: list[str], film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 20), "teal").save(tmp_path / "still.png")
    page = tmp_path / "page.html"
    files = [film, str(tmp_path / "still.png")]
    assert main(["demo", *files, *captioners, "--out", str(page), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["page"] == str(page)
    assert [each["film"] for each in report["films"]] == ["film.mp4", "still.png"]
    names = captioners[1::2]
    for each, path in zip(report["films"], files, strict=True):
        for said, name in zip(each["captions"], names, strict=True):
            assert said["checkpoint"] == name
            assert said["caption"] == PseudoCap.from_pretrained(name, device="cpu").caption(path)
    text = page.read_text(encoding="utf-8")
    assert text.count("<video") == 1
    assert "data:video/mp4;base64," in text


def test_a_toy_film_stands_beside_its_truth(
    captioners: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["demo", "--films", "1", *captioners[:2]]) == 0
    printed = capsys.readouterr().out
    assert full_truth(film_at("msrvtt", "test", 0, seed=0)) in printed
    assert "demo.html" in printed
    assert (tmp_path / "demo.html").is_file()


@pytest.fixture
def called(captioners: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The small captioners in the places of the shipped ones, the second a toy's."""
    monkeypatch.setattr(demo, "_captioners", lambda args: {captioners[1]: False, captioners[3]: True})
    return captioners[1::2]


def films_of(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, list[str]]]:
    report = json.loads(capsys.readouterr().out)
    return [(each["film"], [said["checkpoint"] for said in each["captions"]]) for each in report["films"]]


def test_real_pictures_and_video_of_packages_stand_beside_one_drawn_film(
    called: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--json"]) == 0
    *real, drawn = films_of(capsys)
    carried = [path for paths in packaged_media().values() for path in paths]
    assert real == [(path.name, called[:1]) for path in carried]
    assert "grace_hopper.jpg" in [path.name for path in carried]  # of matplotlib, which is always there
    assert drawn == ("toy film 0 of the test split", called[1:])


def test_named_files_stand_there_instead_and_a_folder_is_what_it_holds(
    called: list[str], film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (40, 20), "teal").save(tmp_path / "mine" / "still.jpg")
    assert main(["demo", film, "mine", "--json"]) == 0
    assert [name for name, _ in films_of(capsys)] == ["film.mp4", "still.jpg", "toy film 0 of the test split"]


def test_without_the_packages_one_line_says_so_and_the_drawn_film_is_there(
    called: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged, "inside_package", lambda package, name: None)
    assert main(["demo", "--json"]) == 0
    printed = capsys.readouterr()
    assert [each["film"] for each in json.loads(printed.out)["films"]] == ["toy film 0 of the test split"]
    assert printed.err.count("neither gradio nor scikit-image is installed") == 1


def test_the_first_captioner_of_the_demo_is_the_one_of_real_pictures() -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    found = demo._captioners(parser.parse_args([]))
    assert list(found) == [DEFAULT_CAPTIONER, *demo.SHIPPED]
    assert list(found.values()) == [False, *(True for _ in demo.SHIPPED)]


def test_a_caption_is_held_against_the_scene() -> None:
    film = film_at("msrvtt", "test", 0, seed=0)
    assert truth_in_words(full_truth(film), film.shots) == "true"
    assert truth_in_words("", film.shots).startswith("names nothing")
    assert truth_in_words("a purple dinosaur and a red robot and a blue cat", film.shots).startswith("wrong: ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["--films", "0"], "--films must be 1 to 12, not 0"),
        (["--films", "2", __file__], "--films counts toy films"),
        (["--steps", "3"], "--steps and --seed belong to --from-nothing"),
        (["--from-nothing", "--films", "2"], "--films has no meaning with --from-nothing"),
        (["--from-nothing", __file__], "leave the files out"),
        (["{empty}"], "the folder holds no video and no image"),
        (["--checkpoint", "x", "--out", "."], "is a folder; name the page"),
        (["--checkpoint", "no-such-row", "--films", "1"], "no-such-row is no directory here"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_page(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = tmp_path_factory.mktemp("empty")
    assert main(["demo", *(each.format(empty=empty) for each in arguments)]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_film_is_told_before_a_captioner_is_loaded(
    model: PseudoCap, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_text("no film")
    model.save_pretrained("mine")
    (tmp_path / "mine" / "adapter_model.safetensors").write_bytes(b"no weights")  # of which loading would complain
    assert main(["demo", "broken.mp4", "--checkpoint", "mine"]) == 2
    assert "broken.mp4" in capsys.readouterr().err


def test_without_the_shipped_rows_the_way_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.yaml").write_text(yaml.safe_dump({"checkpoints": []}))
    monkeypatch.setattr("pseudocap.hub.manifest.find_manifest", lambda: tmp_path / "none.yaml")
    assert main(["demo"]) == 2
    error = capsys.readouterr().err
    assert "toy-mixed-ext" in error
    assert "--from-nothing" in error


def test_the_verb_and_the_demo_name_the_same_five() -> None:
    assert tuple(demo.SHIPPED) == tuple(f"toy-{regime}" for regime in REGIMES)


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the PATH")
def test_the_shipped_regimes_fill_a_page_that_works_in_a_browser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--films", "1", "--out", str(tmp_path / "demo.html"), "--json"]) == 0
    (film,) = json.loads(capsys.readouterr().out)["films"]
    assert [said["checkpoint"] for said in film["captions"]] == list(demo.SHIPPED)
    with Chromium(tmp_path / "profile") as browser:
        browser.go((tmp_path / "demo.html").as_uri())
        browser.wait("document.querySelector('video').readyState >= 2")
        for index, each in enumerate(film["captions"]):
            browser.value(f"document.querySelectorAll('button.captioner')[{index}].click()")
            words = browser.value("[...document.querySelectorAll('.words button')].map((each) => each.textContent)")
            assert words == each["caption"].split()
        assert browser.complaints == []


def test_the_gates_of_a_shipped_row_are_shown_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "show", "toy-mixed", "--gates", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    by_name = PseudoCap.from_pretrained("toy-mixed", device="cpu").adapters
    assert {gate["layer"] for gate in report["gates"]} == set(by_name)
    with torch.no_grad():
        means = [gate.float().mean().item() for each in by_name.values() for gate in each.gates().values()]
    assert [gate["mean"] for gate in report["gates"]] == pytest.approx(means, abs=1e-3)
