"""Record what the adapters do while a caption is read: where they look, and how much they change what they pass on.

The attention runs fused and shows no weights, so the finished caption goes through the decoder once more, the inputs of
each adapter are kept on the way, and its weights are worked out beside the network. Nothing is recorded in training
and in generation, and nothing of the network is replaced: what is looked at here is what captioning runs.

Legend: B videos, N captions (a multiple of B), L tokens, S vectors of an axis, D decoder width.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from pseudocap.errors import InputError
from pseudocap.memory import AXES, SOUND, Memory
from pseudocap.model.adapter import Adapter
from pseudocap.model.attention import KeysValues, Projected, ProjectedAxes
from pseudocap.model.network import CaptionNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Record one adapter at every token of N captions, all in float32.

    `shares` are the weights [N,L,S] of each axis by name, the mean over the heads; each row sums to one, or to zero
    where the video has nothing on that axis. A full attention has one map of time and space, of which these are the
    sums over the other axis.
    `added_NL` is the norm of what the adapter adds over the norm of what it was given, `by_video_NL` the same of the
    part that would not be there if the attention had brought nothing, `by_sound_NL` if it had brought nothing of sound
    (None where the adapter attends to none).
    """

    layer: int
    shares: dict[str, torch.Tensor]
    added_NL: torch.Tensor
    by_video_NL: torch.Tensor
    by_sound_NL: torch.Tensor | None = None


Passage = tuple[torch.Tensor, Projected, torch.Tensor]  # what went into an adapter, and what came out


@torch.no_grad()
def look(network: CaptionNetwork, input_ids: torch.Tensor, memory: Memory) -> list[Look]:
    """Record adapters, lowest first, over N unpadded captions of B videos, as `network(input_ids, memory)` reads."""
    if not network.adapters:
        raise InputError("a captioner with attention='context' has no adapters, whose attention could be looked at")
    passages: dict[int, Passage] = {}
    handles = [
        adapter.register_forward_hook(partial(_keep, passages, layer)) for layer, adapter in network.adapters.items()
    ]
    try:
        network(input_ids, memory)
    finally:
        for handle in handles:
            handle.remove()
    return [_look(layer, network.adapters[layer], *passage) for layer, passage in passages.items()]


def _keep(
    passages: dict[int, Passage], layer: int, _: nn.Module, given: tuple[torch.Tensor, Projected], out_NLD: torch.Tensor
) -> None:
    passages[layer] = (*given, out_NLD)


def _look(layer: int, adapter: Adapter, h_NLD: torch.Tensor, seen: Projected, out_NLD: torch.Tensor) -> Look:
    a_NLD = adapter.norm(h_NLD)  # both fusions look from here
    shares = adapter.attention.shares(a_NLD, seen)  # type: ignore[arg-type]  # its own
    size_NL = h_NLD.float().norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)

    def beyond(other_NLD: torch.Tensor) -> torch.Tensor:
        return (out_NLD.float() - other_NLD.float()).norm(dim=-1) / size_NL

    hears = isinstance(seen, ProjectedAxes) and not {*SOUND}.isdisjoint(seen.axes)
    return Look(
        layer=layer,
        shares=shares,
        added_NL=beyond(h_NLD),
        by_video_NL=beyond(adapter(h_NLD, _without(seen, AXES))),
        by_sound_NL=beyond(adapter(h_NLD, _without(seen, SOUND))) if hears else None,
    )


def _without(seen: Projected, names: Collection[str]) -> Projected:
    """Return a memory of which these axes add nothing, whatever is looked at."""

    def dark(part: KeysValues) -> KeysValues:
        return replace(part, v_BHSK=torch.zeros_like(part.v_BHSK))

    if isinstance(seen, ProjectedAxes):
        return replace(seen, axes={name: dark(part) if name in names else part for name, part in seen.axes.items()})
    return replace(seen, vectors=dark(seen.vectors))
