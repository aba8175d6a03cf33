"""Connect a frozen encoder, one memory, and a frozen decoder with adapters. Knows no files and no text.

Legend: B videos, N captions (a multiple of B), T frames, L tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import nn
from transformers import GenerationConfig

from pseudocap.errors import ConfigError, InputError, nearest
from pseudocap.memory import Memory
from pseudocap.model.adapter import Adapter, ConvexAdapter
from pseudocap.model.attention import require_memory
from pseudocap.model.config import CONTEXT, RESAMPLER
from pseudocap.model.decoders.base import LM_STORED, Decoder
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.both import encode_clips
from pseudocap.model.frozen import keep_frozen_out
from pseudocap.model.loss import caption_loss
from pseudocap.model.packing import Packing
from pseudocap.model.precision import (
    CPU_ONLY,
    FULL_PRECISION,
    HalfEmbedding,
    PackedLinear,
    StoredFloat16Linear,
    check_precision,
    pack_linears,
)
from pseudocap.types import MAX_NEW_TOKENS

ADAPTERS, LM = "decoder.adapters.", "decoder.lm."
GENERATION_ARGUMENTS = frozenset(
    ["generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer"]
)


@dataclass(frozen=True, slots=True)
class CaptionOutput:
    """Hold an output. `logits` is None where labels were given and logits not requested: the loss never makes all."""

    loss: torch.Tensor | None
    logits: torch.Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCounts:
    total: int
    frozen: int
    trainable: int


class CaptionNetwork(nn.Module):
    def __init__(self, encoder: Encoder, decoder: Decoder, audio_encoder: AudioEncoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.audio_encoder = audio_encoder
        self.precision = FULL_PRECISION  # of the frozen weights; see set_precision
        self._declare_trainables()
        keep_frozen_out(self, partial(_starts_with, (ADAPTERS, LM) if decoder.learns else (ADAPTERS,)))
        self.eval()

    def _declare_trainables(self) -> None:
        self.requires_grad_(False)
        declared = self.trainable_names
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in declared)

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.dtype

    @property
    def adapters(self) -> dict[int, Adapter]:
        """Return the adapters by the index of the decoder layer behind each."""
        return self.decoder.adapters_by_layer

    @property
    def trainable_names(self) -> set[str]:
        """Return the exact set of parameters that learn, as the adapters declare them; of what else reads a memory, and
        of a language model that learns too, all."""
        whole = {CONTEXT: self.decoder.context, RESAMPLER: self.decoder.resampler}
        wholly = {
            name: {each for each, _ in part.named_parameters()} for name, part in whole.items() if part is not None
        }
        declared = {str(layer): adapter.trainable_names() for layer, adapter in self.adapters.items()} | wholly
        names = {f"{ADAPTERS}{part}.{name}" for part, names in declared.items() for name in names}
        return names | {f"{LM}{name}" for name in self.decoder.learned_lm()}

    def train(self, mode: bool = True) -> Self:
        """Keep what is frozen in evaluation mode, also after a bare `.train()`."""
        if mode:
            self.require_full_precision("be trained")
        super().train(mode)
        for encoder in self.encoders:
            encoder.eval()
        return self

    def set_precision(self, precision: str) -> None:
        """Hold the frozen weights in fewer bits, to caption with. There is no way back, and no learning after it."""
        check_precision(precision, self.device, next(self.decoder.adapters.parameters()).dtype)
        if precision == self.precision:
            return
        self.require_full_precision(f"become {precision}")
        for encoder in self.encoders:  # first, because some encoders refuse
            encoder.pack(precision)
        self.decoder.pack(precision)
        if precision in CPU_ONLY:
            pack_linears(self.decoder.adapters, StoredFloat16Linear, where=StoredFloat16Linear.suits)
        self.precision = precision
        self.requires_grad_(False)

    def require_full_precision(self, what: str) -> None:
        if self.precision != FULL_PRECISION:
            raise ConfigError(
                f"this captioner's backbones are in {self.precision}, which is for captioning: it cannot {what}; "
                "load it with precision='float32'"
            )

    def set_gate_step(self, step: int) -> None:
        """Move the gate schedule of convex adapters to an optimiser step; residual gates have none."""
        for adapter in self.adapters.values():
            if isinstance(adapter, ConvexAdapter):
                adapter.set_gate_step(step)

    @property
    def encoders(self) -> tuple[Encoder | AudioEncoder, ...]:
        return (self.encoder,) if self.audio_encoder is None else (self.encoder, self.audio_encoder)

    def gain_sound(self, audio_encoder: AudioEncoder, *, seed: int = 0) -> None:
        """Let every adapter attend to the axes of an audio encoder, which changes nothing before the first step."""
        self.require_full_precision("gain an encoder")
        with seeded(seed):
            for axis in audio_encoder.axes:
                self.decoder.grow_axis(axis, memory_width=audio_encoder.width(axis))
        self.audio_encoder = audio_encoder.to(self.device, self.dtype)
        self._declare_trainables()
        self.train(self.training)

    def encode(
        self,
        frames: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        *,
        sound: torch.Tensor | None = None,
        sound_lengths: torch.Tensor | None = None,
    ) -> Memory:
        """Encode frames float [B,T,3,H,W], normalised, into the memory that everything downstream sees.

        A captioner that hears also takes sound, with frames or alone: windows [B,W,F,M], and how many frames of each
        are real [B,W]. All patches are kept where this captioner's attention looks at them, and only there.
        """
        given = (frames, frame_mask, sound, sound_lengths)
        return encode_clips(self.encoder, self.audio_encoder, *given, patches=self.decoder.needs_patches)

    def forward(
        self,
        input_ids: torch.Tensor,
        memory: Memory | None,
        *,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_logits: bool = False,
        temperature: float = 1.0,
        smoothing: float = 0.0,
        weights_NL: torch.Tensor | None = None,
    ) -> CaptionOutput:
        """Read N captions of B videos, N a multiple of B and the captions of a video side by side.

        `memory=None` is the plain decoder. `labels` are the input ids with -100 where nothing is to be learned; with
        them nothing is computed for padding on the right, and what `return_logits` gives for it means nothing. Logits
        are divided by the `temperature`; `smoothing` and `weights_NL` are those of `caption_loss`.
        """
        self._check_tokens(input_ids, attention_mask, position_ids)
        if labels is not None:
            self.require_full_precision("compute a loss")
        packing = None if labels is None or self.decoder.context is not None else Packing.of(attention_mask)
        hidden_NLD = self.decoder.hidden(
            input_ids, memory, attention_mask=attention_mask, position_ids=position_ids, packing=packing
        )
        hidden_NLD = hidden_NLD if temperature == 1.0 else hidden_NLD / temperature
        loss = None
        if labels is not None:
            vocabulary_VD = self.decoder.vocabulary
            loss = caption_loss(hidden_NLD, vocabulary_VD, labels, smoothing=smoothing, weights_NL=weights_NL)
        wants_logits = labels is None or return_logits
        return CaptionOutput(loss=loss, logits=self.decoder.logits(hidden_NLD) if wants_logits else None)

    @torch.no_grad()
    def generate(
        self,
        memory: Memory,
        *,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Generate ids [N, prompt + new] by transformers' generation, with its options (num_beams, do_sample, ...).

        The prompt is BOS unless given; right-padded prompts are shifted to the left first. With a seed, sampling
        repeats exactly and leaves torch's own random state alone.
        """
        require_memory(memory)
        device = self.device
        if input_ids is None:
            input_ids = torch.full((len(memory), 1), self.decoder.bos_id, dtype=torch.long, device=device)
        self._check_tokens(input_ids, attention_mask, None)
        _check_options(options, seed)
        if not {"max_length", "max_new_tokens", "generation_config"} & options.keys():
            room = MAX_NEW_TOKENS if self.decoder.positions is None else self.decoder.positions - input_ids.shape[1]
            options["max_new_tokens"] = max(1, min(MAX_NEW_TOKENS, room))
        self.decoder.check_length(_final_length(input_ids.shape[1], options))
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        input_ids, attention_mask = _pad_left(input_ids.to(device), attention_mask.to(device))
        projected = self.decoder.project(memory, rows=len(input_ids))
        with contextlib.nullcontext() if seed is None else seeded(seed):
            return self.decoder.generate(
                input_ids=input_ids, attention_mask=attention_mask, memory=projected, **options
            )

    def adapter_state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint holds: the adapters' parameters and saved buffers, and nothing frozen."""
        learned = {f"{LM_STORED}{name}": tensor.detach() for name, tensor in self.decoder.learned_lm().items()}
        return self.decoder.adapters.state_dict() | learned

    def parameter_counts(self) -> ParameterCounts:
        sizes = {name: parameter.numel() for name, parameter in self.named_parameters()}
        trainable = sum(sizes[name] for name in self.trainable_names)
        packed = [module for module in self.modules() if isinstance(module, PackedLinear | HalfEmbedding)]
        total = sum(sizes.values()) + sum(module.held for module in packed)
        return ParameterCounts(total=total, frozen=total - trainable, trainable=trainable)

    def _check_tokens(
        self, ids: torch.Tensor, attention_mask: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> None:
        if not isinstance(ids, torch.Tensor):
            raise InputError(f"input_ids must be a tensor [N, L], as in model.tokenize(...).input_ids, not {ids!r:.80}")
        if ids.dim() != 2 or not ids.numel() or ids.dtype not in (torch.int32, torch.int64):
            raise InputError(f"input_ids must be whole numbers [N, L], not {ids.dtype} {list(ids.shape)}")
        low, high = torch.stack(ids.aminmax()).tolist()
        words = self.decoder.config.vocab_size
        if low < 0 or high >= words:
            raise InputError(
                f"input_ids reach from {low} to {high}, beyond the vocabulary of {words}; "
                "is this another tokenizer's, or is -100 left over from labels?"
            )
        for name, values in (("attention_mask", attention_mask), ("position_ids", position_ids)):
            if values is not None and values.shape != ids.shape:
                raise InputError(f"{name} must be {list(ids.shape)} like input_ids, not {list(values.shape)}")
        if attention_mask is not None and position_ids is not None:
            raise InputError(
                "attention_mask and position_ids exclude one another: positions mark packed captions, "
                "whose padding stands at the end of the row and needs no mask"
            )
        self.decoder.check_length(ids.shape[1])
        if position_ids is not None:
            if bool((position_ids < 0).any()):
                raise InputError("position_ids must not be negative; give padding the position it stands at")
            self.decoder.check_length(int(position_ids.max()) + 1)


def _starts_with(prefixes: tuple[str, ...], name: str) -> bool:
    return name.startswith(prefixes)


def _pad_left(ids_NL: torch.Tensor, mask_NL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each row's real tokens to its end, in order: a decoder goes on from its last column."""
    order_NL = mask_NL.bool().long().argsort(dim=1, stable=True)
    return ids_NL.gather(1, order_NL), mask_NL.gather(1, order_NL)


def _check_options(options: Mapping[str, Any], seed: int | None) -> None:
    """Check the options that are mistaken most often, before transformers meets them."""
    known = GenerationConfig().to_dict().keys() | GENERATION_ARGUMENTS
    for name, value in options.items():
        if name not in known:
            raise InputError(f"generate has no option {name!r}{nearest(name, known)}")
        counts = ("num_beams", "max_new_tokens", "max_length", "num_return_sequences")
        if name in counts and (
            isinstance(value, bool) or not isinstance(value, int | None) or value == 0 or (value or 1) < 0
        ):
            raise InputError(f"{name} must be a whole number above 0, not {value!r}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise InputError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed!r}")


def _final_length(prompt: int, options: Mapping[str, Any]) -> int:
    """Return how long a caption may become with these options of transformers."""
    inner = options.get("generation_config")
    new, length = (options.get(name) or getattr(inner, name, None) for name in ("max_new_tokens", "max_length"))
    return prompt + new if new else length or prompt


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` on every device inside; leave torch's own random state outside as it was."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    kind = accelerator.type if accelerator is not None and accelerator.type != "mps" else "cuda"
    devices = range(torch.accelerator.device_count()) if kind != "cuda" or torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices), device_type=kind):
        torch.manual_seed(seed)
        yield
