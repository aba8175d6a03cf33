"""Adapt any causal language model of transformers with its layers in one list: GPT-2, Llama, SmolLM2, Qwen2, XGLM, ...

The model's own forward runs, so that embeddings, positions, rotary angles, masks and norms are its own in whatever
family. It passes unknown arguments on to each layer, and so the conditioning comes to the layers as an argument; a
pre-hook on each takes it out and lets the adapter that stands there, if any, change the hidden states. The hook knows
the index of its layer and nothing else, and no pretrained key changes. `require_adaptable` runs a few tokens through a
loaded model and refuses one that does otherwise. Legend: N captions, L tokens, D decoder width.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_masks_for_generate
from transformers.pytorch_utils import Conv1D

from pseudocap.errors import CheckpointError
from pseudocap.model.config import PseudoCapConfig
from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.conditioning import Conditioning, Tokens

ARGUMENT = "pseudocap_conditioning"  # that layers are given beside their own
ATTENDING = {"full_attention", "sliding_attention", "chunked_attention"}  # types of layers that packing suits


class AdaptedCausalLM(Decoder):
    def __init__(self, lm: PreTrainedModel, config: PseudoCapConfig, **settings: Any) -> None:
        super().__init__(lm, config, **settings)
        for index, layer in enumerate(self.layers):
            layer.register_forward_pre_hook(partial(_condition, index), with_kwargs=True)

    @property
    def layers(self) -> nn.ModuleList:
        return find_layers(self.lm)

    def states(self, tokens: Tokens, conditioning: Conditioning) -> torch.Tensor:
        mask = tokens.mask
        if tokens.packed:  # not every family's own mask tells packed texts apart by their positions: XGLM's does not
            mask = create_masks_for_generate(
                config=self.config,
                inputs_embeds=torch.empty((*tokens.ids_NL.shape, 0), dtype=self.dtype, device=tokens.ids_NL.device),
                attention_mask=None,
                past_key_values=None,
                position_ids=tokens.positions_NL,
            )
        output = self.lm.base_model(
            input_ids=tokens.ids_NL if tokens.embeds_NLD is None else None,
            inputs_embeds=tokens.embeds_NLD,
            attention_mask=mask,
            position_ids=tokens.positions_NL.clamp(min=0),  # what padding has is looked up like the rest
            past_key_values=tokens.cache,
            use_cache=tokens.cache is not None,
            **{ARGUMENT: conditioning},
        )
        return cast(torch.Tensor, output.last_hidden_state)

    def pack(self, precision: str) -> None:
        """Hold the frozen weights in fewer bits. GPT-2's layers are transposed first into the linear ones they are."""
        for parent in list(self.lm.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, Conv1D):
                    linear = nn.Linear(child.nx, child.nf, device="meta")
                    linear.weight, linear.bias = _frozen(child.weight.T.contiguous()), _frozen(child.bias)
                    setattr(parent, name, linear)
        super().pack(precision)


def _condition(
    index: int, _: nn.Module, args: tuple[Any, ...], arguments: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Pass a layer's hidden states through its adapter, and take the conditioning out of the arguments."""
    rest = {name: value for name, value in arguments.items() if name != ARGUMENT}
    conditioning: Conditioning | None = arguments.get(ARGUMENT)
    if conditioning is None:
        return args, rest
    if args:
        return (conditioning.before(index, args[0]), *args[1:]), rest
    return args, rest | {"hidden_states": conditioning.before(index, rest["hidden_states"])}


def find_layers(lm: PreTrainedModel) -> nn.ModuleList:
    """Find a model's list of layers: of the lists as long as the config says, the one that holds the most weights."""
    depth = lm.config.num_hidden_layers
    lists = [each for each in lm.modules() if isinstance(each, nn.ModuleList) and len(each) == depth]
    if not lists:
        raise CheckpointError(f"a {type(lm).__name__} has no list of {depth} layers for adapters to stand between")
    return max(lists, key=lambda each: sum(parameter.numel() for parameter in each.parameters()))


class _Trace:
    """Stand in for a conditioning, and record which layers it reaches."""

    def __init__(self) -> None:
        self.layers: list[int] = []

    def before(self, layer: int, h_NLD: torch.Tensor) -> torch.Tensor:
        self.layers.append(layer)
        return h_NLD


@torch.no_grad()
def require_adaptable(lm: PreTrainedModel, source: str | Path) -> None:
    """Refuse a model whose layers adapters could not stand between as this file takes it, or whose captions could not
    be learned as loss.py does. Two texts of two tokens run through it for that."""
    problem = _problem(lm)
    if problem is not None:
        raise CheckpointError(
            f"the {lm.config.model_type!r} in {source} cannot be a decoder: {problem}; take an OPT, a GPT-2, or a "
            "model like Llama, SmolLM2, Qwen2 or XGLM"
        )


def _problem(lm: PreTrainedModel) -> str | None:
    kinds = set(getattr(lm.config, "layer_types", None) or ()) - ATTENDING
    if kinds or lm._is_stateful:
        return f"it has layers that do not attend ({', '.join(sorted(kinds)) or 'a recurrent state'})"
    layers, trace = find_layers(lm), _Trace()
    ids = torch.tensor([[3, 4], [3, 5]], device=lm.device)
    handles = [
        layer.register_forward_pre_hook(partial(_condition, index), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    try:
        output = lm.base_model(input_ids=ids, use_cache=False, **{ARGUMENT: trace})
    except TypeError:  # an argument that it does not know
        output = None
    finally:
        for handle in handles:
            handle.remove()
    if output is None or trace.layers != list(range(len(layers))):
        return "its forward does not pass arguments on to its layers"
    h_NLD, head = output.last_hidden_state, lm.get_output_embeddings()
    if not torch.equal(h_NLD[0, 0], h_NLD[1, 0]):
        return "its tokens see those that follow, so it is no causal language model"
    if getattr(head, "bias", None) is not None:
        return "its last layer has a bias, which the caption loss does not know"
    if head is None or not torch.equal(head(h_NLD), lm(input_ids=ids, use_cache=False).logits):
        return "its logits are more than its last layer's (scaled or capped), which the caption loss does not know"
    return None


def _frozen(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)
