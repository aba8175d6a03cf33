"""Define every adapted decoder: a frozen causal language model, and adapters before some of its layers.

A family (opt.py, causal.py) says only how hidden states come to be; adapters, projection, packing, generation and
fewer bits are here, once. What the layers are conditioned on is an argument of each forward pass (`Conditioning`), and
nothing about a video stays on a module, so that threads may share a decoder. Generation is transformers'
GenerationMixin: greedy, beams, nucleus, n-gram blocking, static caches. The memory travels through it as one value that
holds each adapter's keys and values, projected once; beam search does not expand what is no tensor, and the attention
needs no expansion.

Legend: B videos, N captions (a multiple of B), L tokens, D decoder width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import nn
from transformers import (
    Cache,
    DynamicCache,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.memory import Axis, Memory
from pseudocap.model.adapter import Adapter, build_adapter
from pseudocap.model.attention import check_memory, every_patch, require_memory
from pseudocap.model.config import CONTEXT, RESAMPLER, PseudoCapConfig
from pseudocap.model.context import Context
from pseudocap.model.decoders.conditioning import Conditioning, ProjectedMemory, Tokens
from pseudocap.model.packing import Packing
from pseudocap.model.precision import DECODER, VOCABULARY, HalfEmbedding, pack_linears
from pseudocap.model.resampler import Resampler
from pseudocap.model.text import Marks, encode
from pseudocap.model.weights import load_exactly

LM_STORED = "lm."  # begins the names of a language model's weights in a checkpoint, where it learns


class Decoder(PreTrainedModel, GenerationMixin):
    """Hold a frozen language model `lm`, which keeps its pretrained keys and never learns, and its adapters."""

    # The frozen model has chosen its attention already; what it was loaded with is right for it.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True
    _can_compile_fullgraph = True

    def __init__(
        self,
        lm: PreTrainedModel,
        config: PseudoCapConfig,
        *,
        memory_width: int | Mapping[str, int],
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        super().__init__(lm.config)
        self.lm = lm
        depth = len(self.layers)
        if config.adapter_layers[-1] >= depth:
            raise ConfigError(
                f"adapter_layers names layer {config.adapter_layers[-1]}, but the decoder's {depth} layers "
                f"are counted from 0 to {depth - 1}"
            )
        widths = memory_width if isinstance(memory_width, Mapping) else dict.fromkeys(config.axes, memory_width)
        self.memory_widths = {axis: widths[axis] for axis in config.axes}
        self.needs_patches, self.learns = config.needs_patches, config.learn_decoder
        self.tokenizer = tokenizer
        # Ours alone: published generation configs of chat models sample, and stop at tokens that end no caption.
        self.generation_config = GenerationConfig(
            bos_token_id=self.bos_id, eos_token_id=self.eos_id, pad_token_id=self.pad_id
        )
        shape: dict[str, Any] = {"width": self.width, "memory_widths": self.memory_widths, "heads": self.heads}
        layers = () if config.attention == CONTEXT else config.adapter_layers
        self.adapters = nn.ModuleDict({str(layer): build_adapter(config, **shape) for layer in layers})
        if config.attention == CONTEXT:
            self.adapters[CONTEXT] = Context(width=self._width_of_embeddings, memory_widths=self.memory_widths)
        if config.attention == RESAMPLER:
            self.adapters[RESAMPLER] = Resampler(width=self.memory_width)

    @classmethod
    def from_adapters(
        cls,
        lm: PreTrainedModel,
        config: PseudoCapConfig,
        adapters: Mapping[str, torch.Tensor],
        *,
        source: str | Path,
        **settings: Any,
    ) -> Self:
        """Put stored adapters between the layers of a loaded model: without a random start first, or a second copy."""
        with torch.device("meta"):
            adapted = cls(lm, config, **settings)
        adapted.load_learned(adapters, source=source)
        return adapted

    def load_learned(self, tensors: Mapping[str, torch.Tensor], *, source: str | Path) -> None:
        """Load what a checkpoint holds: adapters and, where it learns, the language model."""
        of_lm = self.learned_lm()
        stored = {name: tensor for name, tensor in tensors.items() if name.startswith(LM_STORED) and of_lm}
        load_exactly(self.adapters, {name: tensors[name] for name in tensors.keys() - stored.keys()}, source=source)
        found = {name.removeprefix(LM_STORED): tensor for name, tensor in stored.items()}
        if found.keys() != of_lm.keys() or any(found[name].shape != of_lm[name].shape for name in found):
            raise CheckpointError(f"{source} holds the weights of another language model than the one it names")
        with torch.no_grad():
            for name, tensor in found.items():
                of_lm[name].copy_(tensor)

    def learned_lm(self) -> dict[str, torch.nn.Parameter]:
        """Return the language model's parameters by name where it learns; none where it is frozen."""
        return dict(self.lm.named_parameters()) if self.learns else {}

    # What a family provides

    @property
    def layers(self) -> nn.ModuleList:
        """Return the frozen layers, the lowest first."""
        raise NotImplementedError

    def states(self, tokens: Tokens, conditioning: Conditioning) -> torch.Tensor:
        """Return last hidden states, ready for the vocabulary."""
        raise NotImplementedError

    # What all families share

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Return the tokenizer; None only in a decoder of a shape alone, which has no text."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        self._tokenizer = tokenizer
        if tokenizer is not None:
            self.marks = Marks.of(tokenizer)
        else:
            ids = (self.config.bos_token_id, self.config.eos_token_id, self.config.pad_token_id)
            self.marks = Marks(bos=ids[0], eos=ids[1], pad=ids[1] if ids[2] is None else ids[2])

    @property
    def bos_id(self) -> int:
        return self.marks.bos

    @property
    def eos_id(self) -> int:
        return self.marks.eos

    @property
    def pad_id(self) -> int:
        """Return the id that pads. It may be the id of EOS as well, so padding is known by its mask."""
        return self.marks.pad

    def frame(self, text: str) -> list[int]:
        """Return the ids of a complete text with what opens and what ends it."""
        assert self._tokenizer is not None, "a decoder of a shape alone has no text"
        return [self.bos_id, *encode(text, self._tokenizer), self.eos_id]

    @property
    def width(self) -> int:
        """Return D of the layers, which may differ from that of the vocabulary's table."""
        return int(self.config.hidden_size)

    @property
    def _width_of_embeddings(self) -> int:
        return int(cast(torch.Tensor, self.embed.weight).shape[1])

    @property
    def heads(self) -> int:
        return int(self.config.num_attention_heads)

    @property
    def positions(self) -> int | None:
        """Return the longest text's length; None where the model has no limit."""
        return getattr(self.config, "max_position_embeddings", None)

    @property
    def embed(self) -> nn.Module:
        """Turn ids into vectors."""
        return cast(nn.Module, self.lm.get_input_embeddings())

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """Turn last hidden states into the vocabulary's logits."""
        logits: torch.Tensor = self.lm.get_output_embeddings()(h)
        return logits

    @property
    def vocabulary(self) -> torch.Tensor:
        """Return the weights [V, width] of `logits`."""
        return cast(torch.Tensor, self.lm.get_output_embeddings().weight)

    def train(self, mode: bool = True) -> Self:
        """Keep the language model in evaluation mode, also after a bare `.train()`."""
        super().train(mode)
        self.lm.eval()
        return self

    @property
    def adapters_by_layer(self) -> dict[int, Adapter]:
        """Return adapters by the index of the decoder layer behind each."""
        return {int(name): cast(Adapter, each) for name, each in self.adapters.items() if name.isdecimal()}

    @property
    def resampler(self) -> Resampler | None:
        """Return the resampler before all adapters, where there is one."""
        return cast(Resampler, self.adapters[RESAMPLER]) if RESAMPLER in self.adapters else None

    @property
    def context(self) -> Context | None:
        """Return what turns memories into vectors that are read before the words, where that is how they are read."""
        return cast(Context, self.adapters[CONTEXT]) if CONTEXT in self.adapters else None

    @property
    def memory_width(self) -> int:
        """Return how wide the vectors of the first axis are."""
        return next(iter(self.memory_widths.values()))

    def grow_axis(self, name: str, *, memory_width: int) -> None:
        """Let every adapter attend to one more axis, which changes nothing before the first step."""
        if self.context is not None:
            raise ConfigError(f"only attention='separable' has axes, so this captioner cannot gain {name}")
        for adapter in self.adapters_by_layer.values():
            adapter.grow_axis(name, memory_width=memory_width)
        self.memory_widths[name] = memory_width

    def project(self, memory: Memory, *, rows: int | None = None) -> ProjectedMemory:
        """Compute each adapter's keys and values of each video once for all steps, beams and captions; before them the
        resampler's latents, where there is one."""
        require_memory(memory)
        rows = len(memory) if rows is None else rows
        padded = check_memory(memory, memory_widths=self.memory_widths, rows=rows, patches=self.needs_patches)
        adapters = self.adapters_by_layer
        dtype = next(self.adapters.parameters()).dtype
        if not self.needs_patches:
            memory = replace(memory, patches=None)  # which need not be moved, then
        memory = memory.to(self.device, dtype)
        if self.context is not None:
            return ProjectedMemory({}, context=self.context(memory))
        seen = memory if self.resampler is None else self.resampler(*every_patch(memory, padded=padded))
        return ProjectedMemory({layer: adapter.project(seen, padded=padded) for layer, adapter in adapters.items()})

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
        """Return the last hidden states, ready for the vocabulary. Without a memory this is the plain model.

        Positions that start again from 0 within a row mark packed captions, which then do not see one another;
        give no attention_mask with them. A `packing` of right-padded captions makes such rows here and undoes them at
        the end; the states of padding then mean nothing.
        """
        if memory is not None and not isinstance(memory, ProjectedMemory):
            memory = self.project(memory, rows=len(input_ids_NL))
        if memory is not None and memory.context is not None:
            return self._after(memory.context, input_ids_NL, attention_mask, position_ids, past_key_values)
        if packing is not None:
            input_ids_NL, position_ids, attention_mask = packing.pack(input_ids_NL), packing.positions_PS, None
        packed = position_ids is not None and attention_mask is None and past_key_values is None
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = _positions(input_ids_NL, attention_mask, seen)
        tokens = Tokens(
            ids_NL=input_ids_NL, positions_NL=position_ids, mask=attention_mask, cache=past_key_values, packed=packed
        )
        h_NLD = self.states(tokens, Conditioning(self.adapters, memory, packing))
        return h_NLD if packing is None else packing.unpack(h_NLD)

    def _after(
        self,
        context: Axis,
        ids_NL: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        cache: Cache | None,
    ) -> torch.Tensor:
        """Return the states of words that follow their video's vectors, which are read first where no cache has them.

        Words count from position 0, as without a video.
        """
        if position_ids is not None and attention_mask is None and cache is None:
            raise InputError("with attention='context' captions cannot be packed in a row: give each its own")
        N, L = ids_NL.shape
        B, M = context.mask.shape
        cache = DynamicCache(config=self.config) if cache is None else cache
        if not isinstance(cache, DynamicCache):
            raise InputError("with attention='context' captions are generated with a dynamic cache alone")
        video_BM, empty = context.mask.long(), Conditioning(self.adapters, None)
        if not cache.get_seq_length():
            at = torch.zeros_like(video_BM)
            video = {"ids_NL": at, "positions_NL": at, "mask": video_BM, "embeds_NLD": context.vectors}
            self.states(Tokens(**video, cache=cache, packed=False), empty)
            cache.batch_repeat_interleave(N // B)
        seen = int(cache.get_seq_length()) - M
        words_NL = torch.ones(N, seen + L, dtype=torch.long, device=ids_NL.device)
        words_NL = words_NL if attention_mask is None else attention_mask.long()
        positions_NL = _positions(ids_NL, words_NL, seen)
        mask = torch.cat([video_BM.repeat_interleave(N // B, dim=0), words_NL], dim=1)
        tokens = Tokens(ids_NL=ids_NL, positions_NL=positions_NL, mask=mask, cache=cache, packed=False)
        return self.states(tokens, empty)

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
        """Run one step of transformers' generation loop, which calls it by these names."""
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        h_NLD = self.hidden(
            input_ids, memory, attention_mask=attention_mask, position_ids=position_ids, past_key_values=past_key_values
        )
        logits_NLV = self.logits(h_NLD[:, -logits_to_keep:] if logits_to_keep else h_NLD)
        return CausalLMOutputWithPast(logits=logits_NLV, past_key_values=past_key_values)

    def pack(self, precision: str) -> None:
        """Hold the frozen weights in fewer bits. Most models tie their first table to their last layer: a table is
        looked up, a layer multiplied, so each gets the form that suits it. The last layer decides the word, and keeps 8
        bits. A table that does more than look up (XGLM's scales) stays as it is."""
        table, head = self.embed, cast(nn.Linear, self.lm.get_output_embeddings())
        packed = VOCABULARY[precision](head)
        if head.weight is table.weight:
            packed.held = 0  # counted with the table
        _swap(self.lm, head, packed)
        if type(table) is nn.Embedding:
            _swap(self.lm, table, HalfEmbedding(table))
        pack_linears(self.lm, DECODER[precision])
        for parameter in self.lm.parameters():  # what is left: norms and positions, which may come as the file has them
            parameter.data = parameter.data.float()

    def check_length(self, length: int) -> None:
        if self.positions is not None and length > self.positions:
            raise InputError(
                f"{length} tokens do not fit the decoder's {self.positions} positions; "
                "shorten the captions, the prompt, or max_new_tokens"
            )


def _positions(ids_NL: torch.Tensor, attention_mask: torch.Tensor | None, seen: int) -> torch.Tensor:
    """Count real tokens; padding gets -1."""
    N, L = ids_NL.shape
    if attention_mask is None:
        return torch.arange(seen, seen + L, device=ids_NL.device)[None].expand(N, L)
    real = attention_mask.long()
    return (real.cumsum(dim=1) * real - 1)[:, seen:]


def _swap(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put one module in place of another, wherever it stands."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
