"""Keep frozen parameters out of state dicts: of checkpoints, and of what a checkpoint is loaded into."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

Learned = Callable[[str], bool]  # of the name of a parameter or buffer


def keep_frozen_out(network: nn.Module, learned: Learned) -> None:
    """Let the network's state dicts hold what is learned alone; loading one leaves the rest as it is."""
    network.register_state_dict_post_hook(partial(_leave_out, learned))
    network.register_load_state_dict_pre_hook(partial(_fill_in, learned))


def _leave_out(learned: Learned, network: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    """Leave what is frozen out of every state dict, Lightning's checkpoints among them."""
    for name in [name for name in state if name.startswith(prefix) and not learned(name[len(prefix) :])]:
        del state[name]


def _fill_in(learned: Learned, network: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    """Complete a state dict without the frozen parts, which stay what they are. Buffers that are worked out and not
    stored (rotary positions) belong to no state dict."""
    for path, module in network.named_modules(remove_duplicate=False):
        inside = f"{path}." if path else ""
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if not learned(f"{inside}{name}") and name not in module._non_persistent_buffers_set:
                state.setdefault(f"{prefix}{inside}{name}", tensor.detach())
