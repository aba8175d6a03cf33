"""Hold frozen backbones in fewer bits: for captioning on small machines, where every word waits for all the weights.

A decoder that writes one word at a time multiplies a handful of rows by all its weights, so the bytes of the weights
are its time. Here the linear layers of the frozen encoder and decoder are replaced by layers that hold the same weights
in fewer bits; norms, attention, the stream of hidden states and the adapters stay in float32. What each costs and when
to take it: docs/small_machines.md.

torch's own quantised tensors (quantize_per_channel, torch.ao) are on their way out (pytorch/pytorch#184982), so the
integers here are plain tensors, and the kernels are those that torch's compiler uses for them.

Legend: M rows (tokens or patches), N outputs, K inputs of a layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import ConfigError, first_line, nearest
from pseudocap.types import PRECISIONS

FULL_PRECISION = "float32"
CPU_ONLY = ("float16", "int8", "int4")
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, of x86's matrix unit, of ARM


class PackedLinear(nn.Module):
    """Hold a frozen linear layer in fewer bits. Its packed weights are no parameter: nobody learns or saves it."""

    in_features: int
    out_features: int

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.held = sum(parameter.numel() for parameter in linear.parameters())  # how many weights it stands for

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            raise ConfigError(
                "a gradient reached a backbone in fewer bits, which has none to give; "
                "load the captioner with precision='float32' to train it"
            )
        rows_MK = x.reshape(-1, self.in_features).float()
        return self.multiply(rows_MK).view(*x.shape[:-1], self.out_features).to(x.dtype)

    def multiply(self, rows_MK: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class BFloat16Linear(PackedLinear):
    """Compute with weights and inputs in bfloat16. Half the bytes; the only one that also runs on a GPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.register_buffer("weight", linear.weight.detach().to(torch.bfloat16), persistent=False)
        bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
        self.register_buffer("bias", bias, persistent=False)

    def multiply(self, rows_MK: torch.Tensor) -> torch.Tensor:
        return F.linear(rows_MK.to(self.weight.dtype), self.weight, self.bias)  # type: ignore[arg-type]


class CPULinear(PackedLinear):
    """Hold what the others share: they have kernels for the CPU alone."""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        if (device := fn(torch.empty(0)).device).type != "cpu":
            raise ConfigError(
                f"backbones in {', '.join(CPU_ONLY)} run on the CPU alone and cannot move to {device}; "
                "load the captioner there with precision='bfloat16'"
            )
        return super()._apply(fn, recurse)


class Float16Linear(CPULinear):
    """Hold weights in float16 and compute in float32 (FBGEMM's kernel). Of a file in float16, as OPT's are,
    nothing is rounded: half the bytes, and sums that differ by their order alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self._packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach().float(), bias)

    def multiply(self, rows_MK: torch.Tensor) -> torch.Tensor:
        out_MN: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(rows_MK, self._packed)
        return out_MN


class StoredFloat16Linear(Float16Linear):
    """Hold an adapter's layer whose weights are float16 numbers anyway, as those of a checkpoint in half precision.

    It computes what the layer in float32 computed. Its weights stay parameters, since they are what is saved.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.held = 0  # its parameters are counted themselves
        self.weight = nn.Parameter(linear.weight.detach().to(torch.float16), requires_grad=False)
        self.register_parameter("bias", linear.bias)

    @staticmethod
    def suits(linear: nn.Linear) -> bool:
        weight = linear.weight.detach()
        return all(torch.equal(part.to(torch.float16).float(), part) for part in (weight[:1], weight))


