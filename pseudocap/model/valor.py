"""VALOR: one network that aligns texts with sight, sound or both, describes them, and answers questions about them.

Sight and sound come as a Memory. For the alignment a frame is the mean of its patches, a window of sound the mean of
its vectors, and a text its tokens; each is projected to `dim` and compared by the fine similarity (retrieval.py). The
decoder attends to every patch and every vector of sound (multimodal_bert.py).

Groups are written as the paper writes them: `T-AV` compares texts with sound and sight side by side.

Legend of the shape suffixes: A and N texts, B clips, T frames, S patches, L tokens, M vectors of a clip, E an encoder's
width, C width of the common space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.models.bert.modeling_bert import BertLMHeadModel

from pseudocap.decoding import strip_unfinished
from pseudocap.errors import ConfigError, InputError, nearest
from pseudocap.memory import GROUPS, SIGHT, SOUND, Axis, Memory
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.both import encode_clips
from pseudocap.model.frozen import keep_frozen_out
from pseudocap.model.multimodal_bert import BIDIRECTIONAL, CAUSAL, MultimodalBert, ProjectedMedia, causal, join_axes
from pseudocap.model.network import seeded
from pseudocap.model.retrieval import Embedded, fine_scores, read_axes
from pseudocap.model.text import Marks, check_prompts, detokenize, encode, mask_token_id, side_by_side
from pseudocap.model.text_towers import require_words
from pseudocap.model.valor_config import COARSE, EQUAL, FEATURES, MLP, SCORES, WINDOWS, ValorConfig
from pseudocap.types import MAX_NEW_TOKENS

TEXT, SEEN, HEARD = LETTERS = ("T", "V", "A")  # of the modalities, as the paper's groups name them
AXES_OF = {SEEN: SIGHT, HEARD: SOUND}
PUNCTUATION = re.compile(r"[^\w\s]|_")
COLDEST = 0.01  # that the learned temperature falls to, as in CLIP


def parse_group(name: str) -> tuple[str, str]:
    """Return the modalities of both sides of a group: T-AV compares T with AV."""
    one, _, other = name.partition("-")
    if not one or not other or {*one} & {*other} or not {*one, *other} <= {*LETTERS} or len({*name}) != len(name):
        known = ("T-V", "T-A", "T-AV", "V-A", "A-TV", "V-TA")
        raise ConfigError(f"a group is like {', '.join(known)}, not {name!r}{nearest(name, known)}")
    return one, other


def plain_text(text: str) -> str:
    """Return a text as VALOR reads it: lower case, without punctuation."""
    return " ".join(PUNCTUATION.sub(" ", text.lower()).split())


@dataclass(frozen=True, slots=True)
class LearnedTokens:
    """Hold texts [N,L], where they are real, and how many tokens of each are given: [CLS], or all of a question."""

    ids_NL: torch.Tensor
    real_NL: torch.Tensor
    given_N: torch.Tensor

    @property
    def learned_NL(self) -> torch.Tensor:
        return self.real_NL & (torch.arange(self.ids_NL.shape[1], device=self.ids_NL.device) >= self.given_N[:, None])

    @property
    def sees_NLL(self) -> torch.Tensor:
        """Return what each token sees: those before it, and within a question all of it."""
        given_NL = self.real_NL & ~self.learned_NL
        return causal(self.real_NL) | (given_NL[:, :, None] & given_NL[:, None])

    def __getitem__(self, rows: torch.Tensor) -> LearnedTokens:
        return LearnedTokens(self.ids_NL[rows], self.real_NL[rows], self.given_N[rows])


class ValorNetwork(nn.Module):
    """Hold encoders of sight and sound, BERT, and the heads of the alignment. Knows no files."""

    def __init__(
        self,
        encoder: Encoder,
        lm: BertLMHeadModel,
        tokenizer: PreTrainedTokenizerBase,
        config: ValorConfig,
        *,
        audio_encoder: AudioEncoder | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoder, self.audio_encoder, self.config = encoder, audio_encoder, config
        self.tokenizer, self.marks, self.mask_id = tokenizer, Marks.of(tokenizer), mask_token_id(tokenizer)
        width, dim = int(lm.config.hidden_size), config.dim
        widths = {axis: each.width(axis) for each in self.encoders for axis in each.axes if axis in config.axes}
        self._widths = widths
        of_modality = {SEEN: widths["time"]} | ({HEARD: widths["sound"]} if config.hears else {})
        with seeded(seed):
            options: dict[str, Any] = {"fusion": config.fusion, "shared": config.share_weights}
            self.bert = MultimodalBert(lm, marks=self.marks, mask_id=self.mask_id, **options)
            read = {"patches": widths["time"]} if config.needs_patches else {axis: widths[axis] for axis in SIGHT}
            read |= {axis: widths[axis] for axis in SOUND if axis in widths}
            self.inputs = nn.ModuleDict({axis: _input(each, width, config.media_norm) for axis, each in read.items()})
            self.heads = nn.ModuleDict({TEXT: nn.Linear(width, dim, bias=False)})
            for letter, each in of_modality.items():
                self.heads[letter] = _input(each, dim, config.media_norm, bias=False)
            self.weigh = nn.ModuleDict()
            if config.alignment != COARSE and config.weighting != EQUAL:
                self.weigh.update({letter: _weighing(dim, config.weighting) for letter in self.heads})
            joins = config.alignment == COARSE and config.joining == FEATURES and config.hears
            self.join = nn.Linear(2 * dim, dim) if joins else None
        self.log_temperature = nn.Parameter(torch.tensor(config.temperature).log())
        for network in self.encoders:
            network.learns = config.learn_encoders
            network.requires_grad_(config.learn_encoders)
        frozen = () if config.learn_encoders else ("encoder.", "audio_encoder.")
        self._learned = frozenset(name for name, _ in self.named_parameters() if not name.startswith(frozen))
        stored = {name for each in self.encoders if config.learn_encoders for name in _buffers_of(self, each)}
        keep_frozen_out(self, (self._learned | stored).__contains__)
        self.eval()

    @property
    def encoders(self) -> list[Encoder | AudioEncoder]:
        return [each for each in (self.encoder, self.audio_encoder) if each is not None]

    @property
    def trainable_names(self) -> set[str]:
        """Return the exact set of parameters that learn: all but those of encoders that are frozen."""
        return set(self._learned)

    @property
    def device(self) -> torch.device:
        return self.log_temperature.device

    @property
    def temperature(self) -> torch.Tensor:
        """Return what similarities are divided by in losses."""
        return self.log_temperature.exp().clamp(min=COLDEST)

    def train(self, mode: bool = True) -> Self:
        """Keep frozen encoders in evaluation mode, also after a bare `.train()`."""
        super().train(mode)
        for each in self.encoders:
            each.train(mode and self.config.learn_encoders)
        return self

    def encode(
        self,
        frames: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        *,
        sound: torch.Tensor | None = None,
        sound_lengths: torch.Tensor | None = None,
    ) -> Memory:
        """Encode frames float [B,T,3,H,W], normalised, and windows of sound, as a captioner does; with gradients where
        the encoders learn."""
        given = (frames, frame_mask, sound, sound_lengths)
        return encode_clips(self.encoder, self.audio_encoder, *given, patches=self.config.needs_patches)

    # Alignment

    def read(self, texts: Sequence[str]) -> Axis:
        """Return the text encoder's states [A,L,D], which `embed_states` embeds."""
        ids_AL, real_AL = self.tokenize(texts)
        return Axis(self.bert.read(ids_AL, real_AL), real_AL)

    def embed_states(self, states: Axis) -> Embedded:
        """Embed texts by their tokens, or where the alignment is coarse by [CLS]."""
        one = slice(0, 1) if self.config.alignment == COARSE else slice(None)
        return self._embed(TEXT, Axis(states.vectors[:, one], states.mask[:, one]))

    def embed_media(self, memory: Memory) -> dict[str, Embedded]:
        """Embed the frames and the sound of clips by modality, as far as the memory has them."""
        memory = self._checked(memory)
        found = {}
        if "time" in memory.axes:
            frames = memory.axes["time"]
            if memory.patches is not None and self.config.needs_patches:
                frames = Axis(memory.patches.mean(dim=2), frames.mask)
            found[SEEN] = frames
        if "sound" in memory.axes and HEARD in self.heads:
            found[HEARD] = self._windows(memory.axes["sound"])
        if self.config.alignment == COARSE:
            found = {letter: _mean(part) for letter, part in found.items()}
        return {letter: self._embed(letter, part) for letter, part in found.items()}

    def embed_nothing(self, letters: Sequence[str], clips: int) -> dict[str, Embedded]:
        """Embed what clips lack of these modalities: one masked vector each, which the heads have made all the same."""
        axes = {letter: AXES_OF[letter][0] for letter in letters}
        nothing = {
            letter: Axis(
                torch.zeros(clips, 1, self._widths[axis], device=self.device),
                torch.zeros(clips, 1, dtype=torch.bool, device=self.device),
            )
            for letter, axis in axes.items()
        }
        return {letter: self._embed(letter, part) for letter, part in nothing.items()}

    def embed_memory(self, memory: Memory) -> Embedded:
        """Embed clips by all that their memory has: what an index holds."""
        return self.joined(self.embed_media(memory))

    def joined(self, parts: Mapping[str, Embedded]) -> Embedded:
        """Put the vectors of several modalities side by side; where the alignment is coarse, make one of both."""
        several = list(parts.values())
        if len(several) == 1 or self.join is None:
            return Embedded(*(torch.cat([getattr(each, name) for each in several], dim=1)
                              for name in ("vectors", "mask", "weights")))  # fmt: skip
        seen, heard = parts[SEEN], parts[HEARD]
        fused_B1C = F.normalize(self.join(torch.cat([seen.vectors, heard.vectors], dim=2)), dim=-1)
        one_B1C = torch.where(seen.mask[..., None], seen.vectors, heard.vectors)
        both_B1 = seen.mask & heard.mask
        return Embedded(torch.where(both_B1[..., None], fused_B1C, one_B1C), seen.mask | heard.mask, seen.weights)

    @torch.autocast("cuda", enabled=False)
    @torch.autocast("cpu", enabled=False)
    def score(self, texts: Embedded, media: Embedded | Mapping[str, Embedded]) -> torch.Tensor:
        """Return the similarity of each text with each clip [A,B], in full also in mixed precision. Of several
        modalities it is that of all vectors, or with `joining: scores` the sum of theirs."""
        if isinstance(media, Mapping):
            if self.config.joining == SCORES:
                return torch.stack([self.score(texts, each) for each in media.values()]).sum(dim=0)
            media = self.joined(media)
        return fine_scores(texts, media)

    def _embed(self, letter: str, part: Axis) -> Embedded:
        vectors_BMC = F.normalize(self.heads[letter](part.vectors).float(), dim=-1)
        weights_BM = torch.zeros_like(vectors_BMC[..., 0])
        if letter in self.weigh:
            weights_BM = self.weigh[letter](vectors_BMC)[..., 0].float()
        return Embedded(vectors_BMC.masked_fill(~part.mask[..., None], 0), part.mask, weights_BM)

    def _windows(self, sound: Axis) -> Axis:
        """Return the mean of each window's vectors; the sound of a clip is windows of equally many, one after another,
        of which the last may lack some."""
        preprocess = self.config.sound_preprocess
        if self.config.sound != WINDOWS or preprocess is None or not sound.mask.shape[1]:
            return sound
        each = max(1, round(preprocess.seconds * preprocess.moments))
        short = -sound.mask.shape[1] % each
        vectors_BWKE = F.pad(sound.vectors, (0, 0, 0, short)).unflatten(1, (-1, each))
        mask_BWK = F.pad(sound.mask, (0, short)).unflatten(1, (-1, each))
        counts_BW = mask_BWK.sum(dim=2)
        sums_BWE = vectors_BWKE.masked_fill(~mask_BWK[..., None], 0).sum(dim=2)
        return Axis(sums_BWE / counts_BW.clamp(min=1)[..., None], counts_BW > 0)

    # Description and answers

    def project(self, memory: Memory, group: str = "av") -> ProjectedMedia:
        """Compute what the decoder attends to of a memory: of sight (v), of sound (a), or of both."""
        memory = self._checked(memory.only(group) if group != "av" else memory)
        axes = dict(memory.axes)
        if self.config.needs_patches and "time" in axes:
            frames = axes["time"]
            assert memory.patches is not None, "checked"
            patches = Axis(memory.patches.flatten(1, 2), frames.mask.repeat_interleave(memory.patches.shape[2], dim=1))
            axes = {"patches": patches} | {axis: axes[axis] for axis in SOUND if axis in axes}
        inner = {axis: Axis(self.inputs[axis](part.vectors), part.mask) for axis, part in axes.items()}
        heard = [part for axis, part in inner.items() if axis in SOUND]
        seen = [part for axis, part in inner.items() if axis not in SOUND]
        return self.bert.project(*(join_axes(parts) if parts else None for parts in (seen, heard)))

    def tokenize(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and what is real [N,L] of texts, `[CLS] text [SEP]`; a longer one than `max_tokens` is cut."""
        require_words([plain_text(text) if isinstance(text, str) else text for text in texts])
        rows = [[self.marks.bos, *encode(plain_text(text), self.tokenizer), self.marks.eos] for text in texts]
        ids_NL, real_NL = side_by_side([row[: self.config.max_tokens] for row in rows], self.marks.pad)
        return ids_NL.to(self.device), real_NL.to(self.device)

    def questions(self, questions: Sequence[str]) -> list[list[int]]:
        """Return the ids of questions as they stand before their answers: `[CLS] question [SEP]`."""
        for index, question in enumerate(questions):
            if not isinstance(question, str) or not plain_text(question):
                raise InputError(f"question {index} is {question!r} and must have at least one word")
        most = self.config.max_tokens
        rows = [[self.marks.bos, *encode(plain_text(each), self.tokenizer)][: most - 1] for each in questions]
        return [[*row, self.marks.eos] for row in rows]

    def tokens_to_learn(self, texts: Sequence[str], questions: Sequence[str] = ()) -> LearnedTokens:
        """Return `[CLS] text [SEP]`, or `[CLS] question [SEP] answer [SEP]`, of which the text or answer is learned."""
        if not questions:
            ids_NL, real_NL = self.tokenize(texts)
            return LearnedTokens(ids_NL, real_NL, given_N=real_NL.new_ones(len(ids_NL), dtype=torch.long))
        before, after = self.questions(questions), self.tokenize(texts)
        rows = [
            [*start, *ids[1:length]]
            for start, ids, length in zip(before, after[0].tolist(), after[1].sum(dim=1).tolist(), strict=True)
        ]
        if (longest := max(map(len, rows))) > self.bert.positions:
            raise InputError(f"a question and its answer have {longest} tokens, and BERT {self.bert.positions} "
                             "positions: lower max_tokens")  # fmt: skip
        ids_NL, real_NL = (each.to(self.device) for each in side_by_side(rows, self.marks.pad))
        return LearnedTokens(ids_NL, real_NL, given_N=torch.tensor([len(each) for each in before], device=self.device))

    @torch.no_grad()
    def generate(
        self, memory: Memory, *, starts: Sequence[Sequence[int]] | None = None, sees: str = CAUSAL,
        seed: int | None = None, **options: Any,
    ) -> torch.Tensor:  # fmt: skip
        """Generate ids [B, start + new] by transformers' generation, with its options (num_beams, do_sample, ...).

        Each begins with [CLS], or with its own of `starts`, of any lengths, whose tokens see each other causally, or
        all of them (`bidirectional`).
        """
        rows = [[self.marks.bos]] * len(memory) if starts is None else starts
        reversed_NL, real_NL = side_by_side([list(row)[::-1] for row in rows], self.marks.pad)
        ids_NL, real_NL = reversed_NL.flip(1).to(self.device), real_NL.flip(1).to(self.device)
        room = self.bert.positions - ids_NL.shape[1] - 1  # a [MASK] stands behind the last token
        wanted = options.pop("max_new_tokens", None)
        if room < 1 or (wanted or 1) > room:
            raise InputError(
                f"{ids_NL.shape[1]} tokens and {wanted or 1} new ones do not fit the {self.bert.positions} positions "
                "of BERT; shorten the question or the prompt, or max_new_tokens"
            )
        options["max_new_tokens"] = wanted or min(MAX_NEW_TOKENS, room)
        media = self.project(memory, "av")
        inputs: dict[str, Any] = {"input_ids": ids_NL, "attention_mask": real_NL.long(), "media": media}
        inputs |= {"prompt_length": ids_NL.shape[1], "prompt_sees": sees}
        if seed is None:
            return self.bert.generate(**inputs, **options)
        with seeded(seed):
            return self.bert.generate(**inputs, **options)

    def describe(
        self, memory: Memory, *, prompt: str | Sequence[str] | None = None, finish: bool = False, **options: Any
    ) -> list[str]:
        """Return captions, each of which continues its prompt; `finish` drops what one had only begun at the limit."""
        starts = [
            [self.marks.bos, *encode(plain_text(each), self.tokenizer)] for each in check_prompts(prompt, len(memory))
        ]
        ids = self.generate(memory, starts=starts, **options)[:, max(map(len, starts)) :]
        texts = detokenize(ids, self.tokenizer)
        cut = [last not in (self.marks.eos, self.marks.pad) for last in ids[:, -1].tolist()]
        return [strip_unfinished(text) if finish and short else text for text, short in zip(texts, cut, strict=True)]

    def answers(self, memory: Memory, questions: Sequence[str], **options: Any) -> list[str]:
        """Return the answer to a question about each clip, greedily unless the options say otherwise."""
        if len(questions) != len(memory):
            raise InputError(f"there must be a question for each of {len(memory)} clips, not {len(questions)}")
        starts = self.questions(questions)
        ids = self.generate(memory, starts=starts, sees=BIDIRECTIONAL, **options)
        return detokenize(ids[:, max(map(len, starts)) :], self.tokenizer)

    def _checked(self, memory: Memory) -> Memory:
        """Return those axes of a memory that are read, here; InputError where it is another encoder's."""
        axes = read_axes(memory, self.config.axes, self._widths, reader="model")
        if self.config.needs_patches and "time" in axes and memory.patches is None:
            raise InputError("sight: patches reads every patch, and the memory has none: `pseudocap encode --patches`, "
                             "or sight: pooled")  # fmt: skip
        dtype = self.log_temperature.dtype
        return Memory(axes, memory.patches if self.config.needs_patches else None).to(self.device, dtype)


def group_of(letters: str) -> str:
    """Return the group of a memory's modalities (memory.GROUPS) that letters name: AV is av."""
    name = "".join(letter for letter in "AV" if letter in letters).lower()
    assert name in GROUPS, letters
    return name


def _input(width: int, dim: int, norm: bool, *, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width) if norm else nn.Identity(), nn.Linear(width, dim, bias=bias))


def _weighing(dim: int, kind: str) -> nn.Module:
    """Score each vector: as the released code does (mlp), or the paper's one layer."""
    if kind != MLP:
        return nn.Linear(dim, 1)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))


def _mean(part: Axis) -> Axis:
    counts_B1 = part.mask.sum(dim=1, keepdim=True)
    sums_BE = part.vectors.masked_fill(~part.mask[..., None], 0).sum(dim=1)
    return Axis((sums_BE / counts_B1.clamp(min=1))[:, None], counts_B1 > 0)


def _buffers_of(network: nn.Module, part: nn.Module) -> set[str]:
    inside = {id(buffer) for buffer in part.buffers()}
    return {name for name, buffer in network.named_buffers() if id(buffer) in inside}
