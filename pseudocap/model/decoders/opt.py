"""The frozen OPT that writes, with adapters between its layers. The only file that knows OPT.

transformers' layers, weights and keys are used as they are; only the loop over the layers is ours, because it is the
architecture (one sees where an adapter sits) and because OPTDecoder's own forward gives its mask no position ids, so
that packed captions would see one another. Generation is transformers' GenerationMixin: greedy, beams, nucleus,
n-gram blocking, static caches. The memory travels through it as one value that holds each adapter's keys and values,
projected once; beam search does not expand what is no tensor, and the attention needs no expansion.

Legend: B videos, N captions (a multiple of B), L tokens, D decoder width, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import nn
from transformers import (
    AutoTokenizer,
    Cache,
    DynamicCache,
    GenerationMixin,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerBase,
)
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.opt.modeling_opt import OPTPreTrainedModel

from pseudocap.errors import CheckpointError, ConfigError, InputError, first_line
from pseudocap.files.sources import find_file, hub_answers, pin_revision, place_of, read_json
from pseudocap.memory import Memory
from pseudocap.model.adapter import Adapter, build_adapter
from pseudocap.model.attention import Projected, check_memory, every_patch, require_memory
from pseudocap.model.config import RESAMPLER, Backbone, PseudoCapConfig
from pseudocap.model.packing import Packing
from pseudocap.model.precision import DECODER, VOCABULARY, HalfEmbedding, pack_linears
from pseudocap.model.resampler import Resampler
from pseudocap.model.weights import fingerprint, load_exactly, only_dtype, transformers_reason, widen


@dataclass(frozen=True, slots=True)
class ProjectedMemory:
    """The videos as every adapter sees them, by the index of the layer behind the adapter."""

    layers: dict[int, Projected]


class AdaptedOPT(OPTPreTrainedModel, GenerationMixin):
    """OPT with an adapter before each configured layer. `opt` keeps its pretrained keys and never learns."""

    def __init__(self, opt: OPTForCausalLM, config: PseudoCapConfig, *, memory_width: int) -> None:
        super().__init__(opt.config)
        depth = opt.config.num_hidden_layers
        if config.adapter_layers[-1] >= depth:
            raise ConfigError(
                f"adapter_layers names layer {config.adapter_layers[-1]}, but the decoder's {depth} layers "
                f"are counted from 0 to {depth - 1}"
            )
        self.generation_config = opt.generation_config
        self.memory_width = memory_width
        self.memory_widths = dict.fromkeys(config.axes, memory_width)
        self.needs_patches = config.needs_patches
        self.opt = opt
        self.adapters = nn.ModuleDict(
            {
                str(layer): build_adapter(
                    config,
                    width=opt.config.hidden_size,
                    memory_widths=self.memory_widths,
                    heads=opt.config.num_attention_heads,
                )
                for layer in config.adapter_layers
            }
        )
        if config.attention == RESAMPLER:
            self.adapters[RESAMPLER] = Resampler(width=memory_width)

    @classmethod
    def from_adapters(
        cls,
        opt: OPTForCausalLM,
        config: PseudoCapConfig,
        adapters: Mapping[str, torch.Tensor],
        *,
        memory_width: int,
        source: str | Path,
    ) -> Self:
        """Stored adapters between the layers of a built OPT: without a random start first, or a second copy."""
        with torch.device("meta"):
            adapted = cls(opt, config, memory_width=memory_width)
        load_exactly(adapted.adapters, adapters, source=source, adopt=True)
        return adapted

    def train(self, mode: bool = True) -> Self:
        """OPT stays in evaluation mode, also after a bare `.train()`."""
        super().train(mode)
        self.opt.eval()
        return self

    @property
    def vocabulary(self) -> torch.Tensor:
        """The weights [V, width] that turn last hidden states into the words' logits."""
        return self.opt.lm_head.weight

    @property
    def adapters_by_layer(self) -> dict[int, Adapter]:
        """By the index of the decoder layer behind each."""
        return {int(name): cast(Adapter, each) for name, each in self.adapters.items() if name != RESAMPLER}

    @property
    def resampler(self) -> Resampler | None:
        """What all adapters look through, where there is one."""
        return cast(Resampler, self.adapters[RESAMPLER]) if RESAMPLER in self.adapters else None

    def adapter_before(self, layer: int) -> Adapter | None:
        name = str(layer)
        return cast(Adapter, self.adapters[name]) if name in self.adapters else None

    def project(self, memory: Memory, *, rows: int | None = None) -> ProjectedMemory:
        """Each adapter's keys and values of each video, once for all steps, beams and captions; and before them the
        resampler's latents, where there is one."""
        require_memory(memory)
        rows = len(memory) if rows is None else rows
        padded = check_memory(memory, memory_widths=self.memory_widths, rows=rows, patches=self.needs_patches)
        adapters = self.adapters_by_layer
        dtype = next(iter(adapters.values())).norm.weight.dtype
        if not self.needs_patches:
            memory = replace(memory, patches=None)  # which need not be moved, then
        memory = memory.to(self.device, dtype)
        seen = memory if self.resampler is None else self.resampler(*every_patch(memory, padded=padded))
        return ProjectedMemory(
            layers={layer: adapter.project(seen, padded=padded) for layer, adapter in adapters.items()},
        )

    def hidden(
        self,
        input_ids_NL: torch.Tensor,
        memory: Memory | ProjectedMemory | None,
        *,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        packing: Packing | None = None,
    ) -> torch.Tensor:
        """The last hidden states, ready for the vocabulary. Without a memory this is plain OPT.

        Positions that start again from 0 within a row mark packed captions, which then do not see one another;
        give no attention_mask with them. A `packing` of right-padded captions makes such rows here and undoes them at
        the end; the states of padding then mean nothing.
        """
        decoder = self.opt.model.decoder
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        if memory is not None and not isinstance(memory, ProjectedMemory):
            memory = self.project(memory, rows=len(input_ids_NL))
        if packing is not None:
            input_ids_NL, position_ids, attention_mask = packing.pack(input_ids_NL), packing.positions_PS, None
        if position_ids is None:
            position_ids = _positions(input_ids_NL, attention_mask, seen)
        embeds_NLD = decoder.embed_tokens(input_ids_NL)
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=embeds_NLD,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        h_NLD = embeds_NLD if decoder.project_in is None else decoder.project_in(embeds_NLD)
        h_NLD = h_NLD + decoder.embed_positions(attention_mask, seen, position_ids=position_ids)

        # Nothing below the first adapter needs a gradient, so autograd records nothing there.
        for index, layer in enumerate(decoder.layers):
            adapter = self.adapter_before(index)
            if adapter is not None and memory is not None:
                axes = memory.layers[index]
                h_NLD = adapter(h_NLD, axes if packing is None else replace(axes, packing=packing))
            h_NLD = layer(h_NLD, attention_mask=mask, position_ids=position_ids, past_key_values=past_key_values)

        if decoder.final_layer_norm is not None:
            h_NLD = decoder.final_layer_norm(h_NLD)
        if decoder.project_out is not None:
            h_NLD = decoder.project_out(h_NLD)
        return h_NLD if packing is None else packing.unpack(h_NLD)

    def forward(
        self,
        input_ids: torch.Tensor,
        memory: Memory | ProjectedMemory | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool = True,
    ) -> CausalLMOutputWithPast:
        """One step of transformers' generation loop, which calls it by these names."""
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        h_NLD = self.hidden(
            input_ids,
            memory,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
        )
        logits_NLV = self.opt.lm_head(h_NLD[:, -logits_to_keep:] if logits_to_keep else h_NLD)
        return CausalLMOutputWithPast(logits=logits_NLV, past_key_values=past_key_values)

    def pack(self, precision: str) -> None:
        """The frozen weights in fewer bits. OPT ties its first table to its last layer: a table is looked up, a layer
        multiplied, so each gets the form that suits it. The last layer decides the word, and keeps 8 bits."""
        decoder, head = self.opt.model.decoder, self.opt.lm_head
        packed = VOCABULARY[precision](head)
        if head.weight is decoder.embed_tokens.weight:
            packed.held = 0  # counted with the table
        self.opt.lm_head = packed
        decoder.embed_tokens = HalfEmbedding(decoder.embed_tokens)
        pack_linears(decoder, DECODER[precision])
        for module in decoder.modules():  # what is left: norms and positions, which may come as the file has them
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.float()

    def check_length(self, length: int) -> None:
        if length > self.config.max_position_embeddings:
            raise InputError(
                f"{length} tokens do not fit the decoder's {self.config.max_position_embeddings} positions; "
                "shorten the captions, the prompt, or max_new_tokens"
            )


