"""Build image models of timm and transformers, load them by exact key set, and read them as grids of features.

A grid is [N, rows, columns, E] in the order of the image, from the top left along the rows: a CNN's last feature map,
or a ViT's patch tokens without the class and register tokens before them. Nothing is unpickled but through
`weights_only`, and no code of a checkpoint runs.

Legend of the shape suffixes: N images, L tokens, E width, H and W pixels, R rows and C columns of patches.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, InputError, first_line, nearest
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import find_file, read_json, resolve_source
from pseudocap.model.weights import read_tensors, read_torch, transformers_access, transformers_reason

State = dict[str, torch.Tensor]
Values = dict[str, Any]  # fields of a FramesConfig
TIMM, TRANSFORMERS = "timm", "transformers"
NORM_LEFT_OUT = ("clip_vision_model",)  # transformers gives CLIP's patches without the last LayerNorm, timm with it


def build_timm(architecture: str, *, size: int, stage: int | None, model_args: Mapping[str, Any]) -> nn.Module:
    """Return a timm model without its classifier, its weights yet to be loaded. Up to the feature map of stride `stage`
    alone, where one is named. Models that can take other sizes than their own are built to."""
    import timm  # takes seconds to import, and only image models need it

    if not timm.is_model(architecture):
        offer = nearest(architecture, timm.list_models())
        raise ConfigError(f"timm {timm.__version__} has no model {architecture!r}{offer}")
    options = {**model_args, "num_classes": 0}
    network: Any
    try:
        network = _on_meta(functools.partial(timm.create_model, architecture, **options, dynamic_img_size=True))
        if size % patch_side(network):
            raise TypeError("a size of its own that its patches do not divide is for this size alone")
    except TypeError:  # of the models without such an option
        network = _on_meta(functools.partial(timm.create_model, architecture, **options))
    if (index := stage_index(network, stage, architecture)) is not None:
        network.prune_intermediate_layers([index], prune_norm=True, prune_head=True)
    return network


def _on_meta(create: functools.partial[nn.Module]) -> nn.Module:
    """Build without drawing weights, replaced anyway; what a model computes and does not store must be there."""
    with torch.device("meta"):
        network = create()
    if all(name in network.state_dict() for name, _ in network.named_buffers()):
        return network
    with torch.random.fork_rng(devices=[]):
        return create()


def patch_side(network: Any) -> int:
    """Return the pixels of a timm model's square patches; 1 where it has none."""
    side = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    return int(side[0] if isinstance(side, tuple | list) else side)


def stage_index(network: Any, stage: int | None, architecture: str) -> int | None:
    """Return which of a timm model's feature maps has the stride `stage`, the last of several; None is its output."""
    if stage is None:
        return None
    info: Any = getattr(network, "feature_info", [])
    strides = [each["reduction"] for each in getattr(info, "info", info)]
    if stage not in strides or not hasattr(network, "prune_intermediate_layers"):
        offered = ", ".join(str(stride) for stride in sorted(set(strides)))
        raise ConfigError(
            f"stage {stage} is no stride of a feature map of {architecture}; there are {offered or 'none'}"
        )
    return None if len(set(strides)) == 1 else len(strides) - 1 - strides[::-1].index(stage)


def timm_grid(network: Any, images_N3HW: torch.Tensor, index: int | None) -> torch.Tensor:
    """Run a timm model on images up to its last features, or to the feature map with this index."""
    if index is not None:
        options = {"indices": [index], "stop_early": True, "intermediates_only": True}
        grid_NERC: torch.Tensor = network.forward_intermediates(images_N3HW, **options)[0]
        return grid_NERC.permute(0, 2, 3, 1)
    features = network.forward_features(images_N3HW)
    if not isinstance(features, torch.Tensor) or features.dim() not in (3, 4):
        raise InputError("its features are no single grid")
    if features.dim() == 3:
        prefix = getattr(network, "num_prefix_tokens", None) or 0
        return _tokens_as_grid(features[:, prefix:], images_N3HW)
    return features if getattr(network, "output_fmt", None) == "NHWC" else features.permute(0, 2, 3, 1)


