"""Define every frozen encoder: frames in (audio.py: sound), a memory out, and the identity of its weights.

Families of sight subclass `Encoder` and give the features of every patch of every frame; checking frames, pooling and
identity are here. Loading by any name: load.py.

Legend of the shape suffixes: B clips, T frames, S patches of a frame, E width, H and W pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from pseudocap.errors import ConfigError, InputError
from pseudocap.files.sources import find_file, pin_revision
from pseudocap.memory import SIGHT, Memory
from pseudocap.model.config import Backbone
from pseudocap.model.precision import ENCODER, pack_linears
from pseudocap.model.weights import fingerprint, write_checkpoint
from pseudocap.types import MAX_FRAMES, Preprocess


class FrozenNetwork(nn.Module):
    """Load a frozen encoder of one modality, and know the identity of its weights."""

    kind: str  # the family's name in load.py
    axes: tuple[str, ...]  # of the memories that it gives
    learns = False  # whether `encode` records gradients: where a model learns end to end

    def __init__(self) -> None:
        super().__init__()
        self.origin: Backbone | None = None  # of a loaded encoder: source, revision, fingerprint

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Load weights in a format of the family from a directory, the hub or this package; frozen, to evaluate."""
        access: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only, "token": token}
        path = find_file(source, "config.json", **access)
        access["revision"] = revision = pin_revision(source, path, revision)
        encoder, identity = cls.read(source, path, access)
        encoder.origin = Backbone(source=str(source), revision=revision, fingerprint=identity)
        return encoder.to(dtype).requires_grad_(False).eval()

    # What a family provides

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        """Read an encoder, by its config.json, and return it with the identity of its weights as stored."""
        raise NotImplementedError

    def width(self, axis: str) -> int:
        """Return how wide the vectors of a memory's axis are."""
        raise NotImplementedError

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Return the repeated layers, which torch.compile takes one by one."""
        raise NotImplementedError

    # What all families share

    @property
    def fingerprint(self) -> str:
        """Return the identity of the weights; of loaded ones as they are stored."""
        return self.compute_fingerprint() if self.origin is None else self.origin.fingerprint

    def compute_fingerprint(self) -> str:
        """Hash the weights as they are now."""
        return fingerprint(self.state_dict().items())

    @property
    def device(self) -> torch.device:
        return self._any_tensor.device

    @property
    def dtype(self) -> torch.dtype:
        return self._any_tensor.dtype

    @property
    def _any_tensor(self) -> torch.Tensor:
        return next(itertools.chain(self.parameters(), self.buffers()))  # pixels have no parameter

    def pack(self, precision: str) -> None:
        """Hold the linear layers in fewer bits, to caption with."""
        pack_linears(self, ENCODER[precision])


class Encoder(FrozenNetwork):
    """Encode frames [B,T,3,H,W] as the features of their patches [B,T,S,E], and as a pooled Memory."""

    axes: tuple[str, ...] = SIGHT
    size_multiple: int = 1  # what both sides of a frame must be a multiple of

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors in our format, in the type that the weights have now."""
        tensors, document = self.state_dict(), self.document()
        write_checkpoint(
            Path(path), weights="model.safetensors", tensors=tensors, config="config.json", document=document
        )

    # What a family provides

    def document(self) -> dict[str, Any]:
        """Return what config.json holds in our format."""
        raise NotImplementedError

    @property
    def preprocess(self) -> Preprocess:
        """Return the frames that the encoder expects, unless a captioner sets others."""
        raise NotImplementedError

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches that a frame of this size becomes."""
        raise NotImplementedError

    # What all families share

    def encode(
        self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None = None, *, patches: bool = False
    ) -> Memory:
        """Return one vector per frame and one per patch, with gradients only if it `learns`; with `patches` all of the
        grid, too."""
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            features_BTSE = self(frames_BT3HW, frame_mask_BT)
            # A mask that hides nothing would cost a copy of all features.
            padded = frame_mask_BT is not None and not bool(frame_mask_BT.all())
            mask_BT = frame_mask_BT if padded else None
            return pool(features_BTSE, mask_BT, patches=patches, time_BTE=self.time_signal(features_BTSE, mask_BT))

    def time_signal(self, features_BTSE: torch.Tensor, frame_mask_BT: torch.Tensor | None) -> torch.Tensor | None:
        """Return what is added to the vectors of each frame so that their order shows; None where features know it."""
        return None

    def check_size(self, size: int) -> None:
        """Raise ConfigError where square frames of this size cannot be encoded."""
        multiple = self.size_multiple
        if size < 1 or size % multiple:
            raise ConfigError(f"size must be a multiple of the encoder's patch size {multiple}, not {size}")

    def check_frames(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None) -> None:
        """Raise InputError where frames or their mask are not what the encoder takes."""
        if not isinstance(frames_BT3HW, torch.Tensor):
            raise InputError(f"frames must be a torch tensor, not a {type(frames_BT3HW).__name__}")
        shape, multiple = tuple(frames_BT3HW.shape), self.size_multiple
        if len(shape) != 5 or shape[2] != 3:
            raise InputError(f"frames must be [B, T, 3, H, W], not {list(shape)}")
        if not frames_BT3HW.is_floating_point():
            raise InputError(f"frames must be normalised floats, not {frames_BT3HW.dtype}")
        if not shape[0]:
            raise InputError("frames hold no clip: the batch is empty")
        if not 1 <= shape[1] <= MAX_FRAMES:
            raise InputError(f"a clip must have 1 to {MAX_FRAMES} frames, not {shape[1]}; sample fewer, or split it")
        if shape[3] % multiple or shape[4] % multiple or not (shape[3] and shape[4]):
            raise InputError(
                f"frames are {shape[3]} x {shape[4]} pixels, and both sides must be multiples of the patch size "
                f"{multiple}; resize or crop them, to {self.preprocess.size} for instance"
            )
        if frame_mask_BT is not None:
            if frame_mask_BT.shape != shape[:2] or frame_mask_BT.dtype != torch.bool:
                raise InputError(
                    f"frame_mask must be boolean and of shape {list(shape[:2])}, one value per frame, "
                    f"not {frame_mask_BT.dtype} {list(frame_mask_BT.shape)}"
                )
            if not bool(frame_mask_BT.any(dim=1).all()):
                raise InputError("frame_mask hides every frame of a clip; drop that clip from the batch")


def pool(
    features_BTSE: torch.Tensor,
    frame_mask_BT: torch.Tensor | None = None,
    *,
    patches: bool = False,
    time_BTE: torch.Tensor | None = None,
) -> Memory:
    """Pool features over space and over time: a maximum over each, into which no padded frame enters.

    With `patches` what was pooled is kept beside it. `time_BTE` is added to all vectors that belong to one frame.
    """
    pooled_BTE = features_BTSE.amax(dim=2)
    patches_BTSE = features_BTSE if patches else None
    if time_BTE is not None:
        pooled_BTE = pooled_BTE + time_BTE
        patches_BTSE = None if patches_BTSE is None else patches_BTSE + time_BTE[:, :, None]
    mask_BT = None
    if frame_mask_BT is not None:
        mask_BT = frame_mask_BT.to(features_BTSE.device)
        hidden_BT11 = ~mask_BT[:, :, None, None]
        pooled_BTE = pooled_BTE.masked_fill(hidden_BT11[..., 0], 0)
        patches_BTSE = None if patches_BTSE is None else patches_BTSE.masked_fill(hidden_BT11, 0)
        features_BTSE = features_BTSE.masked_fill(hidden_BT11, -torch.inf)
    return Memory.of_sight(time=pooled_BTE, time_mask=mask_BT, space=features_BTSE.amax(dim=1), patches=patches_BTSE)


def real_ranks(frame_mask_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rank of each frame among a clip's real ones [B,T], and how many there are [B,1]."""
    return (frame_mask_BT.cumsum(dim=1) - 1).clamp(min=0), frame_mask_BT.sum(dim=1, keepdim=True)
