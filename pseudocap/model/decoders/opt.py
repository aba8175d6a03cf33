"""Adapt OPT with adapters between its layers: the one family whose loop over the layers is ours.

transformers' layers, weights and keys are used as they are. The loop is ours because it is the architecture (one sees
where an adapter sits) and because OPT's own forward gives its mask no position ids, so that packed captions would see
one another. Legend: N captions, L tokens, D decoder width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import OPTConfig, OPTForCausalLM
from transformers.masking_utils import create_causal_mask

from pseudocap.errors import ConfigError
from pseudocap.model.config import PseudoCapConfig
from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.conditioning import Conditioning, Tokens


class AdaptedOPT(Decoder):
    def __init__(self, lm: OPTForCausalLM, config: PseudoCapConfig, **settings: Any) -> None:
        super().__init__(lm, config, **settings)
        self.generation_config = lm.generation_config  # OPT's names its special tokens and nothing else

    @property
    def opt(self) -> OPTForCausalLM:
        return cast(OPTForCausalLM, self.lm)

    @property
    def layers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.opt.model.decoder.layers)

    def states(self, tokens: Tokens, conditioning: Conditioning) -> torch.Tensor:
        decoder = self.opt.model.decoder
        seen = tokens.cache.get_seq_length() if tokens.cache is not None else 0
        embeds_NLD = decoder.embed_tokens(tokens.ids_NL) if tokens.embeds_NLD is None else tokens.embeds_NLD
        mask = create_causal_mask(  # tells packed captions apart by their positions
            config=self.config,
            inputs_embeds=embeds_NLD,
            attention_mask=tokens.mask,
            past_key_values=tokens.cache,
            position_ids=tokens.positions_NL,
        )
        h_NLD = embeds_NLD if decoder.project_in is None else decoder.project_in(embeds_NLD)
        # Padding has position -1, which is the embedding's own padding row.
        h_NLD = h_NLD + decoder.embed_positions(tokens.mask, seen, position_ids=tokens.positions_NL)

        # Nothing below the first adapter needs a gradient, so autograd records nothing there.
        for index, layer in enumerate(self.layers):
            h_NLD = conditioning.before(index, h_NLD)
            h_NLD = layer(h_NLD, attention_mask=mask, position_ids=tokens.positions_NL, past_key_values=tokens.cache)

        if decoder.final_layer_norm is not None:
            h_NLD = decoder.final_layer_norm(h_NLD)
        if decoder.project_out is not None:
            h_NLD = decoder.project_out(h_NLD)
        return h_NLD


def untrained(shape: OPTConfig, config: PseudoCapConfig, *, memory_width: int) -> AdaptedOPT:
    """Build a decoder of a shape alone, for the meta device and for timing without weights."""
    return AdaptedOPT(OPTForCausalLM(shape), config, memory_width=memory_width)


def full_size(name: str) -> OPTConfig:
    """Return the published shapes."""
    if name not in SHAPES:
        raise ConfigError(f"there is no published OPT shape {name!r}; there are {', '.join(SHAPES)}")
    return OPTConfig(**SHAPES[name])


SHAPES: dict[str, dict[str, int | bool]] = {
    "opt-125m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072},
    "opt-350m": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "ffn_dim": 4096,
        "word_embed_proj_dim": 512,
        "do_layer_norm_before": False,
    },
    "opt-1.3b": {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32, "ffn_dim": 8192},
    "opt-2.7b": {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "ffn_dim": 10240},
    "opt-6.7b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "ffn_dim": 16384},
}
