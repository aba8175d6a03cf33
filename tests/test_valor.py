"""ValorModel with files: saved and loaded, it captions, finds and answers by sight, sound or both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.sounding import Track, write_sounding
from helpers.valors import build_valor, random_memory, write_valor_backbones

import pseudocap
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError, ConfigError, InputError, NoSoundError
from pseudocap.external_retrieval import load_retriever
from pseudocap.hub.retrievers import find_retriever
from pseudocap.valor import ValorModel

SHORT = {"max_new_tokens": 4}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_valor_backbones(tmp_path_factory.mktemp("valor"))


@pytest.fixture(scope="module")
def saved(backbones: Path, own: Path) -> Path:
    build_valor(backbones, own, sight="pooled").save_pretrained(own / "model", results={"regime": "Valor"})
    return own / "model"


@pytest.fixture(scope="module")
def model(saved: Path) -> ValorModel:
    return ValorModel.from_pretrained(saved, device="cpu")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    write_sounding(folder / "loud.mp4", Track(end=1.0), seconds=1.0)
    write_sounding(folder / "silent.mp4", seconds=1.0)
    return [folder / "loud.mp4", folder / "silent.mp4"]


def test_a_saved_model_loads_as_it_was(saved: Path, model: ValorModel, backbones: Path, own: Path) -> None:
    first = build_valor(backbones, own, sight="pooled")
    memory = random_memory()
    assert model.state_dict().keys() == first.state_dict().keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert model.bert.lm.cls.predictions.decoder.weight is model.bert.lm.bert.embeddings.word_embeddings.weight
    assert model.describe(memory, **SHORT) == first.describe(memory, **SHORT)
    assert isinstance(pseudocap.load(saved, device="cpu"), ValorModel)
    assert isinstance(load_retriever(saved, device="cpu"), ValorModel)
    assert find_retriever(saved).kind == "valor"
    with pytest.raises(ConfigError, match="precision is int8, and a VALOR computes in float32 alone"):
        pseudocap.load(saved, precision="int8", device="cpu")


def test_files_are_captioned_and_found_by_what_they_have(model: ValorModel, films: list[Path]) -> None:
    captions = model.caption(films, **SHORT)
    assert captions == [model.caption(film, **SHORT) for film in films]
    assert model.caption(films[1], modalities="v", **SHORT) == captions[1]
    assert model.caption(films[0], modalities="a", **SHORT) != captions[0]
    with pytest.raises(NoSoundError, match=r"silent\.mp4"):
        model.caption(films[1], modalities="a", **SHORT)
    texts = ["a red square", "two dogs"]
    found = model.similarity(texts, films)
    assert found.shape == (2, 2)
    assert model.embed_video(films).shape == (2, 8)
    before = model.identity
    model.listen_to("v")
    try:
        torch.testing.assert_close(model.similarity(texts, films)[:, 1], found[:, 1])
        assert not torch.allclose(model.similarity(texts, films)[:, 0], found[:, 0])
        assert model.identity != before
        model.listen_to("a")
        with pytest.raises(NoSoundError, match=r"silent\.mp4"):
            model.embed_video(films[1])
        assert model.similarity(texts, films[:1]).shape == (2, 1)
    finally:
        model.listen_to("av")


def test_questions_are_answered_one_or_many(model: ValorModel, films: list[Path]) -> None:
    asked = ["what moves", "who plays the guitar"]
    each = [model.answer(films[0], question, **SHORT) for question in asked]
    assert model.answer(films[0], asked, **SHORT) == each
    assert model.ask(films[0], asked[:1], **SHORT) == each[:1]
    assert model.ask(films[0], asked[0], **SHORT) == each[0]
    both = model.answer(films, asked, **SHORT)
    assert both == [each[0], model.answer(films[1], asked[1], **SHORT)]
    assert model.answer(films, asked[0], batch_size=1, **SHORT)[0] == each[0]
    assert model.answer([], []) == []
    with pytest.raises(InputError, match="3 questions about 2 files"):
        model.answer(films, ["a", "b", "c"])
    with pytest.raises(InputError, match=r"question 0 is '\?' and must have"):
        model.answer("nowhere.mp4", "?")


def test_a_model_that_does_not_hear_refuses_sound(backbones: Path, own: Path, films: list[Path]) -> None:
    deaf = build_valor(backbones, own, sight="pooled", audio_encoder=None)
    assert deaf.caption(films[0], **SHORT)
    with pytest.raises(InputError, match="does not hear: modalities is 'a'"):
        deaf.caption(films[0], modalities="a")
    with pytest.raises(InputError, match="does not hear"):
        deaf.listen_to("a")


def test_a_new_bert_has_the_sizes_and_the_words_of_another(backbones: Path, own: Path) -> None:
    (own / "empty").mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (own / "empty" / name).write_bytes((own / "bert" / name).read_bytes())
    with pytest.raises(CheckpointError, match="pretrained: false makes a new one"):
        build_valor(backbones, own, text=own / "empty")
    new = build_valor(backbones, own, text=own / "empty", pretrained=False, loud=False)
    again = build_valor(backbones, own, text=own / "empty", pretrained=False, loud=False)
    other = build_valor(backbones, own, text=own / "empty", pretrained=False, loud=False, seed=1)
    states = [each.state_dict()["bert.lm.bert.embeddings.word_embeddings.weight"] for each in (new, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    with pytest.raises(ConfigError, match="is a 'opt', and VALOR's text is a BERT"):
        build_valor(backbones, own, text=backbones / "opt")


def test_another_tokenizer_is_refused(saved: Path, own: Path, tmp_path: Path) -> None:
    other = tmp_path / "bert"
    other.mkdir()
    for path in (own / "bert").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    document = json.loads((other / "tokenizer.json").read_text())
    words = document["model"]["vocab"]
    words["dogs"], words["guitar"] = words["guitar"], words["dogs"]
    (other / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"is not the one that .* was trained with"):
        ValorModel.from_pretrained(saved, text=other, device="cpu")


def test_the_verbs_take_it(saved: Path, films: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--checkpoint", str(saved), "--max-new-tokens", "4", "--device", "cpu", "--format", "jsonl"]
    assert main(["caption", str(films[0]), *words, "--modalities", "a"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["caption"]
    assert main(["ask", str(films[0]), "what moves?", *words, "--modalities", "v"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "what moves?"


@pytest.mark.slow
def test_an_index_of_it_is_searched(
    saved: Path, films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--retriever", str(saved), "--out", str(tmp_path / "index"), "--workers", "0", "--device", "cpu"]
    assert main(["index", str(films[0].parent), *words]) == 0
    capsys.readouterr()
    assert main(["search", "two dogs", "--index", str(tmp_path / "index"), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hits"]) == 2