class Int8Linear(CPULinear):
    """Hold a scale for each output, and a scale and an offset for each row of the input, found as it comes.

    Each row by itself, so that a caption does not depend on its neighbours in the batch: the least of a row becomes 0
    and its most 127, and the kernel sees one range for all. Seven bits of input, not eight: without VNNI the products
    of two full bytes overflow 16 bits.
    """

    LEVELS = 127
    LEAST_SPAN = 1e-30  # of a row of equal numbers: its inverse is still a float32

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight_NK = linear.weight.detach().float()
        scales_N = (weight_NK.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        eight_NK = (weight_NK / scales_N[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(eight_NK, None)
        self._scales_N = scales_N
        self._zeros_N = torch.zeros(self.out_features, dtype=torch.int64)
        self._of_ones_N = eight_NK.sum(dim=1, dtype=torch.int64).float() * scales_N  # what a row of ones gives
        self._bias_N = None if linear.bias is None else linear.bias.detach().float()

    def multiply(self, rows_MK: torch.Tensor) -> torch.Tensor:
        # Along rows amin and amax are faster than aminmax, and a cast to int8 than one to uint8 (docs/experiments.md).
        least_M1, most_M1 = rows_MK.amin(dim=1, keepdim=True), rows_MK.amax(dim=1, keepdim=True)
        span_M1 = (most_M1 - least_M1).clamp_(min=self.LEAST_SPAN)
        levels_MK = (rows_MK - least_M1).mul_(self.LEVELS / span_M1).add_(0.5).to(torch.int8).view(torch.uint8)
        shares_MN = torch.ops.onednn.qlinear_pointwise(
            *(levels_MK, 1 / self.LEVELS, 0, self._packed, self._scales_N, self._zeros_N),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        out_MN: torch.Tensor = shares_MN.mul_(span_M1).addcmul_(least_M1, self._of_ones_N)
        return out_MN if self._bias_N is None else out_MN.add_(self._bias_N)


class Int4Linear(CPULinear):
    """Hold four bits with a scale and an offset for each 32 weights of an output; the inputs in bfloat16.

    The fewest bytes, so the fastest for a few rows; many rows (an encoder's) unpack the weights again and again, and
    are better off in int8.
    """

    GROUP = 32
    OUTPUTS = 64  # the kernel works on blocks of so many at most

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight_NK = linear.weight.detach().float()
        N, K = weight_NK.shape
        self._spare = -K % self.GROUP
        weight_NK = F.pad(weight_NK, (0, self._spare, 0, -N % self.OUTPUTS))
        groups_NGk = weight_NK.unflatten(1, (-1, self.GROUP))
        least_NG1, most_NG1 = torch.aminmax(groups_NGk, dim=2, keepdim=True)
        # Rounded to bfloat16 first, as the kernel will read them: the integers then make up for the rounding.
        scale_NG1 = ((most_NG1 - least_NG1) / 15).clamp(min=1e-8).to(torch.bfloat16)
        middle_NG1 = (least_NG1 + 8 * scale_NG1.float()).to(torch.bfloat16)
        four_NGk = ((groups_NGk - middle_NG1.float()) / scale_NG1.float()).round().add(8).clamp(0, 15)
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(four_NGk.flatten(1).to(torch.int32), 1)
        self._scales_GN2 = torch.cat((scale_NG1, middle_NG1), dim=2).transpose(0, 1).contiguous()
        self._bias_N = None if linear.bias is None else linear.bias.detach().float()

    def multiply(self, rows_MK: torch.Tensor) -> torch.Tensor:
        rows_MK = F.pad(rows_MK, (0, self._spare)).to(torch.bfloat16)
        out_MN = torch.ops.aten._weight_int4pack_mm_for_cpu(rows_MK, self._packed, self.GROUP, self._scales_GN2)
        out_MN = out_MN[:, : self.out_features].float()
        return out_MN if self._bias_N is None else out_MN.add_(self._bias_N)


class HalfEmbedding(nn.Module):
    """Hold the rows of a table in 16 bits, return them in float32: OPT's own files hold no more."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.held = table.weight.numel()
        self.padding_idx = table.padding_idx
        self.register_buffer("weight", table.weight.detach().to(torch.float16), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return F.embedding(ids, self.weight, self.padding_idx).float()  # type: ignore[arg-type]


# What a linear layer becomes: the encoder's see many rows, the decoder's few, the last one decides the word.
LinearKind = type[PackedLinear]
ENCODER: dict[str, LinearKind | None] = {
    "bfloat16": BFloat16Linear,
    "float16": None,  # many rows wait for the arithmetic, not for the bytes
    "int8": Int8Linear,
    "int4": Int8Linear,
}
DECODER: dict[str, LinearKind] = {
    "bfloat16": BFloat16Linear,
    "float16": Float16Linear,
    "int8": Int8Linear,
    "int4": Int4Linear,
}
VOCABULARY: dict[str, LinearKind] = DECODER | {"int4": Int8Linear}


def pack_linears(
    module: nn.Module, kind: LinearKind | None, *, where: Callable[[nn.Linear], bool] | None = None
) -> None:
    """Replace every linear layer inside. One after the other, so that at most one has both its forms in memory."""
    if kind is None:
        return
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and (where is None or where(child)):
                setattr(parent, name, kind(child))


def check_precision(precision: str, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
    """Check, before anything is loaded, that a precision exists, the dtype suits it, and this device has it."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ConfigError(f"precision must be one of {known}, not {precision!r}{nearest(str(precision), PRECISIONS)}")
    if precision != FULL_PRECISION and dtype != torch.float32:
        raise ConfigError(
            f"precision={precision!r} is of the frozen weights and leaves the rest in float32, "
            f"so dtype={dtype} excludes it: give one of the two"
        )
    if precision in CPU_ONLY:
        if device.type != "cpu":
            raise ConfigError(
                f"precision={precision!r} has kernels for the CPU alone, and the device is {device}; "
                "take precision='bfloat16' there, or device='cpu'"
            )
        kinds = {kind for kind in (ENCODER[precision], DECODER[precision], VOCABULARY[precision]) if kind is not None}
        try_kernels(*kinds, requested=f"precision={precision!r}", instead="take precision='bfloat16' or 'float32'")


def warn_where_slow(precision: str, device: torch.device) -> None:
    """Warn of what a CPU can do, but not well."""
    if precision == "bfloat16" and device.type == "cpu" and not computes_in_bfloat16():
        warnings.warn(
            "this CPU has no bfloat16 instructions: precision='bfloat16' halves the memory here, but may be slower "
            "than float32; precision='float16' rounds less",
            stacklevel=3,
        )


def computes_in_bfloat16() -> bool:
    """Return whether this CPU has instructions for it; a torch that cannot tell is taken at its best."""
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else dict.fromkeys(BFLOAT16_FLAGS, 1)
    return any(flags.get(flag, False) for flag in BFLOAT16_FLAGS)


def try_kernels(*kinds: LinearKind, requested: str, instead: str) -> None:
    """Try a layer of each kind once: builds of torch differ, and none reports what it has."""
    layer = nn.Linear(64, 64).requires_grad_(False)
    try:
        for kind in kinds:
            kind(layer)(torch.ones(2, 64))
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        raise ConfigError(
            f"{requested} cannot be computed here: torch {torch.__version__} has no kernel for it on this CPU "
            f"({first_line(error)}); {instead}"
        ) from error
