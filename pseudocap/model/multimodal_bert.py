"""Read and write texts with one BERT: as an encoder of texts, and as a decoder that attends to sight and sound.

The modules and their names are transformers' own (BertLMHeadModel), so the weights of any BERT load. The encoder skips
the cross-attention between a layer's self-attention and its feed-forward part; everything else is shared. Written is
behind a [MASK]: each step appends one to what is written so far, and its output is the next token.

How the decoder attends to both modalities (VALOR, figure 7): `concatenated`, one cross-attention over both side by
side; `parallel`, one for each, their outputs added; `audio-visual` and `visual-audio`, one after the other; `merge`, no
cross-attention, but the self-attention over media and text, where the media do not see the text.

Legend of the shape suffixes: B clips, N texts (a multiple of B, those of a clip side by side), L tokens, P tokens
before, M vectors of a clip, D width, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Cache, DynamicCache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.bert.modeling_bert import BertAttention, BertConfig, BertLayer, BertLMHeadModel, BertModel

from pseudocap.errors import InputError
from pseudocap.memory import Axis
from pseudocap.model.text import Marks
from pseudocap.model.valor_config import AUDIO_VISUAL, CONCATENATED, MERGED, PARALLEL

SIGHT_ATTENTION, SOUND_ATTENTION = "crossattention", "sound_attention"
CAUSAL, BIDIRECTIONAL = "causal", "bidirectional"  # how the tokens of a prompt see one another


@dataclass(frozen=True, slots=True)
class Keys:
    """Hold the keys and values [B,H,M,K] of one attention over clips, and which of them are real [B,M]."""

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class ProjectedMedia:
    """Hold what each layer attends to, once for all tokens, beams and texts: by the attention's name."""

    layers: tuple[Mapping[str, Keys], ...]


