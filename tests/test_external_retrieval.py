"""Any retriever by its name: CLIP-like models, captions that are searched, and one of ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from helpers.clip_models import LENGTH, write_image_text, write_open_clip
from helpers.hub_server import Hub
from helpers.retrievers import build_retriever, write_bert
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from pseudocap import load
from pseudocap.errors import CheckpointError, InputError
from pseudocap.external_retrieval import FRAMES, CaptionRetriever, ImageTextRetriever, SentenceEncoder, load_retriever
from pseudocap.hub.retrievers import find_retriever
from pseudocap.retriever import Retriever
from pseudocap.video.tensors import read_file
from pseudocap.zoo.tiny import write_blip

TEXTS = ["a dog", "two red dogs run", "x"]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    write_image_text(place, request.param)
    return place


@pytest.fixture
def some(films: Path) -> list[Path]:
    return [films / name for name in ("a.mp4", "b.mkv", "c.avi")]


def test_vectors_are_transformers_own_pooled_over_frames(folder: Path, some: list[Path]) -> None:
    retriever = load_retriever(folder, device="cpu")
    model = AutoModel.from_pretrained(folder).eval()
    images = transformers.AutoImageProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": LENGTH} if model.config.model_type == "siglip" else {}
    with torch.no_grad():
        for text, vector in zip(TEXTS, retriever.embed_text(TEXTS), strict=True):
            tokens = tokenizer(text, return_tensors="pt", **padding)
            tokens = {"input_ids": tokens["input_ids"]} if padding else dict(tokens)
            torch.testing.assert_close(vector, normalize(model.get_text_features(**tokens).pooler_output)[0])
        for file, vector in zip(some, retriever.embed_video(some), strict=True):
            pixels = images(list(read_file(file, FRAMES)[0].pixels), return_tensors="pt")["pixel_values"]
            frames = normalize(model.get_image_features(pixel_values=pixels).pooler_output)
            torch.testing.assert_close(vector, normalize(frames.mean(0), dim=0))
    assert retriever.dim == retriever.embed_text(["a"]).shape[1]


def test_a_batch_gives_what_each_gives_alone(folder: Path, some: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pseudocap.external_retrieval.BATCH", 2)
    retriever = load_retriever(folder, device="cpu")
    lengths = dict(zip(some, (1, 5, 3), strict=True))
    alone = torch.cat([retriever.embed_video(film, num_frames=count) for film, count in lengths.items()])
    clips = [retriever.prepare(read_file(film, count)[0]) for film, count in lengths.items()]
    torch.testing.assert_close(retriever.embed_clips(clips), alone)
    torch.testing.assert_close(retriever.embed_text(TEXTS), torch.cat([retriever.embed_text([each]) for each in TEXTS]))
    assert (retriever.embed_text([]).shape, retriever.embed_clips([]).shape) == ((0, retriever.dim),) * 2


def test_an_open_clip_checkpoint_is_a_retriever(tmp_path: Path, some: list[Path]) -> None:
    original = write_open_clip(tmp_path)
    retriever = load_retriever(tmp_path, device="cpu")
    assert isinstance(retriever, ImageTextRetriever)
    ids = AutoTokenizer.from_pretrained(tmp_path)("two red dogs run", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = normalize(original.encode_text(ids))
    torch.testing.assert_close(retriever.embed_text(["two red dogs run"]), expected, atol=1e-5, rtol=1e-4)
    pixels = retriever.prepare(read_file(some[0], 2)[0])
    with torch.no_grad():
        expected = normalize(normalize(original.encode_image(pixels)).mean(0), dim=0)
    torch.testing.assert_close(retriever.embed_clips([pixels])[0], expected, atol=1e-5, rtol=1e-4)


def test_the_identity_is_that_of_the_weights_and_of_what_reads_them(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "same")
    shutil.copytree(folder, tmp_path / "other")
    retriever, same = load_retriever(folder), load_retriever(tmp_path / "same")
    assert retriever.identity == same.identity
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.logit_scale += 1
    model.save_pretrained(tmp_path / "other")
    assert load_retriever(tmp_path / "other").identity != retriever.identity
    images = tmp_path / "same" / "preprocessor_config.json"
    images.write_text(images.read_text().replace("0.5", "0.4").replace("0.48145466", "0.4"))
    assert load_retriever(tmp_path / "same").identity != retriever.identity


def test_a_sentence_is_the_mean_of_its_states(tmp_path: Path) -> None:
    write_bert(tmp_path)
    texts = ["a red square", "two dogs play guitar on a stage"]
    vectors = SentenceEncoder.from_pretrained(str(tmp_path), device="cpu").embed(texts)
    model, tokenizer = AutoModel.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        for text, vector in zip(texts, vectors, strict=True):
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            torch.testing.assert_close(vector, normalize(states.mean(0), dim=0))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(CheckpointError, match="pools otherwise than by the mean"):
        SentenceEncoder.from_pretrained(str(tmp_path))


def test_captions_are_searched_by_a_sentence_encoder(tmp_path: Path, some: list[Path]) -> None:
    write_blip(tmp_path / "blip")
    write_bert(tmp_path / "bert")
    retriever = load_retriever(f"{tmp_path / 'blip'}+{tmp_path / 'bert'}", device="cpu")
    assert isinstance(retriever, CaptionRetriever)
    captions = load(tmp_path / "blip", device="cpu").caption(some)
    torch.testing.assert_close(retriever.embed_video(some), retriever.embed_text(captions))
    assert len(retriever.identity) == 64
    assert retriever.identity != load_retriever(f"{tmp_path / 'blip'}+{write_bert(tmp_path / 'b2', layers=2)}").identity


def test_a_retriever_of_ours_is_found_by_its_folder(backbones: Path, tmp_path: Path) -> None:
    build_retriever(backbones).save_pretrained(tmp_path)
    found = load_retriever(tmp_path, device="cpu")
    assert isinstance(found, Retriever)


def test_a_repo_of_the_hub_is_pinned_to_its_commit(folder: Path, hub: Hub) -> None:
    commit = hub.put("me/clip", {path.name: path.read_bytes() for path in folder.iterdir()})
    assert find_retriever("me/clip").access["revision"] == commit
    torch.testing.assert_close(
        load_retriever("me/clip", device="cpu").embed_text(TEXTS), load_retriever(folder).embed_text(TEXTS)
    )


def test_a_revision_of_ours_is_the_one_that_is_loaded(backbones: Path, tmp_path: Path, hub: Hub) -> None:
    commits, texts = [], []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        retriever = build_retriever(backbones, seed=seed)
        with torch.no_grad():
            next(p for name, p in retriever.named_parameters() if name in retriever.trainable_names).add_(seed)
        retriever.save_pretrained(folder)
        commits.append(hub.put("me/ours", {path.name: path.read_bytes() for path in folder.iterdir()}))
        texts.append(retriever.embed_text(["two dogs"]))
    assert (texts[0] - texts[1]).abs().max() > 1e-3
    found = find_retriever("me/ours", revision=commits[0])
    torch.testing.assert_close(load_retriever(found, device="cpu").embed_text(["two dogs"]), texts[0])
    for name, expected in (("me/ours", 1), (f"me/ours@{commits[0]}", 0)):
        torch.testing.assert_close(load_retriever(name, device="cpu").embed_text(["two dogs"]), texts[expected])


def test_what_is_no_retriever_is_refused_by_name(backbones: Path, tmp_path: Path, folder: Path) -> None:
    write_bert(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="bert is a 'bert', which is no retriever that is read here; name a"):
        load_retriever(tmp_path / "bert")
    with pytest.raises(CheckpointError, match=r"toy-mixed.* is a captioner; .*toy-mixed\+SENTENCE_ENCODER"):
        load_retriever("pseudocap://toy-mixed")
    with pytest.raises(InputError, match=r"real-photos\+ is half of CAPTIONER\+SENTENCE_ENCODER"):
        load_retriever("real-photos+")
    with pytest.raises(CheckpointError, match="there is no directory"):
        load_retriever("nowhere/at-all")
    retriever = load_retriever(folder)
    with pytest.raises(InputError, match="text 1 is ' ' and must have at least one word"):
        retriever.embed_text(["a", " "])
    with pytest.raises(InputError, match="num_frames must be 1 to 96, not 0"):
        retriever.frames_of(0)
    (tmp_path / "broken").mkdir()
    shutil.copytree(folder, tmp_path / "broken", dirs_exist_ok=True)
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"the model in .*broken could not be loaded"):
        load_retriever(tmp_path / "broken")