def _positions(ids_NL: torch.Tensor, attention_mask: torch.Tensor | None, seen: int) -> torch.Tensor:
    """OPT counts real tokens only; padding gets -1, which is the embedding's own padding row."""
    N, L = ids_NL.shape
    if attention_mask is None:
        return torch.arange(seen, seen + L, device=ids_NL.device)[None].expand(N, L)
    real = attention_mask.long()
    return (real.cumsum(dim=1) * real - 1)[:, seen:]


def load_opt(
    source: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    as_stored: bool = False,
) -> tuple[OPTForCausalLM, PreTrainedTokenizerBase, Backbone]:
    """OPT, its tokenizer, and what identifies both. In float32, which holds whatever the file holds exactly, so that
    the fingerprint is of the file and no caller gets weights that were rounded on the way. `as_stored` leaves weights
    in the type that all of a safetensors file has, as pages of that file."""
    config_path = find_file(source, "config.json", revision=revision, local_files_only=local_files_only, token=token)
    revision = pin_revision(source, config_path, revision)
    place = place_of(source)
    offline = local_files_only or not hub_answers(source, revision=revision, token=token)
    access: dict[str, Any] = {"revision": revision, "local_files_only": offline, "token": token}
    if (kind := read_json(config_path).get("model_type")) != "opt":
        raise CheckpointError(f"{config_path} describes a {kind!r}; the decoder must be an OPT")
    file = _single_file(source, access)
    try:
        dtype = torch.float32 if file is None else only_dtype(file)
        opt, info = OPTForCausalLM.from_pretrained(place, **access, dtype=dtype, output_loading_info=True)
    except Exception as error:  # transformers meets damaged configs and weights with errors of every kind
        raise CheckpointError(f"the decoder in {source} could not be loaded: {transformers_reason(error)}") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **access, trust_remote_code=False)
    except Exception as error:  # and damaged tokenizer files likewise
        raise CheckpointError(f"the tokenizer in {source} could not be loaded: {first_line(error)}") from error
    # Surplus keys are left to transformers' own report: published OPTs carry some (decoder.version) that mean nothing.
    for what in ("missing_keys", "mismatched_keys"):
        if info[what]:
            names = ", ".join(str(name) for name in sorted(info[what], key=str)[:4])
            raise CheckpointError(f"the weights in {source} have {len(info[what])} {what.replace('_', ' ')}: {names}")
    _check_tokenizer(tokenizer, opt.config, source)
    if file is not None and dtype != torch.float32 and not as_stored:
        widen(opt, file)
    opt.config.dtype = torch.float32  # what is computed in, whatever the file has
    identity = Backbone(
        source=str(source),
        revision=revision,
        fingerprint=fingerprint(opt.named_parameters()),
        tokenizer=tokenizer_hash(tokenizer),
    )
    return opt, tokenizer, identity


