"""Models in open_clip's format give the vectors of an independent implementation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.clip_models import END, LENGTH, SIDE, START, write_open_clip
from safetensors.torch import load_file, save_file

from pseudocap.errors import CheckpointError
from pseudocap.model.open_clip import read_open_clip

ACCESS = {"revision": None, "local_files_only": False, "token": None}


@pytest.mark.parametrize(("quick", "pickled"), [(False, False), (True, True)])
def test_vectors_equal_those_of_the_original(tmp_path: Path, quick: bool, pickled: bool) -> None:
    original = write_open_clip(tmp_path, quick=quick, pickled=pickled)
    model, processor = read_open_clip(tmp_path, ACCESS)
    images = torch.randn(3, 3, SIDE, SIDE)
    ids = torch.zeros(2, LENGTH, dtype=torch.long)  # open_clip pads with 0
    ids[0, :5], ids[1, :7] = torch.tensor([START, 3, 30, 4, END]), torch.tensor([START, 9, 8, 7, 6, 5, END])
    with torch.no_grad():
        found = model.get_image_features(pixel_values=images).pooler_output
        torch.testing.assert_close(found, original.encode_image(images), atol=1e-4, rtol=1e-4)
        found = model.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(found, original.encode_text(ids), atol=1e-4, rtol=1e-4)
    assert (tuple(processor.image_mean), tuple(processor.image_std)) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert (processor.size["shortest_edge"], processor.crop_size["height"]) == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        ({"timm_model_name": "vit"}, "vision_cfg has timm_model_name, which is more than a plain CLIP has; convert"),
        ({"layers": [3, 4, 6, 3]}, "vision_cfg.layers is a list: a ResNet"),
        ({"width": None}, "is no config of open_clip that is read"),
    ],
)
def test_a_model_that_is_no_plain_clip_is_refused(tmp_path: Path, vision: dict[str, object], message: str) -> None:
    write_open_clip(tmp_path, **vision)
    with pytest.raises(CheckpointError, match=message):
        read_open_clip(tmp_path, ACCESS)


def test_weights_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    write_open_clip(tmp_path)
    state = load_file(tmp_path / "open_clip_model.safetensors")
    state.pop("visual.ln_post.bias")
    save_file(state, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(CheckpointError, match=r"vision_model\.post_layernorm\.bias"):
        read_open_clip(tmp_path, ACCESS)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"it has no open_clip_model\.safetensors"):
        read_open_clip(tmp_path, ACCESS)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(CheckpointError, match="is no config of open_clip that is read"):
        read_open_clip(tmp_path, ACCESS)
