"""Run a TimeSformer with divided space-time attention that is right for any clip.

transformers has one too, but its layers read the frame count and image size from the config, so it is wrong for
one-frame images, other lengths and other sizes; this one takes 1 to 96 frames of any size that the patches divide,
equals theirs where theirs is right, and runs on scaled_dot_product_attention. Its keys are those of the original
repository, so that checkpoints need no translation but a prefix.

Without gradients, which is how a frozen encoder runs, each part of a block goes through the tokens a slice at a time
and adds to them in place: what a slice needs stays in the processor's cache, and the peak of memory is one slice's
beside the tokens themselves (docs/performance.md).

Legend of the shape suffixes: B clips, T frames, S patches of a frame, E width, H heads, K head width, L tokens of one
attention, N independent attentions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.files.sources import find_file, read_json
from pseudocap.model.encoders.base import Encoder, real_ranks
from pseudocap.model.encoders.convert import read_huggingface, read_timm
from pseudocap.model.weights import fingerprint, load_exactly, read_tensors
from pseudocap.types import MAX_FRAMES, Preprocess

MODEL_TYPE = "pseudocap-timesformer"
TOKENS_AT_ONCE = 1024  # on a CPU, without gradients


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSformerConfig:
    """Set shapes. `image_size` and `num_frames` are those of stored position embeddings, not limits on the input."""

    image_size: int = 224
    patch_size: int = 16
    num_frames: int = 8
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    eps: float = 1e-6
    qkv_bias: bool = True
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "num_frames", "width", "depth", "heads", "mlp_width"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ConfigError(f"encoder {name} must be a whole number above 0, not {getattr(self, name)!r}")
        if self.width % self.heads:
            raise ConfigError(f"encoder width {self.width} cannot be shared among {self.heads} heads")
        if self.image_size % self.patch_size:
            raise ConfigError(f"encoder image_size {self.image_size} is no multiple of patch_size {self.patch_size}")
        if self.num_frames > MAX_FRAMES:
            raise ConfigError(f"encoder num_frames must be at most {MAX_FRAMES}, not {self.num_frames}")
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size


class TimeSformer(Encoder):
    """Turn frames, float [B,T,3,H,W], into the features of every patch of every frame, [B,T,S,E]."""

    kind = "timesformer"

    def __init__(self, config: TimeSformerConfig) -> None:
        super().__init__()
        self.config = config
        self.size_multiple = config.patch_size
        width = config.width
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.grid**2, width))
        self.time_embed = nn.Parameter(torch.empty(1, config.num_frames, width))
        self.patch_embed = PatchEmbed(patch_size=config.patch_size, width=width)
        self.blocks = nn.ModuleList(
            Block(width=width, heads=config.heads, mlp_width=config.mlp_width, eps=config.eps, qkv_bias=config.qkv_bias)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=config.eps)
        self.reset_parameters()

    @property
    def preprocess(self) -> Preprocess:
        own = self.config
        return Preprocess(size=own.image_size, mean=own.mean, std=own.std, frames=own.num_frames)  # type: ignore[arg-type]

    def width(self, axis: str) -> int:
        return self.config.width

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self.config.patch_size, width // self.config.patch_size

    @property
    def layers(self) -> Sequence[nn.Module]:
        return list(self.blocks)

    def reset_parameters(self) -> None:
        """Draw the ViT's usual start, the temporal parts included."""
        for parameter in (self.cls_token, self.pos_embed, self.time_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Return features after the final LayerNorm, the class token dropped; those of padded frames mean nothing."""
        self.check_frames(frames_BT3HW, frame_mask_BT)
        B, T, _, height, width = frames_BT3HW.shape
        mask_BT = None
        if frame_mask_BT is not None and not bool(frame_mask_BT.all()):
            mask_BT = frame_mask_BT.to(frames_BT3HW.device)
            frames_BT3HW = frames_BT3HW.masked_fill(~mask_BT[:, :, None, None, None], 0)
        if not bool(torch.isfinite(frames_BT3HW).all()):
            raise InputError("frames hold NaN or infinite pixels; check the decoding and the normalisation before")

        patches_BTSE = self.patch_embed(frames_BT3HW.to(self.cls_token.dtype))
        patch = self.config.patch_size
        space_1SE = self._space_positions(height // patch, width // patch)
        time_BTE = self._time_positions(T, mask_BT)
        x_BTSE = patches_BTSE + space_1SE[:, None] + time_BTE[:, :, None]
        cls_B1E = (self.cls_token + self.pos_embed[:, :1]).expand(B, -1, -1)
        for block in self.blocks:
            cls_B1E, x_BTSE = block(cls_B1E, x_BTSE, mask_BT)
        return self.norm(x_BTSE)

    def _space_positions(self, rows: int, columns: int) -> torch.Tensor:
        """Return the patches' position embeddings, resized by nearest as in the original repository."""
        grid = self.config.grid
        positions_1SE = self.pos_embed[:, 1:]
        if (rows, columns) == (grid, grid):
            return positions_1SE
        positions_1EHW = positions_1SE.transpose(1, 2).unflatten(2, (grid, grid))
        return F.interpolate(positions_1EHW, size=(rows, columns), mode="nearest").flatten(2).transpose(1, 2)

    def _time_positions(self, T: int, mask_BT: torch.Tensor | None) -> torch.Tensor:
        """Return the frames' position embeddings, resized by nearest to each clip's own number of real frames.

        A clip therefore means the same alone and padded in a batch.
        """
        device, stored = self.time_embed.device, self.config.num_frames
        if mask_BT is None:
            rank_BT, real_B1 = torch.arange(T, device=device)[None], torch.tensor([[T]], device=device)
        else:
            rank_BT, real_B1 = real_ranks(mask_BT)
        # These float32 steps are F.interpolate's own, rounding included: checkpoints see what they learned with.
        scale_B1 = torch.full_like(real_B1, stored, dtype=torch.float32) / real_B1
        nearest_BT = (rank_BT * scale_B1).long().clamp(max=stored - 1)
        return self.time_embed[0, nearest_BT]

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        """Read weights of ours or Hugging Face's."""
        document = read_json(config)
        if document.get("model_type") == MODEL_TYPE:
            fields = {key: value for key, value in document.items() if key != "model_type"}
            try:
                shapes = TimeSformerConfig(**fields)  # type: ignore[arg-type]
            except (TypeError, ConfigError) as error:
                raise CheckpointError(f"{config} describes no TimeSformer: {error}") from error
            state = read_tensors(find_file(source, "model.safetensors", **access))
        elif document.get("model_type") == "timesformer":
            values, state = read_huggingface(source, access)
            shapes = TimeSformerConfig(**values)
        else:
            raise CheckpointError(
                f"{config} describes a {document.get('model_type')!r}, not a TimeSformer; "
                "an original .pyth file is turned into a directory by `pseudocap convert timesformer`"
            )
        return cls.from_state(shapes, state, source=source), fingerprint(state.items())

    @classmethod
    def from_timm(cls, name: str, *, num_frames: int = 8, pretrained: bool = True) -> Self:
        """Start from a timm ViT as the TimeSformer paper does.

        The temporal attention is a copy of the spatial one, behind a projection of zeros; the time embeddings are
        zero. At first, each frame is therefore seen as the ViT sees it. Frozen, in evaluation mode.
        """
        values, state = read_timm(name, num_frames=num_frames, pretrained=pretrained)
        return cls.from_state(TimeSformerConfig(**values), state, source=name).requires_grad_(False).eval()

    @classmethod
    def from_state(cls, config: TimeSformerConfig, state: dict[str, torch.Tensor], *, source: str | Path) -> Self:
        """Build an encoder that takes the tensors themselves."""
        with torch.device("meta"):
            encoder = cls(config)
        load_exactly(encoder, state, source=source)
        return encoder

    def document(self) -> dict[str, Any]:
        return {"model_type": MODEL_TYPE, **dataclasses.asdict(self.config)}


class PatchEmbed(nn.Module):
    def __init__(self, *, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, frames_BT3HW: torch.Tensor) -> torch.Tensor:
        patches_NEHW = self.proj(frames_BT3HW.flatten(0, 1))
        return patches_NEHW.flatten(2).transpose(1, 2).unflatten(0, frames_BT3HW.shape[:2])


class Block(nn.Module):
    """Attend over the frames at each patch, then over the patches (and the class token) of each frame, then MLP.

    Without gradients the tokens that are given are changed in place.
    """

    def __init__(self, *, width: int, heads: int, mlp_width: int, eps: float, qkv_bias: bool) -> None:
        super().__init__()
        self.temporal_norm1 = nn.LayerNorm(width, eps=eps)
        self.temporal_attn = SelfAttention(width=width, heads=heads, qkv_bias=qkv_bias)
        self.temporal_fc = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = SelfAttention(width=width, heads=heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width=width, hidden=mlp_width)

    def forward(
        self, cls_B1E: torch.Tensor, x_BTSE: torch.Tensor, mask_BT: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        leave_time = self._leave_time(tokens=x_BTSE[..., 0].numel())
        seen: list[torch.Tensor] = []

        def over_time(x_BTSE: torch.Tensor) -> torch.Tensor:
            B, T, S, E = x_BTSE.shape
            each_patch_NTE = self.temporal_norm1(x_BTSE.transpose(1, 2)).reshape(B * S, T, E)
            keys_N11T = None if mask_BT is None else mask_BT.repeat_interleave(S, dim=0)[:, None, None]
            update_NTE = leave_time(self.temporal_attn.attend(each_patch_NTE, keys_N11T))
            return update_NTE.view(B, S, T, E).transpose(1, 2)

        def over_space(x_BTSE: torch.Tensor) -> torch.Tensor:
            """Attend within every frame, each to its own copy of the class token; the copies' updates are averaged."""
            B, T, S, E = x_BTSE.shape
            each_frame_BTLE = torch.cat((cls_B1E[:, None].expand(B, T, 1, E), x_BTSE), dim=2)
            update_BTLE = self.attn(self.norm1(each_frame_BTLE).flatten(0, 1)).view(B, T, 1 + S, E)
            seen.append(update_BTLE[:, :, 0])
            return update_BTLE[:, :, 1:]

        def think(x: torch.Tensor) -> torch.Tensor:
            return self.mlp(self.norm2(x))

        x_BTSE = add(x_BTSE, over_time, dim=2)
        x_BTSE = add(x_BTSE, over_space, dim=1)
        cls_B1E = cls_B1E + mean_over_frames(torch.cat(seen, dim=1), mask_BT)
        return cls_B1E + think(cls_B1E), add(x_BTSE, think, dim=1)

    def _leave_time(self, *, tokens: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """Apply the temporal attention's projection and the dense layer behind it. Nothing lies between the two linear
        layers, so for many tokens one layer, their product, does the work of both."""
        first, second = self.temporal_attn.proj, self.temporal_fc
        plain = type(first) is nn.Linear and type(second) is nn.Linear  # not where someone has quantised them
        if torch.is_grad_enabled() or not plain or tokens < 2 * first.in_features:
            return lambda x: second(first(x))
        weight, bias = second.weight @ first.weight, second(first.bias)
        return lambda x: F.linear(x, weight, bias)


def add(x: torch.Tensor, update: Callable[[torch.Tensor], torch.Tensor], *, dim: int) -> torch.Tensor:
    """Add update(x) to x. Without gradients in place, and on a CPU in slices along a dimension that the update does not
    mix."""
    if torch.is_grad_enabled():
        return x + update(x)
    tokens = x[..., 0].numel()
    slices = -(-tokens // TOKENS_AT_ONCE) if x.device.type == "cpu" else 1
    for part in x.tensor_split(min(slices, x.shape[dim]), dim=dim):
        part += update(part)
    return x


def mean_over_frames(cls_BTE: torch.Tensor, mask_BT: torch.Tensor | None) -> torch.Tensor:
    if mask_BT is None:
        return cls_BTE.mean(dim=1, keepdim=True)
    real_BT1 = mask_BT[:, :, None].to(cls_BTE.dtype)
    return (cls_BTE * real_BT1).sum(dim=1, keepdim=True) / real_BT1.sum(dim=1, keepdim=True)


class SelfAttention(nn.Module):
    def __init__(self, *, width: int, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def attend(self, x_NLE: torch.Tensor, keys_N11L: torch.Tensor | None = None) -> torch.Tensor:
        qkv_3NHLK = self.qkv(x_NLE).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q_NHLK, k_NHLK, v_NHLK = qkv_3NHLK.unbind()
        out_NHLK = F.scaled_dot_product_attention(q_NHLK, k_NHLK, v_NHLK, attn_mask=keys_N11L)
        return out_NHLK.transpose(1, 2).flatten(2)

    def forward(self, x_NLE: torch.Tensor) -> torch.Tensor:
        return self.proj(self.attend(x_NLE))


class MLP(nn.Module):
    def __init__(self, *, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))
