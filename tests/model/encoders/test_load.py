from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.hub_server import Hub
from helpers.image_models import SIZE, VIT, write_timm, write_transformers

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.model.config import Backbone
from pseudocap.model.encoders.frames import FramesEncoder
from pseudocap.model.encoders.load import load_encoder
from pseudocap.model.encoders.timesformer import TimeSformer


def test_the_config_names_the_family(backbones: Path, tmp_path: Path) -> None:
    write_timm(tmp_path / "vit", **VIT)
    write_transformers(tmp_path / "clip", "clip")
    assert isinstance(load_encoder(backbones / "timesformer"), TimeSformer)
    assert isinstance(load_encoder("pseudocap://toy-timesformer"), TimeSformer)
    assert isinstance(load_encoder(tmp_path / "vit"), FramesEncoder)
    assert isinstance(load_encoder(tmp_path / "clip"), FramesEncoder)


def test_a_kind_that_is_asked_for_is_taken_and_recorded(tmp_path: Path) -> None:
    write_timm(tmp_path, **VIT)
    encoder = load_encoder(tmp_path, kind="frames")
    assert encoder.origin == Backbone(source=str(tmp_path), fingerprint=encoder.fingerprint, kind="frames")
    with pytest.raises(CheckpointError, match="not a TimeSformer"):
        load_encoder(tmp_path, kind="timesformer")
    with pytest.raises(ConfigError, match=r"not 'frame' \(did you mean 'frames'\?\)"):
        load_encoder(tmp_path, kind="frame")


def test_the_hub_serves_image_models_by_their_published_names(hub: Hub, tmp_path: Path) -> None:
    name = "timm/vit_base_patch16_clip_224.openai"
    write_timm(tmp_path / "vit", **VIT)
    write_transformers(tmp_path / "clip", "clip")
    files = {each: {path.name: path.read_bytes() for path in (tmp_path / each).iterdir()} for each in ("vit", "clip")}
    commit = hub.put(name, files["vit"])
    hub.put("openai/clip-vit-base-patch32", files["clip"])
    encoder = load_encoder(name)
    assert encoder.origin == Backbone(
        source=name, revision=commit, fingerprint=load_encoder(tmp_path / "vit").fingerprint
    )
    hub.put(name, {**files["vit"], "config.json": b"{}"})
    assert load_encoder(name, revision=commit).fingerprint == encoder.fingerprint
    assert load_encoder(name, revision=commit, local_files_only=True).fingerprint == encoder.fingerprint
    clip = load_encoder("openai/clip-vit-base-patch32")
    assert clip.fingerprint == load_encoder(tmp_path / "clip").fingerprint
    frames = torch.zeros(1, 1, 3, SIZE, SIZE)
    torch.testing.assert_close(clip.encode(frames).time, load_encoder(tmp_path / "clip").encode(frames).time)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/vit_base_patch16_clip_225", r"timm has no model 'vit_base_patch16_clip_225' \(did you mean 'vit_base"),
        ("timm/resnet18.a1_in2k", r"timm's weights of resnet18 are resnet18\.a1_in1k"),
        ("resnet18.a1_in1k", r"for timm's model write timm/resnet18.a1_in1k"),
        ("nobody/nothing", r"nobody/nothing .* has no such repo.*give a token$"),
    ],
)
def test_a_mistyped_name_gets_the_nearest_that_there_is(name: str, message: str, hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_encoder(name)


def test_what_is_no_image_model_is_told_by_what_it_is(backbones: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a 'opt', which is no image model"):
        load_encoder(backbones / "opt")
    with pytest.raises(CheckpointError, match="is a captioner, not an encoder"):
        load_encoder("pseudocap://toy-mixed")
    for document, message in (({}, "no image model that transformers knows"), ({"model_type": "opd"}, "opd")):
        (tmp_path / "config.json").write_text(json.dumps(document))
        with pytest.raises(CheckpointError, match=message):
            load_encoder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        load_encoder(tmp_path)
