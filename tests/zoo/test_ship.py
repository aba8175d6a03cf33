"""What the package ships: small, whole, loaded without a network, and better than a captioner that sees nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pseudocap import PseudoCap, list_checkpoints
from pseudocap.audio.spectrogram import sound_windows
from pseudocap.cli.main import main
from pseudocap.decoding import LabelDecoding
from pseudocap.files import sources as places
from pseudocap.files.reading import sha256_of
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.hub.manifest import EXTERNAL
from pseudocap.label.teachers.base import View
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.memory import Memory
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.retrieval import CUTOFFS, retrieval_scores
from pseudocap.metrics.suite import score
from pseudocap.model.encoders.load import load_audio_encoder
from pseudocap.model.weights import read_tensors
from pseudocap.regimes.table import REGIMES
from pseudocap.retriever import Retriever
from pseudocap.toyworld.corpora import captions_at, film_at, soundtrack_at
from pseudocap.toyworld.film import write_film
from pseudocap.toyworld.render import render
from pseudocap.toyworld.synthesis import RATE, SOUNDS, waveform
from pseudocap.toyworld.truth import judge
from pseudocap.types import Clip
from pseudocap.zoo.demo import toy_films
from pseudocap.zoo.packaged import LARGE, WITHOUT_LARGE
from pseudocap.zoo.real_pages import DECODER_PAGE, ENCODER_PAGE
from pseudocap.zoo.recipe import FULL_RECIPE
from pseudocap.zoo.ship import AST, BLIP, LIMIT, REAL_LIMIT, SEARCH_LIMIT, install, manifest_text

LARGE_ROW = pytest.param(
    "real-photos-smollm2", marks=pytest.mark.skipif(not all(map(find_spec, LARGE)), reason=WITHOUT_LARGE)
)
REAL = ["real-photos", "real-mixed", "real-video"]
ROWS = [*REAL, *(f"toy-{regime}{suffix}" for regime in REGIMES for suffix in ("", "-pretrained"))]
SEARCHES = ("real-search", "toy-search")
BEST, HEARS = "toy-mixed-ext", "toy-hears"
FILMS = 32
AXIS = ("norm.weight", "norm.bias", "query.weight", "key.weight", "value.weight")
STORED = {
    *(f"attention.{axis}.{part}" for axis in ("time", "space") for part in AXIS),
    *("attention.mix.weight", "ffn.up.weight", "ffn.up.bias", "ffn.down.weight", "ffn.down.bias"),
    *("norm.weight", "norm.bias", "ffn_norm.weight", "ffn_norm.bias", "attention_gate", "ffn_gate"),
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for what the package ships")

    def to_processes_alone(end: socket.socket, address: Any) -> None:
        connect(end, address) if end.family == socket.AF_UNIX else refuse()

    monkeypatch.setattr(socket.socket, "connect", to_processes_alone)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [film.path for film in toy_films(tmp_path_factory.mktemp("films"), FILMS)]


def test_all_that_is_shipped_fits_and_is_no_pickle() -> None:
    files = [path for path in places.SHIPPED.rglob("*") if path.is_file()]
    sizes = {
        folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in places.SHIPPED.iterdir()
    }
    for name in SEARCHES:
        assert 0 < sizes.pop(name) <= SEARCH_LIMIT
    toys = {name: size for name, size in sizes.items() if name.startswith("toy-")}
    assert 0 < sum(toys.values()) <= LIMIT
    assert 0 < sum(size for name, size in sizes.items() if name not in toys) <= REAL_LIMIT
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".txt"}


@pytest.mark.parametrize("name", [*ROWS, LARGE_ROW])
def test_every_row_has_the_hash_that_it_says_and_loads(name: str) -> None:
    (row,) = (row for row in list_checkpoints() if row["name"] == name)
    assert sha256_of(places.SHIPPED / name / WEIGHTS_FILE) == row["weights"]["sha256"]
    model = PseudoCap.from_pretrained(name, device="cpu")
    assert model.config.decoder.fingerprint == row["decoder"]["fingerprint"]
    assert model.config.encoder.fingerprint == row["encoder"]["fingerprint"]
    stored = read_tensors(places.SHIPPED / name / WEIGHTS_FILE)
    assert {key.split(".", 1)[1] for key in stored} == STORED, "the names that every released checkpoint has"
    held = model.adapter_state()
    assert {key: tuple(tensor.shape) for key, tensor in stored.items()} == {
        key: tuple(tensor.shape) for key, tensor in held.items()
    }


def test_the_captioner_that_hears_has_the_hashes_that_its_row_says_and_an_axis_more() -> None:
    (row,) = (row for row in list_checkpoints() if row["name"] == HEARS)
    assert sha256_of(places.SHIPPED / HEARS / WEIGHTS_FILE) == row["weights"]["sha256"]
    model = PseudoCap.from_pretrained(HEARS, device="cpu")
    assert {name: backbone.source for name, backbone in model.config.backbones.items()} == {
        name: row[name]["source"] for name in ("decoder", "encoder", "audio_encoder")
    }
    for name, backbone in model.config.backbones.items():
        assert backbone.fingerprint == row[name]["fingerprint"]
    stored = read_tensors(places.SHIPPED / HEARS / WEIGHTS_FILE)
    assert {key.split(".", 1)[1] for key in stored} == STORED | {f"attention.sound.{part}" for part in AXIS}


def test_the_captioner_that_hears_names_what_is_heard_and_by_sight_alone_no_sound(tmp_path: Path) -> None:
    heard = {}
    for index in range(FILMS):
        film, track = (draw("valor", "test", index, seed=FULL_RECIPE.seed) for draw in (film_at, soundtrack_at))
        if track.noises:
            path = tmp_path / f"{index}.mp4"
            write_film(path, film, size=FULL_RECIPE.size, track=track)
            heard[path] = film, track.heard
    model = PseudoCap.from_pretrained(HEARS, device="cpu")
    found = {
        modalities: [
            judge(text, film.shots, names)
            for text, (film, names) in zip(model.caption([*heard], modalities=modalities), heard.values(), strict=True)
        ]
        for modalities in ("av", "v")
    }
    assert sum(verdict.sounds_right for verdict in found["av"]) > 0.3 * len(heard)
    assert not any(verdict.sounds for verdict in found["v"])


def test_the_page_of_a_captioner_names_the_corpus_that_its_row_names() -> None:
    scored = [row for row in list_checkpoints() if row["scores"] and row["regime"] != EXTERNAL]
    assert len(scored) == 13
    for row in scored:
        folder, dataset = places.SHIPPED / row["name"], row["scores"][0]["dataset"]
        results, page = json.loads((folder / "results.json").read_text()), (folder / "README.md").read_text()
        assert results["data"]["corpus"] == dataset
        assert f"{results.get('unit', 'videos')} of {dataset} test" in page


def test_the_pages_of_real_captioners_and_networks_say_what_they_have_learned_from_and_the_terms() -> None:
    for name in (*REAL, "real-photos-smollm2", "real-search"):
        results, page = json.loads((places.SHIPPED / name / "results.json").read_text()), page_of(name)
        assert results["trained_on"], name
        assert all(f"- {each}" in page for each in results["trained_on"])
        assert "Flickr8k is for non-commercial research and education, and so are weights that have learned" in page
        assert ("Pseudolabels of 66 clips" in page) == (name in ("real-mixed", "real-video"))
        assert "On 1,000 photographs of flickr8k test" in page
    assert page_of("efficientnet-lite0") == ENCODER_PAGE
    assert page_of("real-opt") == DECODER_PAGE
    for words in ("Apache License, Version 2.0", "Copyright (c) 2020, ML Illustrated", "Changed: "):
        assert words in ENCODER_PAGE, "as the licence asks of whoever passes it on"
    assert (Path(__file__).parents[2] / "LICENSE").read_text().split()[:4] == ["Apache", "License", "Version", "2.0,"]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_retriever_has_the_hash_that_its_row_says_and_the_figures_that_the_docs_print(name: str) -> None:
    (row,) = (row for row in list_checkpoints() if row["name"] == name)
    assert sha256_of(places.SHIPPED / name / WEIGHTS_FILE) == row["weights"]["sha256"]
    model = Retriever.from_pretrained(name, device="cpu")
    assert (model.config.text.fingerprint, model.config.encoder.fingerprint) == (
        row["text"]["fingerprint"],
        row["encoder"]["fingerprint"],
    )
    torch.testing.assert_close(model.embed_text(["a dog runs"]).norm(dim=1), torch.ones(1))
    docs = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    lines = [line for line in docs.splitlines() if f"| {name} |" in line]
    for each in row["scores"]:
        assert any(all(f" {value:.1f} (" in line for value in each["metrics"].values()) for line in lines), each


def test_the_toy_retriever_finds_held_out_films_by_what_people_write_of_them(films: list[Path]) -> None:
    model = Retriever.from_pretrained("toy-search", device="cpu")
    texts = [captions_at("msrvtt", "test", place, seed=FULL_RECIPE.seed, count=1)[0] for place in range(FILMS)]
    scores = retrieval_scores(model.similarity(texts, films).numpy(), range(FILMS))
    assert scores["R@1"] >= 3 * 100 / FILMS
    assert scores["MedR"] < FILMS / 3


def page_of(name: str) -> str:
    return (places.SHIPPED / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_cold_process_loads_a_captioner_in_two_seconds_after_its_imports() -> None:
    code = (
        "import time, torch, transformers, pseudocap.captioner\n"
        "from pseudocap import PseudoCap\n"
        "torch.set_num_threads(1)\n"
        "started = time.process_time()\n"
        f"PseudoCap.from_pretrained({BEST!r}, device='cpu')\n"
        "print(time.process_time() - started)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


def test_captions_of_held_out_films_are_better_than_a_blind_captioners(films: list[Path]) -> None:
    model = PseudoCap.from_pretrained(BEST, device="cpu")
    references = {
        path.stem: captions_at("msrvtt", "test", place, seed=FULL_RECIPE.seed) for place, path in enumerate(films)
    }
    seen = dict(zip(references, model.caption(films, batch_size=FILMS), strict=True))
    shape = (FILMS, 8)
    blind = Memory.of_sight(
        time=torch.zeros(*shape, model.encoder.config.width),
        space=torch.zeros(*shape, model.encoder.config.width),
    )
    unseen = dict(zip(references, model.decode(model.generate(blind)), strict=True))
    sighted, blinded = (score(predictions=each, references=references)["CIDEr-D"] for each in (seen, unseen))
    assert sighted > 2 * blinded
    assert len(set(unseen.values())) == 1


def test_the_shipped_audio_encoder_tells_sounds_apart_that_it_never_heard() -> None:
    encoder = load_audio_encoder(f"pseudocap://{AST}")
    pairs = [[waveform(name, 5 * RATE, 1.0, 1000 + seed) for name in SOUNDS] for seed in (0, 1)]
    heard = []
    for sounds in pairs:
        windows, lengths = zip(*(sound_windows(0.5 * sound, encoder.preprocess) for sound in sounds), strict=True)
        memory = encoder.encode(torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(lengths)))
        assert memory.axes["sound"].mask[0].sum() == 20, "four a second"
        heard.append(memory.axes["sound"].vectors.amax(1))
    nearest = torch.cdist(heard[0], heard[1]).argmin(1)
    assert (nearest == torch.arange(len(SOUNDS))).sum() >= 0.9 * len(SOUNDS)


def test_the_shipped_teacher_names_what_held_out_stills_show() -> None:
    teacher = ImageTextTeacher(f"pseudocap://{BLIP}", decoding=LabelDecoding(temperature=0.01))
    shown = [film_at("stills", "train", place, seed=FULL_RECIPE.seed) for place in range(FILMS)]
    views = [
        View(clip=Clip(source="still", start=0.0, end=0.0), frames=render(film, 0, FULL_RECIPE.size)[None], key=place)
        for place, film in enumerate(shown)
    ]
    said = [answer.captions[0] for answer in teacher.caption(views)]
    right = [judge(text, film.shots).things_right for text, film in zip(said, shown, strict=True)]
    assert sum(right) > FILMS / 2


@pytest.mark.slow
def test_verify_finds_a_rows_scores_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recalls = {f"{way}R@{cutoff}" for way in ("", "text ") for cutoff in CUTOFFS}
    assert main(["zoo", "verify", BEST, "toy-search", "--data", str(tmp_path), "--json"]) == 0
    for finding, metrics in zip(json.loads(capsys.readouterr().out), (METRICS, recalls), strict=True):
        assert finding["problems"] == []
        assert finding["scores"].keys() == {*metrics}


def test_installing_a_build_leaves_what_other_builds_ship(tmp_path: Path) -> None:
    package, built = tmp_path / "pseudocap", tmp_path / "built"
    for folder, text in ((package / "zoo" / "shipped" / "real", "kept"), (built / "shipped" / "toy", "new")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(text)
    (package / "zoo" / "shipped" / "toy").mkdir()
    (package / "zoo" / "shipped" / "toy" / "stale.json").touch()
    for rows, names in ((tmp_path / "checkpoints.yaml", ("real", "toy")), (built / "checkpoints.yaml", ("toy",))):
        figures = [{"name": "GIT2", "scores": []}] if len(names) == 2 else []
        rows.write_text(manifest_text([{"name": name, "of": rows.parent.name} for name in names], figures))
    install(built, package)
    shipped = {str(path.relative_to(package)) for path in package.rglob("*.json")}
    assert shipped == {"zoo/shipped/real/config.json", "zoo/shipped/toy/config.json"}
    document = yaml.safe_load((tmp_path / "checkpoints.yaml").read_text())
    assert [(row["name"], row["of"]) for row in document["checkpoints"]] == [("real", tmp_path.name), ("toy", "built")]
    assert document["published"] == [{"name": "GIT2", "scores": []}]