class MultimodalBert(PreTrainedModel, GenerationMixin):
    """Hold `lm`, and where the fusion needs them the cross-attentions to sound. With `shared=False` texts are encoded
    by a BERT of their own."""

    _supports_sdpa = True

    def __init__(self, lm: BertLMHeadModel, *, fusion: str, marks: Marks, mask_id: int, shared: bool = True) -> None:
        super().__init__(lm.config)
        self.lm, self.fusion, self.marks, self.mask_id = lm, fusion, marks, mask_id
        self.text: BertModel | None = None if shared else _copy_of_encoder(lm)
        separate = fusion not in (CONCATENATED, MERGED)
        self.sound_attention = nn.ModuleList(
            BertAttention(lm.config, layer_idx=number, is_cross_attention=True)
            for number in range(len(self.layers) if separate else 0)
        )
        for module in self.sound_attention.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=lm.config.initializer_range)
                nn.init.zeros_(module.bias)
        self.generation_config = GenerationConfig(
            bos_token_id=marks.bos, eos_token_id=marks.eos, pad_token_id=marks.pad
        )

    @property
    def layers(self) -> list[BertLayer]:
        return list(self.lm.bert.encoder.layer)

    @property
    def positions(self) -> int:
        return int(self.config.max_position_embeddings)

    # Texts as an encoder reads them

    def read(self, ids_NL: torch.Tensor, real_NL: torch.Tensor) -> torch.Tensor:
        """Return the states [N,L,D] of texts, each token of which sees all others."""
        self._check_length(ids_NL.shape[1])
        bert = self.lm.bert if self.text is None else self.text
        h_NLD = bert.embeddings(input_ids=ids_NL)
        for layer in bert.encoder.layer:
            h_NLD = self._self_attention(layer, h_NLD, real_NL[:, None, None])
            h_NLD = layer.feed_forward_chunk(h_NLD)
        return cast(torch.Tensor, h_NLD)

    # Texts as the decoder writes them

    def project(self, sight: Axis | None, sound: Axis | None) -> ProjectedMedia:
        """Compute each attention's keys and values of vectors [B,M,D] of sight, of sound, or of both."""
        parts = {SIGHT_ATTENTION: sight, SOUND_ATTENTION: sound}
        given = {name: part for name, part in parts.items() if part is not None}
        if self.fusion in (CONCATENATED, MERGED) and given:
            given = {SIGHT_ATTENTION: join_axes(list(given.values()))}
        if self.fusion == MERGED:
            return ProjectedMedia(tuple(self._read_media(given)))
        return ProjectedMedia(
            tuple(
                {name: _keys(self._attention(name, number), part) for name, part in given.items()}
                for number in range(len(self.layers))
            )
        )

    def write(
        self,
        ids_NL: torch.Tensor,
        sees_NLL: torch.Tensor,
        media: ProjectedMedia | None,
        *,
        positions_NL: torch.Tensor | None = None,
        cache: Cache | None = None,
    ) -> torch.Tensor:
        """Return the states [N,L,D] of tokens, of which each sees those that it may [N,L,P+L], and the media."""
        h_NLD = self.lm.bert.embeddings(input_ids=ids_NL, position_ids=positions_NL)
        for number, layer in enumerate(self.layers):
            attended = {} if media is None else media.layers[number]
            if self.fusion == MERGED:
                h_NLD = self._self_attention(layer, h_NLD, sees_NLL[:, None], cache, attended.get(SIGHT_ATTENTION))
            else:
                h_NLD = self._self_attention(layer, h_NLD, sees_NLL[:, None], cache)
                h_NLD = self._cross_attention(number, h_NLD, attended)
            h_NLD = layer.feed_forward_chunk(h_NLD)
        return cast(torch.Tensor, h_NLD)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """Turn states into the vocabulary's logits."""
        logits: torch.Tensor = self.lm.cls(h)
        return logits

    def _cross_attention(self, number: int, h_NLD: torch.Tensor, media: Mapping[str, Keys]) -> torch.Tensor:
        attended = {name: (self._attention(name, number), keys) for name, keys in media.items()}
        if self.fusion == PARALLEL and len(attended) == 2:
            seen, heard = (_attend(attention, h_NLD, keys) for attention, keys in attended.values())
            has_sight, has_sound = (_rows(keys.mask.any(dim=1), h_NLD) for _, keys in attended.values())
            return torch.where(has_sight & has_sound, seen + heard, torch.where(has_sound, heard, seen))
        order = reversed(attended.values()) if self.fusion == AUDIO_VISUAL else attended.values()
        for attention, keys in order:
            h_NLD = _attend(attention, h_NLD, keys)
        return h_NLD

    def _attention(self, name: str, number: int) -> BertAttention:
        of_sound = name == SOUND_ATTENTION and len(self.sound_attention) > 0
        return cast(BertAttention, self.sound_attention[number] if of_sound else self.layers[number].crossattention)

    def _self_attention(
        self,
        layer: BertLayer,
        h_NLD: torch.Tensor,
        sees: torch.Tensor,
        cache: Cache | None = None,
        media: Keys | None = None,
    ) -> torch.Tensor:
        """Let tokens attend to those that they see [N,1,1 or L,P+L], of which the cache has the first, and where sight
        and sound are merged with the text, to them first."""
        own = layer.attention.self
        q_NHLK, k_NHLK, v_NHLK = (_heads(part(h_NLD), own) for part in (own.query, own.key, own.value))
        if cache is not None:
            k_NHLK, v_NHLK = cache.update(k_NHLK, v_NHLK, own.layer_idx)
        if media is not None:
            each = len(h_NLD) // len(media.mask)
            keys, values, mask = (
                part.repeat_interleave(each, dim=0) for part in (media.keys, media.values, media.mask)
            )
            k_NHLK, v_NHLK = torch.cat([keys, k_NHLK], dim=2), torch.cat([values, v_NHLK], dim=2)
            sees = torch.cat([mask[:, None, None].expand(-1, -1, sees.shape[2], -1), sees], dim=3)
        return _finish(layer.attention, q_NHLK, k_NHLK, v_NHLK, sees, h_NLD)

    def _read_media(self, given: Mapping[str, Axis]) -> list[Mapping[str, Keys]]:
        """Pass the media through every layer by themselves, and return what the text sees of them in each."""
        if not given:
            return [{} for _ in self.layers]
        part = given[SIGHT_ATTENTION]
        h_BMD, found = part.vectors, []
        for layer in self.layers:
            found.append({SIGHT_ATTENTION: _keys(layer.attention, Axis(h_BMD, part.mask))})
            h_BMD = self._self_attention(layer, h_BMD, part.mask[:, None, None])
            h_BMD = layer.feed_forward_chunk(h_BMD)
        return cast(list[Mapping[str, Keys]], found)

    # Generation, by transformers' loop

    def forward(
        self,
        input_ids: torch.Tensor,
        media: ProjectedMedia | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        prompt_length: int = 1,
        prompt_sees: str = CAUSAL,
        use_cache: bool | None = None,
        return_dict: bool = True,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Run one step of transformers' generation loop: append a [MASK], and return the logits of what it is."""
        N, new = input_ids.shape
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        seen = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        real_NL = input_ids.new_ones(N, seen + new) if attention_mask is None else attention_mask
        real_NL = F.pad(real_NL.bool(), (0, 1), value=True)
        sees_NLL = causal(real_NL)
        if prompt_sees == BIDIRECTIONAL:
            sees_NLL[:, :prompt_length, :prompt_length] |= real_NL[:, None, :prompt_length]
        positions_NL = (real_NL.long().cumsum(dim=1) - 1).clamp(min=0)
        ids_NL = F.pad(input_ids, (0, 1), value=self.mask_id)
        h_NLD = self.write(
            ids_NL, sees_NLL[:, seen:], media, positions_NL=positions_NL[:, seen:], cache=past_key_values
        )
        if past_key_values is not None:
            cast(DynamicCache, past_key_values).crop(-1)  # the [MASK] is no part of the text
        return CausalLMOutputWithPast(logits=self.logits(h_NLD[:, -1:]), past_key_values=past_key_values)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, past_key_values: Cache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        seen = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        names = ("media", "attention_mask", "prompt_length", "prompt_sees", "use_cache")
        given = {name: kwargs[name] for name in names if name in kwargs}
        return {"input_ids": input_ids[:, seen:], "past_key_values": past_key_values, **given}

    def _check_length(self, length: int) -> None:
        if length > self.positions:
            raise InputError(
                f"{length} tokens do not fit the {self.positions} positions of BERT: shorten texts, or max_new_tokens"
            )


def causal(real_NL: torch.Tensor) -> torch.Tensor:
    """Return what each token sees [N,L,L]: the real ones up to itself. Padding sees itself, so that it is defined."""
    L = real_NL.shape[1]
    earlier_LL = torch.ones(L, L, dtype=torch.bool, device=real_NL.device).tril()
    return (earlier_LL & real_NL[:, None]) | torch.eye(L, dtype=torch.bool, device=real_NL.device)


def join_axes(parts: Sequence[Axis]) -> Axis:
    """Put the vectors of several axes side by side."""
    return Axis(torch.cat([part.vectors for part in parts], dim=1), torch.cat([part.mask for part in parts], dim=1))


def bert_config(fields: Mapping[str, Any], *, fusion: str) -> BertConfig:
    """Return the config of a BERT as its fields have it, with cross-attention where the fusion needs one."""
    own = {**fields, "is_decoder": True, "add_cross_attention": fusion != MERGED, "use_cache": True}
    return BertConfig(**own)


def _copy_of_encoder(lm: BertLMHeadModel) -> BertModel:
    """Return a BERT of the same weights that reads texts alone, without cross-attention."""
    config = BertConfig(**{**lm.config.to_dict(), "is_decoder": False, "add_cross_attention": False})
    own = BertModel(config, add_pooling_layer=False)
    wanted = own.state_dict().keys()
    own.load_state_dict({name: tensor for name, tensor in lm.bert.state_dict().items() if name in wanted})
    return own


def _heads(h_NLD: torch.Tensor, own: Any) -> torch.Tensor:
    return h_NLD.unflatten(2, (-1, own.attention_head_size)).transpose(1, 2)


def _keys(attention: BertAttention, part: Axis) -> Keys:
    own = attention.self
    return Keys(_heads(own.key(part.vectors), own), _heads(own.value(part.vectors), own), part.mask)


def _finish(
    attention: BertAttention,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sees: torch.Tensor,
    h_NLD: torch.Tensor,
) -> torch.Tensor:
    own = attention.self
    dropout = own.dropout.p if own.training else 0.0
    context = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, dropout_p=dropout)
    return cast(torch.Tensor, attention.output(context.transpose(1, 2).flatten(2).view_as(h_NLD), h_NLD))


def _attend(attention: BertAttention, h_NLD: torch.Tensor, media: Keys) -> torch.Tensor:
    """Attend to the media of each text's clip; a text whose clip has none stays as it is."""
    some_B = media.mask.any(dim=1)
    if not media.mask.shape[1]:
        return h_NLD
    B, (N, L, D) = len(media.mask), h_NLD.shape
    own, each = attention.self, len(h_NLD) // len(media.mask)
    q_BHLK = _heads(own.query(h_NLD).view(B, each * L, D), own)  # the texts of a clip are one row of queries
    sees_B11M = (media.mask | ~some_B[:, None])[:, None, None]
    dropout = own.dropout.p if own.training else 0.0
    context = F.scaled_dot_product_attention(q_BHLK, media.keys, media.values, attn_mask=sees_B11M, dropout_p=dropout)
    attended_NLD = attention.output(context.transpose(1, 2).reshape(N, L, D), h_NLD)
    return torch.where(_rows(some_B, h_NLD), attended_NLD, h_NLD)


def _rows(which_B: torch.Tensor, h_NLD: torch.Tensor) -> torch.Tensor:
    return which_B.repeat_interleave(len(h_NLD) // len(which_B))[:, None, None]
