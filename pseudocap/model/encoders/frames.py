"""Encode video with any image model: it sees every frame by itself, and its grids are pooled over time and space.

The image model knows nothing of order, so a sinusoidal position is added to the vectors of each frame (`time`, and the
whole grid where it is kept): the frame's rank among the real ones, stretched to the number of frames that the encoder
was made for, as a TimeSformer stretches its own positions.

Legend of the shape suffixes: B clips, T frames, S patches of a frame, E width, N images.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, InputError, first_line
from pseudocap.files.sources import find_file, read_json
from pseudocap.model.encoders import image_models
from pseudocap.model.encoders.base import Encoder, real_ranks
from pseudocap.model.precision import ENCODER, pack_linears
from pseudocap.model.weights import fingerprint, load_exactly, read_tensors
from pseudocap.types import MAX_FRAMES, Preprocess

MODEL_TYPE = "pseudocap-frames"
IMAGES_AT_ONCE = 32  # more would cost memory and no less time
GridOf = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesConfig:
    """Name the image model, and the frames that it expects.

    `stage` is the stride of the feature map that is taken (32, 16), None for the model's last features. `frames` is how
    many a clip has unless a captioner says otherwise. `architecture` is a name of timm's, with `model_args` for it.
    `positions=False` adds no position to the frames: for adapters that were trained on single pictures alone.
    """

    architecture: str
    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    frames: int = 8
    stage: int | None = None
    positions: bool = True
    model_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, str) or not self.architecture:
            raise ConfigError(f"encoder architecture must be the name of an image model, not {self.architecture!r}")
        if self.frames > MAX_FRAMES:
            raise ConfigError(f"encoder frames must be at most {MAX_FRAMES}, not {self.frames}")
        _ = self.preprocess  # which checks the rest

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess(size=self.size, mean=self.mean, std=self.std, frames=self.frames)  # type: ignore[arg-type]


class FramesEncoder(Encoder):
    """Apply an image model to every frame, its features standardised per channel where the checkpoint says how."""

    kind = "frames"

    def __init__(
        self, network: nn.Module, config: FramesConfig, *, library: str = image_models.TIMM, channels: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.library = library
        self.standardise: nn.Module = nn.Identity() if channels is None else Standardise(channels)
        self._grids: dict[tuple[int, int], tuple[int, int]] = {}
        self._width: int | None = None
        self._grid_of: GridOf = image_models.transformers_grid
        if library == image_models.TRANSFORMERS:
            side = getattr(getattr(network, "config", None), "patch_size", 1)
        else:
            side = image_models.patch_side(network)
            index = image_models.stage_index(network, config.stage, config.architecture)
            self._grid_of = functools.partial(image_models.timm_grid, index=index)
        self.size_multiple = side if isinstance(side, int) and config.size % side == 0 else 1

    @property
    def preprocess(self) -> Preprocess:
        return self.config.preprocess

    def width(self, axis: str) -> int:
        if self._width is None:
            self.grid(self.config.size, self.config.size)
        assert self._width is not None  # running it tells
        return self._width

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Find the grid by running the network once on an empty image of a new size; InputError where it takes none."""
        if (height, width) not in self._grids:
            try:
                with torch.no_grad():
                    self._features(torch.zeros(1, 3, height, width, device=self.device, dtype=self.dtype))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # each of a thousand architectures refuses a size in its own way
                raise InputError(
                    f"{self.config.architecture} takes no frames of {height} x {width} pixels "
                    f"({first_line(error)}); resize or crop them, to {self.config.size} for instance"
                ) from error
        return self._grids[height, width]

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Return the children of the list that holds most of the weights; the network where none holds half."""
        sizes = {
            module: sum(parameter.numel() for parameter in module.parameters())
            for module in self.network.modules()
            if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
        }
        largest = max(sizes, key=lambda module: sizes[module], default=None)
        total = sum(parameter.numel() for parameter in self.network.parameters())
        return [self.network] if largest is None or sizes[largest] < total / 2 else list(largest)

    def compute_fingerprint(self, stored: image_models.State | None = None) -> str:
        """Hash the weights, `stored` where their names in memory are a library version's, and what reads them:
        architectures that share all weights (GELU and QuickGELU) differ."""
        config = self.config
        how = f"{self.library} {config.architecture}, stage {config.stage}, {config.frames} frames"
        how += "" if config.positions else ", no positions"
        return fingerprint([*(stored or self.state_dict()).items(), (how, torch.zeros(1))])

    def check_size(self, size: int) -> None:
        super().check_size(size)
        try:
            self.grid(size, size)
        except InputError as error:
            raise ConfigError(f"size {size} cannot be: {error}") from error

    def check_frames(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None) -> None:
        super().check_frames(frames_BT3HW, frame_mask_BT)
        self.grid(*frames_BT3HW.shape[-2:])

    def forward(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Compute features; padded frames are never looked at, and theirs are zero."""
        self.check_frames(frames_BT3HW, frame_mask_BT)
        real_BT = torch.ones(frames_BT3HW.shape[:2], dtype=torch.bool) if frame_mask_BT is None else frame_mask_BT
        real_BT = real_BT.to(frames_BT3HW.device)
        images_N3HW = frames_BT3HW[real_BT]
        if not bool(torch.isfinite(images_N3HW).all()):
            raise InputError("frames hold NaN or infinite pixels; check the decoding and the normalisation before")
        parts = [self._features(images.to(self.dtype)) for images in images_N3HW.split(IMAGES_AT_ONCE)]
        features_NSE = torch.cat(parts)
        features_BTSE = features_NSE.new_zeros(*real_BT.shape, *features_NSE.shape[1:])
        features_BTSE[real_BT] = features_NSE
        return features_BTSE

    def _features(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        images_N3HW = images_N3HW.contiguous(memory_format=torch.channels_last)  # in which a CPU runs a CNN faster
        grid = self._grid_of(self.network, images_N3HW)
        self._grids[tuple(images_N3HW.shape[-2:])] = (grid.shape[1], grid.shape[2])  # type: ignore[index]
        self._width = grid.shape[3]
        features_NSE: torch.Tensor = self.standardise(grid.flatten(1, 2))
        return features_NSE

    def time_signal(self, features_BTSE: torch.Tensor, frame_mask_BT: torch.Tensor | None) -> torch.Tensor | None:
        if not self.config.positions:
            return None
        B, T, _, E = features_BTSE.shape
        mask_BT = torch.ones(B, T, dtype=torch.bool) if frame_mask_BT is None else frame_mask_BT
        rank_BT, real_B1 = real_ranks(mask_BT.to(features_BTSE.device))
        return sinusoids(rank_BT * (self.config.frames / real_B1), E).to(features_BTSE.dtype)

    def pack(self, precision: str) -> None:
        """Pack one layer as a trial first: some networks read a layer's weights where others call the layer."""
        kind = ENCODER[precision]
        if kind is None:
            return
        first = self.layers[0]
        linears = [
            (parent, name, child)
            for parent in first.modules()
            for name, child in parent.named_children()
            if type(child) is nn.Linear
        ]
        pack_linears(first, kind, where=_is_plain)
        try:
            self._grids.clear()
            self.grid(self.config.size, self.config.size)
        except InputError as error:
            for parent, name, child in linears:
                setattr(parent, name, child)
            raise ConfigError(
                f"the encoder {self.config.architecture} cannot be held in {precision} "
                f"({first_line(error.__cause__ or error)}); load the captioner with precision='float32'"
            ) from error
        pack_linears(self.network, kind, where=_is_plain)

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        """Read our format, timm's or transformers'."""
        document = read_json(config)
        stored: image_models.State | None = None
        try:
            if document.get("model_type") == MODEL_TYPE:
                fields = {name: value for name, value in document.items() if name != "model_type"}
                state = read_tensors(find_file(source, "model.safetensors", **access))
                encoder = cls.from_state(FramesConfig(**fields), state, source=source)  # type: ignore[arg-type]
            elif "architecture" in document:
                values, state = image_models.read_timm(source, document, access)
                own = FramesConfig(**values)
                network = _timm_network(own)
                load_exactly(network, image_models.without_classifier(network, state), source=source)
                encoder = cls(network, own)
            else:
                values, network, stored = image_models.read_transformers(source, access)
                encoder = cls(network, FramesConfig(**values), library=image_models.TRANSFORMERS)
        except CheckpointError:
            raise
        except (ConfigError, TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{config} describes no image model: {first_line(error)}") from error
        try:
            encoder.eval().width("time")
        except InputError as error:
            raise CheckpointError(f"{source} cannot be an encoder: {error}") from error
        return encoder, encoder.compute_fingerprint(stored)

    @classmethod
    def from_state(cls, config: FramesConfig, state: image_models.State, *, source: str | Path) -> Self:
        """Build a timm model with weights in our format: `network.*`, and `standardise.*` where it is standardised."""
        network = _timm_network(config)
        channels = [len(value) for name, value in state.items() if name.startswith("standardise.")]
        encoder = cls(network, config, channels=channels[0] if channels else None)
        load_exactly(encoder, state, source=source)
        if channels and bool((state["standardise.std"] <= 0).any()):
            raise CheckpointError(f"{source}: standardise.std divides the features, so all of it must be above 0")
        return encoder

    def document(self) -> dict[str, Any]:
        if self.library != image_models.TIMM:
            raise ConfigError("an image model of transformers stays in its own format: copy its directory, or name it")
        fields = dataclasses.asdict(self.config)
        if not fields["model_args"]:
            del fields["model_args"]
        if fields["positions"]:
            del fields["positions"]
        return {"model_type": MODEL_TYPE, **fields}


class Standardise(nn.Module):
    """Standardise features: minus their mean, by their standard deviation, channel by channel, over some data."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, features_NSE: torch.Tensor) -> torch.Tensor:
        return (features_NSE - self.mean) / self.std


def sinusoids(positions_BT: torch.Tensor, width: int) -> torch.Tensor:
    """Return the positions as the Transformer has them, [B,T,width]: sines, then cosines, of falling frequency."""
    half = -(-width // 2)
    rates_K = torch.exp(torch.arange(half, device=positions_BT.device) * (-9.210340371976184 / half))  # 10000^(-k/half)
    angles_BTK = positions_BT[..., None].float() * rates_K
    return torch.cat((angles_BTK.sin(), angles_BTK.cos()), dim=-1)[..., :width]


def _timm_network(config: FramesConfig) -> nn.Module:
    return image_models.build_timm(
        config.architecture, size=config.size, stage=config.stage, model_args=config.model_args
    )


def _is_plain(linear: nn.Linear) -> bool:
    """Return whether it is a Linear and not a subclass, which may compute something else."""
    return type(linear) is nn.Linear
