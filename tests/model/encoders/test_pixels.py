"""The encoder without weights: pixels as they are, and the towers that learn to see from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from helpers.retrievers import build_retriever

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.model.bottleneck import BottleneckTransformer, PatchGrid, picture_patches, spectrogram_patches
from pseudocap.model.encoders.load import load_audio_encoder, load_encoder
from pseudocap.model.encoders.pixels import MODEL_TYPE, SPECTROGRAM, PixelsConfig, PixelsEncoder, SpectrogramEncoder
from pseudocap.retriever import Retriever

VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 0}
TOWER = {"media": "bottleneck", "width": 16, "heads": 2, "media_layers": 2, "num_frames": 3}


def write_pixels(folder: Path, **fields: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": MODEL_TYPE, "patch": 8, "size": 16, **fields}))
    return folder


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    return write_pixels(tmp_path / "pixels")


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    """Return a ViT in timm's format."""
    network = timm.models.VisionTransformer(**VIT)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    folder = tmp_path / "vit"
    folder.mkdir()
    cfg = {"input_size": [3, 16, 16], "mean": [0.5] * 3, "std": [0.5] * 3}
    document = {"architecture": "vit_tiny_patch16_224", "num_classes": 0, "model_args": VIT, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(document))
    safetensors.torch.save_file(network.state_dict(), folder / "model.safetensors")
    return folder


def test_what_is_shipped_has_the_patches_of_videocc() -> None:
    encoder = load_encoder("pseudocap://pixels")
    assert isinstance(encoder, PixelsEncoder)
    assert (encoder.grid(224, 224), encoder.width("space"), encoder.preprocess.frames) == ((14, 14), 768, 32)


def test_patches_are_the_pixels_and_padded_frames_are_zero(pixels: Path) -> None:
    encoder = load_encoder(pixels)
    frames = torch.randn(2, 3, 3, 16, 16)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    features = encoder(frames, mask)
    expected = picture_patches(frames, 8).vectors
    assert torch.equal(features[0], expected[0])
    assert torch.equal(features[1, 0], expected[1, 0])
    assert not features[1, 1:].any()
    memory = encoder.encode(frames, mask, patches=True)
    assert memory.time_mask.tolist() == mask.tolist()
    assert torch.equal(memory.space[1], expected[1, 0])


def test_the_identity_is_that_of_the_patches(pixels: Path, tmp_path: Path) -> None:
    encoder = load_encoder(pixels)
    other = load_encoder(write_pixels(tmp_path / "finer", patch=4))
    assert encoder.fingerprint != other.fingerprint
    encoder.save_pretrained(tmp_path / "copy")
    assert load_encoder(tmp_path / "copy").fingerprint == encoder.fingerprint


def test_a_config_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="describes no patches of pixels: encoder patch must be"):
        load_encoder(write_pixels(tmp_path / "none", patch=0))
    with pytest.raises(CheckpointError, match="size must be a multiple of the encoder's patch size 8, not 20"):
        load_encoder(write_pixels(tmp_path / "odd", size=20))
    with pytest.raises(ConfigError, match="frames must be at most"):
        PixelsConfig(frames=97)


def test_a_tower_over_pixels_is_the_transformer_over_patches(backbones: Path, pixels: Path, tmp_path: Path) -> None:
    model = build_retriever(backbones, encoder=pixels, **TOWER)
    frames = torch.randn(2, 3, 3, 16, 16)
    grid = PatchGrid(steps=3, patches=4, width=192)
    network = BottleneckTransformer({"video": grid}, width=16, depth=2, heads=2, fusion_layer=0)
    network.load_state_dict(model.media_tower.transformer.state_dict())
    with torch.no_grad():
        expected = model.media_tower.project(network.eval()({"video": picture_patches(frames, 8)}))
        found = model.embed_memory(model.encode(frames)).vectors[:, 0]
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1))
    model.save_pretrained(tmp_path / "saved")
    again = Retriever.from_pretrained(tmp_path / "saved", device="cpu")
    torch.testing.assert_close(again.embed_memory(again.encode(frames)).vectors[:, 0], found)


def test_a_tower_starts_from_a_vit(backbones: Path, pixels: Path, vit: Path) -> None:
    given = {"text": backbones / "opt", "encoder": pixels, "dim": 8, "text_layers": 1, "device": "cpu", **TOWER}
    model = Retriever.from_backbones(media_start=vit, **given)
    state = model.media_tower.transformer.state_dict()
    theirs = safetensors.torch.load_file(vit / "model.safetensors")
    assert torch.equal(state["layers.video.1.linear2.weight"], theirs["blocks.1.mlp.fc2.weight"])
    assert torch.equal(state["streams.video.patches"], theirs["pos_embed"][0, 1:])
    assert "streams.video.patches" in {name.removeprefix("media_tower.transformer.") for name in model.trainable_names}
    with pytest.raises(ConfigError, match=r"the ViT's weights for .* width, size and patch must be the ViT's"):
        Retriever.from_backbones(media_start=vit, **{**given, "width": 32})
    with pytest.raises(ConfigError, match=r"this network has no 'blocks.2.attn.qkv.weight'"):
        Retriever.from_backbones(media_start=vit, **{**given, "media_layers": 3})
    with pytest.raises(ConfigError, match="media_start is for media: bottleneck, and media is pooled"):
        Retriever.from_backbones(media_start=vit, **{**given, "media": "pooled"})


def write_spectrogram(folder: Path, **fields: object) -> Path:
    folder.mkdir()
    preprocess = {"bins": 4, "frames": 8, "hop": 400}
    document = {"model_type": SPECTROGRAM, "patch": 2, "preprocess": preprocess, **fields}
    (folder / "config.json").write_text(json.dumps(document))
    return folder


def test_the_shipped_spectrogram_has_the_patches_of_videocc() -> None:
    encoder = load_audio_encoder("pseudocap://spectrogram")
    assert isinstance(encoder, SpectrogramEncoder)
    assert (encoder.preprocess.frames, encoder.preprocess.bins, encoder.preprocess.seconds) == (800, 128, 24.0)
    assert (encoder.width("sound"), encoder.rows) == (16 * 128, 8)


def test_sound_is_its_patches_step_by_step_and_what_is_padding_is_masked(tmp_path: Path) -> None:
    encoder = load_audio_encoder(write_spectrogram(tmp_path / "sound"))
    windows = torch.randn(2, 2, 8, 4)
    sound = encoder.encode(windows, torch.tensor([[8, 3], [0, 0]])).axes["sound"]
    assert sound.mask.tolist() == [[True] * 6 + [False] * 2, [False] * 8]
    expected = spectrogram_patches(windows[0, :1], 2).vectors
    assert torch.equal(sound.vectors[0, :4].unflatten(1, (encoder.rows, -1)), expected[0])
    assert not sound.vectors[1].any()
    encoder.save_pretrained(tmp_path / "copy")
    again = load_audio_encoder(tmp_path / "copy")
    assert (again.fingerprint, again.preprocess) == (encoder.fingerprint, encoder.preprocess)


def test_a_spectrogram_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="patch must divide 8 frames and 4 bins, not 3"):
        load_audio_encoder(write_spectrogram(tmp_path / "odd", patch=3))
    with pytest.raises(CheckpointError, match="describes no patches of a spectrogram"):
        load_audio_encoder(write_spectrogram(tmp_path / "none", preprocess=None))
    with pytest.raises(ConfigError, match="must be one of audio, spectrogram, not 'frames'"):
        load_audio_encoder(tmp_path / "odd", kind="frames")
