"""Align, describe and answer with one class, ValorModel: a retriever and a captioner of files by what they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedTokenizerBase
from transformers.models.bert.modeling_bert import BertLMHeadModel
from transformers.utils import logging

from pseudocap.audio.clips import Windows
from pseudocap.captioner import DEAF, FileCaptioner
from pseudocap.decoding import FileDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import find_file, pin_revision, read_json, resolve_source
from pseudocap.heard_clips import HeardClip, encoder_input
from pseudocap.hearing_retriever import HearingRetriever
from pseudocap.hub.assembly import fetch_once, load_recorded_encoders, origin_of, preprocess_of
from pseudocap.hub.checkpoint import absolute, check_valor, moved
from pseudocap.hub.fetch import CONFIG_FILE, Access, Fetched
from pseudocap.hub.toys import toy_notice, warn_of_toy
from pseudocap.memory import Memory
from pseudocap.model.config import AUDIO, VIDEO, Backbone
from pseudocap.model.decoders.load import tokenizer_hash
from pseudocap.model.device import pick_device
from pseudocap.model.encoders.load import load_audio_encoder, load_encoder
from pseudocap.model.multimodal_bert import bert_config
from pseudocap.model.network import seeded
from pseudocap.model.text_towers import load_tokenizer
from pseudocap.model.valor import ValorNetwork
from pseudocap.model.valor_config import CONCATENATED, ValorConfig
from pseudocap.model.weights import (
    fingerprint,
    load_exactly,
    read_tensors,
    transformers_access,
    transformers_reason,
)
from pseudocap.types import SoundPreprocess
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import batched

ANSWER_TOKENS = 10  # of an answer, unless more are requested
BERT_SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size"),
    *("initializer_range", "layer_norm_eps", "pad_token_id"),
)


class ValorModel(ValorNetwork, HearingRetriever[ValorConfig], FileCaptioner[torch.Tensor | HeardClip]):
    """Embed texts and files in one space, caption files, and answer questions about them, by what a file has of sight
    and sound or by one of both. All of BERT and the heads are saved, the encoders only where they learn."""

    @classmethod
    def from_backbones(
        cls,
        *,
        text: str | Path,
        encoder: str | Path,
        audio_encoder: str | Path | None = None,
        pretrained: bool = True,
        num_frames: int | None = None,
        size: int | None = None,
        text_revision: str | None = None,
        encoder_revision: str | None = None,
        audio_encoder_revision: str | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        **settings: Any,
    ) -> Self:
        """Put new heads and cross-attention between a BERT and encoders of sight and sound.

        Args:
            text: a BERT of transformers: a directory, a repo of the hub, or one that the package ships
            encoder: a TimeSformer, or an image model of timm (timm/NAME) or transformers: likewise
            audio_encoder: an AST or another model of sound of transformers: likewise; null is a model that does not
                hear
            pretrained: whether BERT's weights are those of `text`; false is new ones of its sizes
            num_frames: of a clip; null is the encoder's own number
            size: pixels; null is the encoder's own
            text_revision: a commit or tag of the hub
            encoder_revision: a commit or tag of the hub
            audio_encoder_revision: a commit or tag of the hub
            seed: of everything new
            device: where the model computes; auto is the best that this machine has
            settings: fields of ValorConfig: fusion, dim, sight, alignment, ...
        """
        target = pick_device(device)
        fusion = settings.get("fusion", CONCATENATED)
        lm, tokenizer, read = _load_bert(
            absolute(text), fusion=fusion, pretrained=pretrained, seed=seed, access={"revision": text_revision}
        )
        seen = load_encoder(absolute(encoder), revision=encoder_revision)
        encoders, heard, axes = {VIDEO: origin_of(seen)}, None, seen.axes
        if audio_encoder is not None:
            heard = load_audio_encoder(absolute(audio_encoder), revision=audio_encoder_revision)
            encoders[AUDIO], axes = origin_of(heard), (*seen.axes, *heard.axes)
            settings["sound_preprocess"] = heard.preprocess
        config = ValorConfig(
            text=read,
            bert=_sizes(lm.config.to_dict()),
            encoders=encoders,
            preprocess=preprocess_of(seen, num_frames=num_frames, size=size),
            axes=axes,
            **settings,
        )
        return cls(seen, lm, tokenizer, config, audio_encoder=heard, seed=seed).to(target)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Fetched,
        *,
        revision: str | None = None,
        text: str | Path | None = None,
        encoder: str | Path | None = None,
        audio_encoder: str | Path | None = None,
        device: str | torch.device = "auto",
        local_files_only: bool = False,
        token: str | bool | None = None,
        checkpoints: str | Path | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote: a directory, a row of checkpoints.yaml, `owner/repo[@revision]` of the
        hub, or an address; or what `fetch` has found already. `text` (of which the tokenizer is needed), `encoder` and
        `audio_encoder` say where the backbones lie now, if they moved."""
        target = pick_device(device)
        access = Access(local_files_only=local_files_only, token=token)
        source = fetch_once(source, revision=revision, checkpoints=checkpoints, access=access)
        folder = source.folder
        lie = {"text": text, "encoder": encoder, "audio_encoder": audio_encoder}
        config, weights = check_valor(folder, lie)
        if audio_encoder is not None and AUDIO not in config.encoders:
            raise ConfigError(f"{folder} does not hear: leave audio_encoder out")
        address = moved(config.text, text)
        options = {"revision": None if text else config.text.revision, **asdict(access)}
        tokenizer = load_tokenizer(address, options)
        if (found := tokenizer_hash(tokenizer)) != config.text.tokenizer:
            raise CheckpointError(
                f"the tokenizer in {address} is not the one that {folder} was trained with ({found[:12]}, not "
                f"{config.text.tokenizer[:12]}); find the original ({config.text.source}) and give it as text="
            )
        lm = BertLMHeadModel(bert_config(config.bert, fusion=config.fusion))
        seen, heard, others = load_recorded_encoders(config, lie, folder, access)
        config = config.with_backbones(text=replace(config.text, source=address), **others)
        model = cls(seen, lm, tokenizer, config, audio_encoder=heard)
        load_exactly(model, read_tensors(weights), source=weights)
        model.bert.lm.tie_weights()
        model.origin = source
        return model.to(target)

    def hear(self, frames: Frames, sound: Windows, decoding: FileDecoding | None = None) -> HeardClip:
        alone = self.modalities if decoding is None else decoding.modalities
        return HeardClip.of(None if alone == "a" else self.prepare(frames), sound)

    def encode_clips(self, clips: Sequence[torch.Tensor | HeardClip]) -> Memory:
        """Encode clips of any lengths, frames [T,3,H,W] each or with their sound; either all have frames or none."""
        with torch.no_grad():
            return self.encode(**encoder_input(clips))

    # As a captioner

    def sound_of(self, decoding: FileDecoding) -> SoundPreprocess | None:
        if not self.config.hears:
            return super().sound_of(decoding)
        return None if decoding.modalities == "v" else self.config.sound_preprocess

    def caption_clips(self, clips: Sequence[torch.Tensor | HeardClip], decoding: FileDecoding) -> list[str]:
        warn_of_toy(self.toy_notice)
        options = decoding.generate_options()
        return self.describe(self.encode_clips(clips), prompt=decoding.prompt, finish=decoding.finish, **options)

    @property
    def toy_notice(self) -> str:
        name = "this model" if self.origin is None else self.origin.public_name or self.origin.source
        return toy_notice(name, self.config)

    def answer(
        self,
        files: str | Path | Sequence[str | Path],
        questions: str | Sequence[str],
        *,
        num_frames: int | None = None,
        batch_size: int = 8,
        max_new_tokens: int = ANSWER_TOKENS,
        modalities: str | None = None,
        beams: int = 1,
    ) -> str | list[str]:
        """Answer a question about each file, or one about all of them, greedily and from all words.

        A file and a question give one answer; several of either give a list. A file's sound is used where it has some,
        unless `modalities` names "v", or "a": sound alone.
        """
        named = [files] if isinstance(files, str | Path) else list(files)
        asked = [questions] if isinstance(questions, str) else list(questions)
        rows = max(len(named), len(asked))
        if not {len(named), len(asked)} <= {1, rows}:
            raise InputError(f"{len(asked)} questions about {len(named)} files: give one for each, or one of either")
        if not rows:
            return []
        self.questions(asked)  # refused before a file is read, where one has no words
        decoding = FileDecoding(
            beams=beams, max_new_tokens=max_new_tokens, num_frames=num_frames, batch_size=batch_size,
            modalities=modalities,
        )  # fmt: skip
        self.sound_of(decoding)
        answers: list[str] = []
        asked *= rows // len(asked)
        if len(named) == 1:
            answers = self.answer_clip(self.take_file(named[0], decoding).seen, asked, decoding)
        else:
            warn_of_toy(self.toy_notice, stacklevel=3)
            options = decoding.generate_options()
            clips = (self.take_file(file, decoding).seen for file in named)
            for part, batch in zip(batched(clips, batch_size), batched(asked, batch_size), strict=True):
                answers += self.answers(self.encode_clips(part), batch, **options)
        return answers[0] if isinstance(files, str | Path) and isinstance(questions, str) else answers

    def answer_clip(
        self, clip: torch.Tensor | HeardClip, questions: Sequence[str], decoding: FileDecoding
    ) -> list[str]:
        warn_of_toy(self.toy_notice)
        memory, options = self.encode_clips([clip]), decoding.generate_options()
        answers = []
        for some in batched(questions, decoding.batch_size):
            answers += self.answers(memory[torch.zeros(len(some), dtype=torch.long)], some, **options)
        return answers

    # As a retriever

    @property
    def identity(self) -> str:
        weights, encoders = fingerprint(self.state_dict().items()), (each.fingerprint for each in self.encoders)
        return self.identity_of(self.config.text.tokenizer, weights, *encoders)

    @property
    def compares_vectors(self) -> bool:
        return False

    def require_ears(self, modalities: str) -> None:
        if modalities == "a" and not self.config.hears:
            raise InputError(f"{DEAF}: modalities is {modalities!r}; leave it out")

    def embed_clips(self, clips: Sequence[torch.Tensor | HeardClip]) -> torch.Tensor:
        if not clips:
            return torch.zeros(0, self.dim)
        with torch.no_grad():
            return self.embed_memory(self._memory(clips)).pooled.float().cpu()

    @torch.no_grad()
    def similarity(
        self,
        texts: Sequence[str],
        files: Sequence[str | Path],
        *,
        num_frames: int | None = None,
        batch_size: int = 8,
    ) -> torch.Tensor:
        """Return how similar each text is to each file [A,B], by the similarity that was learned."""
        if not texts or not files:
            return torch.zeros(len(texts), len(files))
        asked = self.embed_texts(texts)
        clips = (self.decode(file, num_frames=num_frames) for file in files)
        parts = [self.score(asked, self.embed_media(self._memory(part))) for part in batched(clips, batch_size)]
        return torch.cat(parts, dim=1).float().cpu()

    def _memory(self, clips: Sequence[torch.Tensor | HeardClip]) -> Memory:
        memory = self.encode_clips(clips)
        return memory if self.modalities == "av" else memory.only(self.modalities)


