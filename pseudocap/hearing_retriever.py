"""Define what our retrievers of sight and sound share: how they take files, embed texts, and are saved."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from pseudocap.audio.clips import ClipSounds
from pseudocap.decoding import check_frames
from pseudocap.errors import ConfigError, InputError
from pseudocap.file_retriever import FileRetriever
from pseudocap.heard_clips import HeardClip
from pseudocap.hub.fetch import CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE, Fetched
from pseudocap.memory import GROUPS, Axis
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.retrieval import Embedded
from pseudocap.model.retrieval_config import RetrieverConfig
from pseudocap.model.text_towers import require_words
from pseudocap.model.valor_config import ValorConfig
from pseudocap.model.weights import in_8_bits, write_checkpoint
from pseudocap.types import MAX_FRAMES, Preprocess, SoundPreprocess
from pseudocap.version import __version__
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import batched
from pseudocap.video.transforms import eval_tensor

Config = TypeVar("Config", RetrieverConfig, ValorConfig)
TEXTS = 256  # that a language model reads at a time


class HearingRetriever(nn.Module, FileRetriever[torch.Tensor | HeardClip], Generic[Config]):
    """Embed texts and files with a network that stands before this class among the bases: it has the config, the
    encoder, and what embeds texts. Clips are known by sight and sound, or by one of both (`listen_to`)."""

    config: Config
    encoder: Encoder
    origin: Fetched | None = None  # of from_pretrained: where the checkpoint came from
    modalities = "av"  # see listen_to

    @abstractmethod
    def read(self, texts: Sequence[str]) -> Axis:
        """Return the states of texts, which `embed_states` embeds."""

    @abstractmethod
    def embed_states(self, states: Axis) -> Embedded:
        """Embed the states of texts."""

    @abstractmethod
    def require_ears(self, modalities: str) -> None:
        """Raise InputError where clips cannot be embedded by these modalities, for there is no encoder of sound."""

    def save_pretrained(
        self, path: str | Path, *, results: Mapping[str, Any] | None = None, int8: bool = False
    ) -> None:
        """Save what learned, the config, and what is known of them (`results`: scores, data, regime). `int8` stores
        each weight in a byte, which loads as float32 again."""
        known = {**(results or {}), "pseudocap": __version__}
        write_checkpoint(
            Path(path),
            weights=WEIGHTS_FILE,
            tensors=in_8_bits(self.state_dict()) if int8 else self.state_dict(),
            config=CONFIG_FILE,
            document=self.config.to_dict(),
            beside={RESULTS_FILE: json.dumps(known, indent=2, ensure_ascii=False) + "\n"},
        )

    def set_preprocess(self, preprocess: Preprocess) -> None:
        """Change the frames that the model takes and that `save_pretrained` records."""
        self.encoder.check_size(preprocess.size)
        if preprocess.frames > MAX_FRAMES:
            raise ConfigError(f"num_frames must be 1 to {MAX_FRAMES}, not {preprocess.frames}")
        self.config = replace(self.config, preprocess=preprocess)

    def identity_of(self, *parts: str) -> str:
        """Hash the config, wherever the backbones lie, the modalities of clips, and what else vectors depend on."""
        fields = {**self.config.to_dict(), "text": None, "encoders": None}
        fields |= {} if self.modalities == "av" else {"modalities": self.modalities}
        return hashlib.sha256("\n".join((json.dumps(fields, sort_keys=True), *parts)).encode()).hexdigest()

    @property
    def dim(self) -> int:
        return self.config.dim

    @property
    def crop(self) -> Preprocess:
        return self.config.preprocess

    @property
    def sound(self) -> SoundPreprocess | None:
        return None if self.modalities == "v" else self.config.sound_preprocess

    def frames_of(self, num_frames: int | None) -> int:
        check_frames(num_frames)
        return self.config.preprocess.frames if num_frames is None else num_frames

    def prepare(self, frames: Frames) -> torch.Tensor:
        """Return the clip [T,3,H,W], normalised."""
        return eval_tensor(frames.pixels, self.config.preprocess)

    def listen_to(self, modalities: str) -> None:
        """Embed clips from now on by sight and sound, as far as there is some ("av"), by sight ("v") or sound ("a")."""
        if modalities not in GROUPS:
            raise InputError(f"modalities must be one of {', '.join(GROUPS)}, not {modalities!r}")
        self.require_ears(modalities)
        self.modalities = modalities

    def decode(
        self, file: str | Path, *, num_frames: int | None = None, start: float = 0.0, end: float | None = None
    ) -> torch.Tensor | HeardClip:
        """Decode a file, or these seconds of it. Sound alone needs no pictures; NoSoundError where there is none."""
        if self.modalities != "a":
            return super().decode(file, num_frames=num_frames, start=start, end=end)
        assert self.config.sound_preprocess is not None, "it hears"
        with ClipSounds(file, self.config.sound_preprocess) as sounds:
            heard = sounds.of(start, sounds.duration if end is None else end, alone=True)
        assert heard is not None, "alone"
        return HeardClip.of(None, heard)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        return self.embed_texts(texts).pooled.float().cpu() if texts else torch.zeros(0, self.dim)

    def embed_texts(self, texts: Sequence[str]) -> Embedded:
        """Embed texts by all of their vectors, as `score` compares them."""
        require_words(texts)
        return Embedded.joined([self.embed_states(self.read(batch)) for batch in batched(texts, TEXTS)])
