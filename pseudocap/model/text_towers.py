"""Read texts with a language model: any encoder of transformers (BERT, XLM-R, ...), or a decoder of ours by its last
hidden states. It is frozen, or learns from a layer on.

Legend of the shape suffixes: A texts, L tokens, E width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import find_file, pin_revision, read_json, resolve_source
from pseudocap.memory import Axis
from pseudocap.model.config import Backbone
from pseudocap.model.decoders.causal import find_layers
from pseudocap.model.decoders.load import PROBES, load_decoder, tokenizer_hash
from pseudocap.model.text import Marks, tokenize_captions
from pseudocap.model.weights import fingerprint, transformers_access, transformers_reason

DECODER, ENCODER = "decoder", "encoder"
KINDS = (DECODER, ENCODER)
CAUSAL = ("ForCausalLM", "LMHeadModel")  # how the architectures of decoders end


class TextTower(nn.Module):
    """Turn texts into one state for each token."""

    def __init__(
        self,
        lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        origin: Backbone,
        *,
        output: int | None = None,
        beside: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.lm, self.tokenizer, self.origin = lm, tokenizer, origin
        self.marks = Marks.of(tokenizer)
        if output is not None:
            if not 1 <= output <= len(self.layers):
                raise ConfigError(
                    f"text_output must be 1 to {len(self.layers)}, not {output}: {origin.source}'s layers"
                )
            del self.layers[output:]
            lm.config.num_hidden_layers = output
        self._beside = tuple(beside)
        if any(not 0 <= layer < len(self.layers) for layer in self._beside):
            raise ConfigError(
                f"text_beside must be of 0 (the embeddings) to {len(self.layers) - 1}, not {list(beside)}: "
                f"{origin.source}'s layers below the last one read"
            )
        self._learning: tuple[nn.Module, ...] = ()
        self.requires_grad_(False)
        with torch.no_grad():
            token = self.lm(input_ids=torch.tensor([[self.marks.bos]]), output_hidden_states=True)
            self.width = self._states(token).shape[-1]
        self.eval()

    @property
    def layers(self) -> nn.ModuleList:
        return find_layers(self.lm)

    def unfreeze(self, below: int | None) -> set[str]:
        """Let the layers from `below` on learn, from 0 on all of the model, and return the names of what learns."""
        if below is None:
            return set()
        if below >= len(self.layers):
            raise ConfigError(f"text_frozen_below must be below the {len(self.layers)} layers read, not {below}")
        self._learning = tuple(self.layers[below:]) if below else (self.lm,)
        for module in self._learning:
            module.requires_grad_(True)
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def train(self, mode: bool = True) -> Self:
        """Keep what is frozen in evaluation mode."""
        super().train(mode)
        self.lm.eval()
        for module in self._learning:
            module.train(mode)
        return self

    def forward(self, texts: Sequence[str], *, max_tokens: int) -> Axis:
        """Return the states [A,L,E] of texts, and which are of tokens."""
        require_words(texts)
        device = next(self.lm.parameters()).device
        tokens = tokenize_captions(texts, self.tokenizer, self.marks, max_tokens=max_tokens).to(device)
        with contextlib.nullcontext() if self._learning else torch.no_grad():
            read = self.lm(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask,
                output_hidden_states=bool(self._beside),
            )
            states_ALE = self._states(read)
        return Axis(states_ALE, tokens.attention_mask.bool())

    def _states(self, read: Any) -> torch.Tensor:
        """Return the last states [A,L,E], and with them those of lower layers, all at the same scale."""
        last_ALE: torch.Tensor = read.last_hidden_state
        if not self._beside:
            return last_ALE
        parts = (*(read.hidden_states[layer] for layer in self._beside), last_ALE)
        return torch.cat([F.layer_norm(part, part.shape[-1:]) for part in parts], dim=-1)

    def summary(self, states: Axis) -> Axis:
        """Return the one state of each text that has seen all of it: [CLS], or a decoder's last."""
        last_A = (
            states.mask.sum(dim=1) - 1 if self.origin.kind == DECODER else torch.zeros_like(states.mask[:, 0]).long()
        )
        rows_A = torch.arange(len(last_A), device=last_A.device)
        return Axis(states.vectors[rows_A, last_A][:, None], states.mask[:, :1])


def require_words(texts: Sequence[str]) -> None:
    """Refuse a text without any word, by its index."""
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"text {index} is {text!r} and must have at least one word")


def load_text_tower(
    source: str | Path,
    *,
    kind: str | None = None,
    output: int | None = None,
    beside: Sequence[int] = (),
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> TextTower:
    """Load a language model to read texts with. `kind` is decoder or encoder; without it config.json's architecture
    decides."""
    if kind not in (None, *KINDS):
        raise ConfigError(f"the kind of a text tower must be one of {', '.join(KINDS)}, not {kind!r}")
    access: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only, "token": token}
    config = find_file(source, "config.json", **access)
    if kind is None:
        architectures = read_json(config).get("architectures")
        listed = architectures if isinstance(architectures, list) else []
        kind = DECODER if any(str(name).endswith(CAUSAL) for name in listed) else ENCODER
    if kind == DECODER:
        loaded = load_decoder(source, **access)
        origin = replace(loaded.identity, kind=DECODER)
        return TextTower(loaded.lm.base_model, loaded.tokenizer, origin, output=output, beside=beside)
    access["revision"] = pin_revision(source, config, revision)
    lm, tokenizer = _read_encoder(source, access)
    origin = Backbone(
        source=str(source),
        revision=access["revision"],
        fingerprint=fingerprint(lm.named_parameters()),
        tokenizer=tokenizer_hash(tokenizer),
        kind=ENCODER,
    )
    return TextTower(lm, tokenizer, origin, output=output, beside=beside)


def _read_encoder(source: str | Path, access: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options: dict[str, Any] = {**transformers_access(source, access), "trust_remote_code": False}
    options |= {"dtype": torch.float32, "output_loading_info": True}
    try:
        with without_loading_bars():
            lm, info = AutoModel.from_pretrained(resolve_source(source), **options)
    except Exception as error:  # transformers meets damaged files with errors of every kind
        raise CheckpointError(
            f"the text model in {source} could not be loaded: {transformers_reason(error)}"
        ) from error
    if getattr(lm, "pooler", None) is not None:
        lm.pooler = None  # states are pooled here, and checkpoints of language modelling have none
    absent = sorted(str(name) for name in info["missing_keys"] if not str(name).startswith("pooler."))
    if absent or info["mismatched_keys"]:
        raise CheckpointError(f"the weights in {source} lack {', '.join(absent[:4]) or info['mismatched_keys']}")
    return lm, load_tokenizer(source, access)


def load_tokenizer(source: str | Path, access: dict[str, Any]) -> PreTrainedTokenizerBase:
    """Load the tokenizer beside a model; transformers makes up an empty one where its files are absent."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            resolve_source(source), **transformers_access(source, access), trust_remote_code=False
        )
    except Exception as error:  # damaged tokenizer files fail in ways of every kind
        raise CheckpointError(
            f"the tokenizer in {source} could not be loaded: {transformers_reason(error)}; put transformers' "
            "tokenizer.json of the model beside it"
        ) from error
    if not set(tokenizer(PROBES[0], add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}:
        raise CheckpointError(
            f"the tokenizer in {source} does not have any word of {PROBES[0]!r}: is its tokenizer.json there?"
        )
    return tokenizer