def _load_bert(
    source: str | Path, *, fusion: str, pretrained: bool, seed: int, access: Mapping[str, Any]
) -> tuple[BertLMHeadModel, PreTrainedTokenizerBase, Backbone]:
    """Load a BERT with its head of language modelling and new cross-attention, or make one of the same sizes."""
    options: dict[str, Any] = {"local_files_only": False, "token": None, **access}
    path = find_file(source, CONFIG_FILE, **options)
    document = read_json(path)
    if document.get("model_type") != "bert":
        raise ConfigError(f"{source} is a {document.get('model_type')!r}, and VALOR's text is a BERT: name one")
    options["revision"] = pin_revision(source, path, options["revision"])
    tokenizer = load_tokenizer(source, options)
    config = bert_config(_sizes(document), fusion=fusion)
    with seeded(seed):
        lm = _read_bert(source, config, options) if pretrained else BertLMHeadModel(config)
    stored = fingerprint((name, each) for name, each in lm.named_parameters() if "crossattention" not in name)
    origin = Backbone(
        source=str(source),
        revision=options["revision"],
        fingerprint=stored if pretrained else "",
        tokenizer=tokenizer_hash(tokenizer),
        kind="bert",
    )
    return lm, tokenizer, origin


def _read_bert(source: str | Path, config: Any, options: Mapping[str, Any]) -> BertLMHeadModel:
    given = {**transformers_access(source, options), "dtype": torch.float32, "output_loading_info": True}
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would list the cross-attention, which no BERT has
    try:
        with without_loading_bars():
            lm, info = BertLMHeadModel.from_pretrained(resolve_source(source), config=config, **given)
    except Exception as error:  # transformers meets damaged files with errors of every kind
        raise CheckpointError(
            f"the BERT in {source} could not be loaded: {transformers_reason(error)}; pretrained: false makes a new one"
        ) from error
    finally:
        logging.set_verbosity(level)
    absent = sorted(str(name) for name in info["missing_keys"] if "crossattention" not in str(name))
    if absent or info["mismatched_keys"]:
        raise CheckpointError(f"the weights in {source} lack {', '.join(absent[:4]) or info['mismatched_keys']}")
    return lm


def _sizes(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in BERT_SIZES if name in document}
