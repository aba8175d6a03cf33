"""Choose where a network computes and in which type, checked before anything is loaded."""

from __future__ import annotations

import torch

from pseudocap.errors import ConfigError, first_line


def pick_device(device: str | torch.device) -> torch.device:
    """Return the device by its name; `auto` is the best that this machine has."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is none that torch knows; try 'auto', 'cpu' or 'cuda'") from error
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {device!r} cannot be used here: {first_line(error)}; try device='auto'") from error
    return chosen


def check_dtype(dtype: torch.dtype) -> None:
    """Raise ConfigError where weights cannot be of this type."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"dtype must be torch.float32, torch.bfloat16 or torch.float16, not {dtype!r}")
