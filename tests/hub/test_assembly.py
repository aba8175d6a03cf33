"""Captioners between networks of many families: built, trained, saved, loaded and captioning, from tiny real
checkpoints in their published formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.decoders import write_decoder
from helpers.films import write_film
from helpers.hub_server import Hub
from helpers.image_models import VIT, write_timm, write_transformers
from safetensors import safe_open

from pseudocap import PseudoCap
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.hub.fetch import CONFIG_FILE
from pseudocap.regimes.video_only import VideoOnly
from pseudocap.types import Batch, Preprocess

ENCODERS = {"timm": {}, "clip": {}, "dinov2": {}, "resnet": {}}


def write_encoder(folder: Path, kind: str) -> Path:
    if kind == "timm":
        write_timm(folder, **VIT)
    else:
        write_transformers(folder, kind)
    return folder


def learn(model: PseudoCap) -> None:
    """One step on two clips, which moves what is declared and nothing frozen."""
    regime = VideoOnly(model)
    side = model.config.preprocess.size
    texts = ("a red square moves", "a ball falls")
    batch = Batch(
        keys=("a", "b"),
        modality="video",
        captions=texts,
        references=tuple((text,) for text in texts),
        frames=torch.randn(2, 3, 3, side, side),
    )
    tokens = regime.tokens_of(batch)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    optimiser = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    memory = regime.memory_of(batch)
    loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    assert loss is not None
    loss.backward()
    optimiser.step()
    moved = {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved <= model.trainable_names
    assert any(name.endswith("time.value.weight") for name in moved)


@pytest.mark.parametrize("decoder", ["opt", "llama"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_captioner_between_any_two_families_learns_and_is_the_same_after_loading(
    encoder: str, decoder: str, tmp_path: Path
) -> None:
    model = PseudoCap.from_backbones(
        decoder=write_decoder(tmp_path / "decoder", decoder),
        encoder=write_encoder(tmp_path / "encoder", encoder),
        num_frames=3,
        device="cpu",
    )
    learn(model)
    model.save_pretrained(tmp_path / "saved")
    again = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")
    film = write_film(tmp_path / "film.mp4", frames=8)
    assert again.caption(film, max_new_tokens=6) == model.caption(film, max_new_tokens=6)
    frames = torch.randn(1, 3, 3, 32, 32)
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(again(ids, again.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    document = json.loads((tmp_path / "saved" / CONFIG_FILE).read_text())
    assert document["format"] == 2
    assert document["encoders"]["video"]["fingerprint"] == model.encoder.fingerprint


def test_the_readmes_pair_comes_from_a_hub_by_its_published_names(hub: Hub, tmp_path: Path) -> None:
    names = {"decoder": "HuggingFaceTB/SmolLM2-135M", "encoder": "timm/vit_base_patch16_clip_224.openai"}
    write_decoder(tmp_path / "decoder", "llama")
    write_timm(tmp_path / "encoder", **VIT)
    commits = {
        which: hub.put(name, {path.name: path.read_bytes() for path in (tmp_path / which).iterdir()})
        for which, name in names.items()
    }
    model = PseudoCap.from_backbones(**names, device="cpu")
    learn(model)
    model.save_pretrained(tmp_path / "saved")
    again = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")
    assert {which: each.source for which, each in again.config.backbones.items()} == names
    assert {which: each.revision for which, each in again.config.backbones.items()} == commits
    memory = again.encode(torch.randn(2, 4, 3, 32, 32))
    assert torch.equal(again.generate(memory, max_new_tokens=5), model.generate(memory, max_new_tokens=5))


def test_another_image_model_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "opt")
    encoder = write_encoder(tmp_path / "encoder", "clip")
    PseudoCap.from_backbones(decoder=decoder, encoder=encoder, device="cpu").save_pretrained(tmp_path / "saved")
    write_timm(tmp_path / "other", **VIT)
    with pytest.raises(CheckpointError, match=r"the encoder in .*other is not the one"):
        PseudoCap.from_pretrained(tmp_path / "saved", encoder=tmp_path / "other", device="cpu")


def test_a_captioner_takes_the_sizes_that_its_encoder_takes(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "opt")
    write_timm(tmp_path / "beit", "beit_base_patch16_224", **VIT)
    with pytest.raises(ConfigError, match="size 48 cannot be"):
        PseudoCap.from_backbones(decoder=decoder, encoder=tmp_path / "beit", size=48, device="cpu")
    model = PseudoCap.from_backbones(
        decoder=decoder, encoder=write_encoder(tmp_path / "resnet", "resnet"), device="cpu"
    )
    model.set_preprocess(Preprocess(size=50, frames=2))
    assert model.encode(torch.zeros(1, 2, 3, 50, 50)).space.shape[1] == 7 * 7
    with pytest.raises(ConfigError, match="1 to 96"):
        model.set_preprocess(Preprocess(size=32, frames=97))


def test_fewer_bits_hold_any_encoder_or_leave_the_captioner_whole(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "opt")
    frames = torch.randn(1, 2, 3, 32, 32)
    model = PseudoCap.from_backbones(decoder=decoder, encoder=write_encoder(tmp_path / "clip", "clip"), device="cpu")
    model.save_pretrained(tmp_path / "saved")
    small = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu", precision="bfloat16")
    alike = torch.nn.functional.cosine_similarity(small.encode(frames).space, model.encode(frames).space, dim=-1)
    assert alike.min() > 0.9
    write_timm(tmp_path / "eva", "eva02_tiny_patch14_224", **VIT)
    model = PseudoCap.from_backbones(decoder=decoder, encoder=tmp_path / "eva", device="cpu")
    ids, memory = torch.tensor([[5, 6]]), model.encode(frames)
    before = model(ids, memory).logits
    with pytest.raises(ConfigError, match="cannot be held in bfloat16"):
        model.set_precision("bfloat16")
    assert torch.equal(model(ids, memory).logits, before)


def test_the_kind_that_a_config_records_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "opt")
    encoder = write_encoder(tmp_path / "encoder", "clip")
    PseudoCap.from_backbones(decoder=decoder, encoder=encoder, device="cpu").save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / CONFIG_FILE
    document = json.loads(path.read_text())
    document["encoders"]["video"]["kind"] = "frames"
    path.write_text(json.dumps(document))
    assert PseudoCap.from_pretrained(tmp_path / "saved", device="cpu").config.encoder.kind == "frames"
    document["encoders"]["video"]["kind"] = "timesformer"
    path.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="not a TimeSformer"):
        PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")


def test_an_audio_encoder_that_hears_nothing_is_named(tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "decoder", "opt")
    encoder = write_encoder(tmp_path / "encoder", "clip")
    PseudoCap.from_backbones(decoder=decoder, encoder=encoder, device="cpu").save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / CONFIG_FILE
    document = json.loads(path.read_text())
    document["encoders"]["audio"] = document["encoders"]["video"]
    path.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"encoder is a 'clip', which is no audio model"):
        PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")


def test_adapters_stored_in_8_bits_are_half_as_large_and_close_to_the_others(
    build: Callable[..., PseudoCap], tmp_path: Path
) -> None:
    model = build()
    model.save_pretrained(tmp_path / "small", int8=True)
    model.half().save_pretrained(tmp_path / "half")
    loaded = PseudoCap.from_pretrained(tmp_path / "small", device="cpu")
    exact = PseudoCap.from_pretrained(tmp_path / "half", device="cpu").adapter_state()
    for name, tensor in loaded.adapter_state().items():
        assert tensor.dtype == torch.float32
        step = exact[name].abs().amax(dim=-1, keepdim=True) / 127
        assert bool(((tensor - exact[name]).abs() <= 0.51 * step + 1e-3 * exact[name].abs()).all()), name
    with safe_open(tmp_path / "small" / "adapter_model.safetensors", "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys() if file.get_tensor(name).dim() > 1}  # noqa: SIM118
    assert torch.int8 in kinds
    small, half = ((tmp_path / name / "adapter_model.safetensors").stat().st_size for name in ("small", "half"))
    assert small < 0.8 * half  # at this width the scales of the rows weigh more than they do elsewhere
