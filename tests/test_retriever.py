"""A retriever of files: what it embeds, saves and refuses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.retrievers import build_retriever, write_bert

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.hub.fetch import is_captioner
from pseudocap.memory import Axis, Memory
from pseudocap.regimes.retrieval_losses import left_out
from pseudocap.retriever import Retriever
from pseudocap.video.tensors import read_file

TEXTS = ["a red square", "two dogs play guitar on a stage", "a blue square moves up"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("texts") / "bert")


@pytest.fixture(scope="module")
def retriever(backbones: Path) -> Retriever:
    return build_retriever(backbones)


@pytest.fixture
def some(films: Path) -> list[Path]:
    return [films / name for name in ("a.mp4", "b.mkv", "c.avi")]


MEANS = {"text_beside": [0, 1], "space_grid": 2, "means": True}
SETTINGS = [{}, {"similarity": "fine"}, {"text_layers": 0, "media_layers": 0}, {"media": "bottleneck"}, MEANS]


@pytest.mark.parametrize("settings", SETTINGS, ids=["dot", "fine", "no layers", "bottleneck", "means"])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_batch_gives_what_each_gives_alone(
    backbones: Path, bert: Path, some: list[Path], kind: str, settings: dict[str, object]
) -> None:
    model = build_retriever(backbones, **({"text": bert} if kind == "encoder" else {}), **settings)
    assert model.config.text.kind == kind
    texts, films = model.embed_text(TEXTS), model.embed_video(some)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    assert texts.dtype == films.dtype == torch.float32
    assert films.shape == (3, model.dim)
    torch.testing.assert_close(texts, torch.cat([model.embed_text([text]) for text in TEXTS]))
    torch.testing.assert_close(films, torch.cat([model.embed_video(film) for film in some]))
    assert (texts[0] - texts[1]).abs().max() > 1e-3
    assert (films[0] - films[1]).abs().max() > 1e-3
    scores = model.similarity(TEXTS, some)
    alone = torch.stack([torch.stack([model.similarity([text], [film])[0, 0] for film in some]) for text in TEXTS])
    torch.testing.assert_close(scores, alone)
    if model.config.similarity == "dot":
        torch.testing.assert_close(scores, texts @ films.T)


@pytest.mark.parametrize(
    "settings",
    [{}, {"similarity": "fine"}, {"text_frozen_below": 1, "learn_temperature": True}, {"media": "bottleneck"}],
)
def test_a_saved_retriever_loads_with_the_same_vectors(
    backbones: Path, bert: Path, some: list[Path], tmp_path: Path, settings: dict[str, object]
) -> None:
    model = build_retriever(backbones, text=bert, **settings)
    model.save_pretrained(tmp_path / "saved")
    again = Retriever.from_pretrained(tmp_path / "saved", device="cpu")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    torch.testing.assert_close(again.embed_text(TEXTS), model.embed_text(TEXTS))
    torch.testing.assert_close(again.embed_video(some), model.embed_video(some))
    assert again.identity == model.identity
    assert again.config == model.config
    saved = set(again.state_dict())
    assert saved == model.trainable_names
    assert not any(name.startswith("encoder.") for name in saved)
    learns = any(name.startswith("text.") for name in saved)
    assert learns == ("text_frozen_below" in settings)


def test_a_row_of_a_registry_names_a_retriever(backbones: Path, tmp_path: Path) -> None:
    model = build_retriever(backbones)
    model.save_pretrained(tmp_path / "saved")
    digest = hashlib.sha256((tmp_path / "saved" / "adapter_model.safetensors").read_bytes()).hexdigest()
    row = {"name": "mine", "kind": "retriever", "regime": "retrieval", "text": {"source": "t"}}
    row |= {"encoder": {"source": "e"}, "weights": {"source": "saved", "sha256": digest}, "preprocess": {}}
    row |= {"config": "c", "scores": [], "license": "mit", "made_by": {}}
    registry = tmp_path / "rows.yaml"
    registry.write_text(json.dumps({"checkpoints": [row]}))
    found = Retriever.from_pretrained("mine", checkpoints=registry, device="cpu")
    assert found.identity == model.identity
    assert found.origin is not None
    assert found.origin.row is not None
    assert not is_captioner("mine", checkpoints=registry)
    assert Retriever.from_pretrained(found.origin, device="cpu").identity == model.identity
    with pytest.raises(InputError, match="neither revision nor checkpoints"):
        Retriever.from_pretrained(found.origin, checkpoints=registry, device="cpu")


def test_the_identity_is_of_weights_and_preprocessing(backbones: Path) -> None:
    model = build_retriever(backbones)
    first = model.identity
    assert build_retriever(backbones).identity == first
    assert build_retriever(backbones, num_frames=2).identity != first
    with torch.no_grad():
        model.get_parameter("text_tower.project.bias").add_(0.1)
    assert model.identity != first


def test_what_is_frozen_stays_frozen_in_training(backbones: Path, bert: Path) -> None:
    model = build_retriever(backbones, text=bert, text_frozen_below=2).train()
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == model.trainable_names
    assert {name.split(".")[4] for name in learning if name.startswith("text.lm.encoder.layer")} == {"2"}
    layers = model.text.layers
    assert [layer.training for layer in layers] == [False, False, True]
    assert not model.encoder.training
    scores = model.score(model.embed_states(model.read(TEXTS)), model.embed_memory(model.encode(_frames())))
    scores.sum().backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_texts_are_read_up_to_a_layer(backbones: Path, bert: Path) -> None:
    plain = build_retriever(backbones, text=bert)
    lower = build_retriever(backbones, text=bert, text_output=2)
    states = plain.text.lm(
        **_ids(plain.text.tokenizer(TEXTS, return_tensors="pt", padding=True)), output_hidden_states=True
    ).hidden_states
    read = lower.read(TEXTS)
    torch.testing.assert_close(read.vectors[read.mask], states[2][read.mask])
    with pytest.raises(ConfigError, match="text_output must be 1 to 3"):
        build_retriever(backbones, text=bert, text_output=4)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_projected_state_is_never_left_out(backbones: Path, bert: Path, kind: str) -> None:
    """A step leaves words out by the mask: without layers one state has seen them all."""
    model = build_retriever(backbones, text_layers=0, **({"text": bert} if kind == "encoder" else {}))
    words = model.read(TEXTS)
    fewer = Axis(words.vectors, left_out(words.mask, 0.9, torch.Generator().manual_seed(0)))
    assert torch.equal(model.embed_states(fewer).vectors, model.embed_states(words).vectors)


def test_lower_layers_are_read_beside_the_last_at_one_scale(backbones: Path, bert: Path) -> None:
    model = build_retriever(backbones, text=bert, text_beside=[0, 2])
    states = model.text.lm(
        **_ids(model.text.tokenizer(TEXTS, return_tensors="pt", padding=True)), output_hidden_states=True
    ).hidden_states
    read = model.read(TEXTS)
    parts = [torch.nn.functional.layer_norm(states[layer], (16,)) for layer in (0, 2, 3)]
    torch.testing.assert_close(read.vectors[read.mask], torch.cat(parts, dim=-1)[read.mask])
    with pytest.raises(ConfigError, match=r"text_beside must be of 0 \(the embeddings\) to 2, not \[3\]"):
        build_retriever(backbones, text=bert, text_beside=[3])


def test_the_means_of_what_a_tower_reads_are_added_to_its_output(backbones: Path) -> None:
    model = build_retriever(backbones, means=True)
    memory = model.encode(_frames())
    tower = model.media_tower
    with torch.no_grad():
        tower.project.weight.zero_()
        tower.project.bias.zero_()
        means = sum(tower.means[axis](memory.axes[axis].vectors.mean(dim=1)) for axis in ("time", "space"))
        found = model.embed_memory(memory).vectors[:, 0]
    torch.testing.assert_close(found, torch.nn.functional.normalize(means, dim=-1))
    with pytest.raises(ConfigError, match="means add to the one vector"):
        build_retriever(backbones, means=True, similarity="fine")


def test_a_retriever_in_8_bits_embeds_nearly_the_same(backbones: Path, tmp_path: Path) -> None:
    model = build_retriever(backbones, **MEANS)
    for name, int8 in (("full", False), ("small", True)):
        model.save_pretrained(tmp_path / name, int8=int8)
    sizes = [(tmp_path / name / "adapter_model.safetensors").stat().st_size for name in ("full", "small")]
    assert sizes[1] < 0.6 * sizes[0]
    found = Retriever.from_pretrained(tmp_path / "small", device="cpu").embed_text(TEXTS)
    assert 0 < (found - model.embed_text(TEXTS)).abs().max() < 0.05


def test_padding_has_no_influence(retriever: Retriever) -> None:
    memory = retriever.encode(_frames())
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1, 2:] = False
    one, two = memory.time.clone(), memory.time.clone()
    two[~mask] = 1e3
    axes = {"space": memory.axes["space"]}
    first, second = (
        retriever.embed_memory(Memory({"time": Axis(vectors, mask), **axes})).vectors for vectors in (one, two)
    )
    assert torch.equal(first, second)
    short = retriever.embed_memory(
        Memory({"time": Axis(one[1:, :2], mask[1:, :2]), "space": axes["space"].each(lambda t: t[1:])})
    )
    torch.testing.assert_close(short.vectors, first[1:])
    assert (first[1] - retriever.embed_memory(memory).vectors[1]).abs().max() > 1e-4


@pytest.mark.parametrize("similarity", ["dot", "fine"])
def test_similarities_are_full_precision_in_mixed_precision_too(backbones: Path, similarity: str) -> None:
    model = build_retriever(backbones, similarity=similarity)
    texts, media = model.embed_states(model.read(TEXTS)), model.embed_memory(model.encode(_frames()))
    expected = model.score(texts, media)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.score(texts, media), expected)
        mixed = model.embed_states(model.read(TEXTS))
        assert model.score(mixed, media).dtype == torch.float32
    torch.testing.assert_close(model.score(mixed, media), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("texts_at_once", [0.5, 2])
def test_fine_similarities_of_a_few_texts_at_once_are_those_of_all(
    backbones: Path, monkeypatch: pytest.MonkeyPatch, texts_at_once: float
) -> None:
    model = build_retriever(backbones, similarity="fine")
    texts, media = model.embed_states(model.read(TEXTS)), model.embed_memory(model.encode(_frames()))
    expected = model.score(texts, media).detach()
    some = round(texts_at_once * texts.mask.shape[1] * media.mask.numel())
    monkeypatch.setattr("pseudocap.model.retrieval.PRODUCTS_AT_ONCE", some)
    with torch.no_grad():
        torch.testing.assert_close(model.score(texts, media), expected)


def test_a_bottleneck_reads_every_patch_and_sound_where_there_is_some(backbones: Path) -> None:
    model = build_retriever(backbones, media="bottleneck")
    memory = model.encode(_frames())
    assert memory.patches is not None
    found = model.embed_memory(memory).vectors
    swapped = memory.patches.flip(2)  # the pooled axis of time is the same
    assert (model.embed_memory(Memory(memory.axes, swapped)).vectors - found).abs().max() > 1e-4
    with pytest.raises(InputError, match="reads every patch, and the memory has none"):
        model.embed_memory(Memory(memory.axes))
    with pytest.raises(ConfigError, match=r"has positions for . frames of 16 pixels alone"):
        model.set_preprocess(replace(model.config.preprocess, frames=2))
    with pytest.raises(ConfigError, match="for similarity dot"):
        build_retriever(backbones, media="bottleneck", similarity="fine")
    with pytest.raises(ConfigError, match="media must be one of pooled, bottleneck"):
        build_retriever(backbones, media="bottle")


def test_several_clips_of_a_file_are_averaged(backbones: Path, films: Path) -> None:
    model = build_retriever(backbones, clips=3)
    film, count = films / "a.mp4", model.frames_of(None)
    pixels = model.prepare(read_file(film, 3 * count)[0])
    clips = model.embed_clips(list(pixels.split(count)))
    assert len(clips) == 3
    assert (clips[0] - clips[2]).abs().max() > 1e-3
    expected = (model.embed_text(TEXTS) @ clips.T).mean(dim=1)
    torch.testing.assert_close(model.similarity(TEXTS, [film])[:, 0], expected)
    torch.testing.assert_close(model.embed_video(film)[0], torch.nn.functional.normalize(clips.mean(dim=0), dim=0))


def test_mistakes_are_one_clear_line_each(backbones: Path, retriever: Retriever, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text 1 is ' ' and must have"):
        retriever.embed_text(["a dog", " "])
    with pytest.raises(ConfigError, match=r"similarity must be one of dot, fine, not 'dots' .did you mean 'dot'"):
        build_retriever(backbones, similarity="dots")
    for settings, message in (
        ({"num_frames": 0}, "num_frames must be 1 to"),
        ({"size": 17}, "size must be a multiple"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_retriever(backbones, **settings)
    with pytest.raises(ConfigError, match="width and dim must be multiples of heads"):
        build_retriever(backbones, width=17)
    with pytest.raises(CheckpointError, match="is no directory here"):
        Retriever.from_pretrained(tmp_path / "absent/folder", device="cpu")
    captioner = tmp_path / "captioner"
    captioner.mkdir()
    (captioner / "config.json").write_text('{"model_type": "pseudocap"}')
    with pytest.raises(CheckpointError, match="is no retriever's config"):
        Retriever.from_pretrained(captioner, device="cpu")


def test_another_language_model_is_refused(backbones: Path, bert: Path, tmp_path: Path) -> None:
    build_retriever(backbones, text=bert).save_pretrained(tmp_path / "saved")
    other = write_bert(tmp_path / "other", layers=2)
    with pytest.raises(CheckpointError, match=r"the text in .* is not the one"):
        Retriever.from_pretrained(tmp_path / "saved", text=other, device="cpu")


def test_the_retriever_has_its_name_beside_the_network() -> None:
    from pseudocap.model import retrieval

    assert retrieval.Retriever is Retriever


def _frames() -> torch.Tensor:
    return torch.randn(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def _ids(tokens: Any) -> dict[str, torch.Tensor]:
    return {name: tokens[name] for name in ("input_ids", "attention_mask")}