def transformers_grid(network: Any, images_N3HW: torch.Tensor) -> torch.Tensor:
    """Run an image model of transformers up to its last hidden state."""
    config: Any = network.config
    options = {}
    if images_N3HW.shape[-1] != images_N3HW.shape[-2] or images_N3HW.shape[-1] != getattr(config, "image_size", None):
        options = {name: True for name in ("interpolate_pos_encoding",) if name in _arguments(type(network).forward)}
    features = network(pixel_values=images_N3HW, **options).last_hidden_state
    if features.dim() == 4:
        return features.permute(0, 2, 3, 1)
    if config.model_type in NORM_LEFT_OUT:
        features = network.post_layernorm(features)
    side = getattr(config, "patch_size", None)
    patches = 0 if not isinstance(side, int) else (images_N3HW.shape[-2] // side) * (images_N3HW.shape[-1] // side)
    prefix = max(features.shape[1] - patches, 0) if patches else 0  # hierarchical models have fewer tokens than patches
    return _tokens_as_grid(features[:, prefix:], images_N3HW)


@functools.cache
def _arguments(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _tokens_as_grid(tokens_NLE: torch.Tensor, images_N3HW: torch.Tensor) -> torch.Tensor:
    height, width = images_N3HW.shape[-2:]
    count = tokens_NLE.shape[1]
    rows = round(math.sqrt(count * height / width))
    if rows < 1 or count % rows:
        raise InputError(f"its {count} tokens are no grid over {height} x {width} pixels")
    return tokens_NLE.unflatten(1, (rows, -1))


# Loading


def read_timm(source: str | Path, document: Mapping[str, Any], access: Mapping[str, Any]) -> tuple[Values, State]:
    """Read a timm model in the hub's format: config.json with an architecture, and weights beside it."""
    cfg = document.get("pretrained_cfg", document)
    channels, height, width = cfg.get("input_size") or (3, 224, 224)
    if channels != 3 or height != width:
        raise CheckpointError(
            f"{source} takes {channels} channels of {height} x {width}; only square colour is supported"
        )
    values: Values = {"architecture": document["architecture"], "size": height, "mean": cfg["mean"], "std": cfg["std"]}
    values["model_args"] = {name: value for name, value in document.get("model_args", {}).items() if value is not None}
    try:
        state = read_tensors(find_file(source, "model.safetensors", **access))
    except CheckpointError as error:
        try:
            path = find_file(source, "pytorch_model.bin", **access)
        except CheckpointError:
            raise error from None
        state = read_torch(path)
    return values, state


def without_classifier(network: Any, state: State) -> State:
    """Return a timm checkpoint's weights under the keys of the model without its classifier. Where they are another
    repository's, timm's own function for that model renames them."""
    heads = network.pretrained_cfg.get("classifier") or ()
    dropped = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
    expected = network.state_dict().keys()
    if not expected <= state.keys():
        rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        # A checkpoint that timm's function fails on is none that timm knows: its keys are reported as they are.
        with contextlib.suppress(KeyError, TypeError, AttributeError, RuntimeError, IndexError):
            state = state if rename is None else dict(rename(dict(state), network))
    return {name: value for name, value in state.items() if name in expected or not name.startswith(dropped)}


def read_transformers(source: str | Path, access: Mapping[str, Any]) -> tuple[Values, nn.Module, State | None]:
    """Load an image model of transformers, or the vision tower of a model of images and text, in float32. The weights
    come also as they are stored, where they are stored in one safetensors file."""
    from transformers import MODEL_MAPPING, AutoConfig
    from transformers.utils import logging

    address, offline = resolve_source(source), transformers_access(source, access)
    try:
        config = AutoConfig.from_pretrained(address, **offline, trust_remote_code=False)
    except Exception as error:  # damaged and foreign configs fail in ways of every kind
        raise CheckpointError(f"{source} is no image model that transformers knows: {first_line(error)}") from error
    config = getattr(config, "vision_config", None) or config
    kind: Any = MODEL_MAPPING.get(type(config), None)
    if getattr(kind, "main_input_name", None) != "pixel_values":
        raise CheckpointError(
            f"{source} is a {config.model_type!r}, which is no image model; name a TimeSformer, or an image model of "
            "timm (timm/NAME) or transformers"
        )
    options = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}
    loud = logging.get_verbosity()
    logging.set_verbosity_error()  # the text tower and the classifier that stay behind are no news
    try:
        with without_loading_bars():
            network, info = kind.from_pretrained(
                address, config=config, **offline, **options, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # and so do damaged weights
        raise CheckpointError(
            f"the image model in {source} could not be loaded: {transformers_reason(error)}"
        ) from error
    finally:
        logging.set_verbosity(loud)
    _check_keys(network, info, source)
    values = {"architecture": config.model_type, **_read_processor(source, config, access)}
    try:
        return values, network, read_tensors(find_file(source, "model.safetensors", **access))
    except CheckpointError:
        return values, network, None


def _check_keys(network: nn.Module, info: Mapping[str, Any], source: str | Path) -> None:
    """Check that only keys of a classifier or a text tower are left over; of the image model itself none."""
    parts = {name.partition(".")[0] for name in network.state_dict()}
    prefixes = ("vision_model", getattr(network, "base_model_prefix", "") or "vision_model")
    surplus = {
        name
        for name in info["unexpected_keys"]
        if functools.reduce(lambda key, prefix: key.removeprefix(f"{prefix}."), prefixes, name).partition(".")[0]
        in parts
    }
    for what, keys in (
        ("missing", info["missing_keys"]),
        ("mismatched", info["mismatched_keys"]),
        ("surplus", surplus),
    ):
        if keys:
            some = ", ".join(str(key) for key in sorted(keys, key=str)[:4])
            raise CheckpointError(f"the weights in {source} have {len(keys)} {what} keys: {some}")


def _read_processor(source: str | Path, config: Any, access: Mapping[str, Any]) -> Values:
    """Read size, mean and std, as the image processor beside the weights has them."""
    try:
        path = find_file(source, "preprocessor_config.json", **access)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; its mean, std and size of images are in that file") from error
    document: Any = read_json(path)
    normalised = document.get("do_normalize", True)
    mean, std = (document.get("image_mean"), document.get("image_std")) if normalised else ((0.0,) * 3, (1.0,) * 3)
    cropped = document.get("crop_size") if document.get("do_center_crop", True) else None
    size = cropped or document.get("size") or getattr(config, "image_size", None)
    if isinstance(size, Mapping):
        sides = {side for name, side in size.items() if name in ("height", "width", "shortest_edge")}
        size = sides.pop() if len(sides) == 1 else None
    if not isinstance(size, int) or mean is None or std is None:
        raise CheckpointError(f"{path} must name image_mean, image_std and one size of square images")
    return {"size": size, "mean": mean, "std": std}