def _single_file(source: str | Path, access: Mapping[str, Any]) -> Path | None:
    """The safetensors file of all weights; None where they are in several, or in PyTorch's own format."""
    try:
        return find_file(source, "model.safetensors", **access)
    except CheckpointError:
        return None


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: OPTConfig, source: str | Path) -> None:
    """transformers makes up an empty tokenizer where the files of one are absent; ours must be the decoder's own."""
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(tokenizer, name) != getattr(config, name):
            raise CheckpointError(
                f"the tokenizer in {source} has {name} {getattr(tokenizer, name)} and the decoder "
                f"{getattr(config, name)}; are tokenizer_config.json, vocab.json and merges.txt there?"
            )
    if not 256 <= len(tokenizer) <= config.vocab_size:  # a byte-level BPE has the 256 bytes at least
        raise CheckpointError(
            f"the tokenizer in {source} has {len(tokenizer)} tokens for the decoder's vocabulary of {config.vocab_size}"
        )


# Text whose encoding shows how a tokenizer splits, cases and joins, beside its vocabulary.
PROBES = ("a man is playing guitar", " Two DOGS run, don't they?", "3.5 m — café\n\n  end", "<unk></s>")


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the tokenizer does, not how a library version writes it down: vocabulary, special ids, sample encodings."""
    behaviour = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": [
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
            tokenizer.unk_token_id,
        ],
        "probes": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES],
    }
    return hashlib.sha256(json.dumps(behaviour, ensure_ascii=False).encode()).hexdigest()


def untrained(shape: OPTConfig, config: PseudoCapConfig, *, memory_width: int) -> AdaptedOPT:
    """A decoder of a shape alone, for the meta device and for timing without weights."""
    return AdaptedOPT(OPTForCausalLM(shape), config, memory_width=memory_width)


def full_size(name: str) -> OPTConfig:
    """The published shapes."""
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
