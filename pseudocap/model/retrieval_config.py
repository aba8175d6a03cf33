"""Describe what a retriever is made of, as one value that is checked at birth and stored beside the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pseudocap.errors import ConfigError, nearest
from pseudocap.memory import AXES, SIGHT
from pseudocap.model.config import AUDIO, VIDEO, Backbone, build_config, checked_encoders
from pseudocap.types import Preprocess, SoundPreprocess

MODEL_TYPE = "pseudocap-retriever"
FORMAT = 1
DOT, FINE = "dot", "fine"
SIMILARITIES = (DOT, FINE)
POOLED, BOTTLENECK = "pooled", "bottleneck"
MEDIA = (POOLED, BOTTLENECK)
POSITIVE = ("dim", "width", "heads", "max_tokens", "clips", "bottlenecks")
NOT_NEGATIVE = ("text_layers", "media_layers", "fusion_layer", "text_frozen_below")
OPTIONAL = ("text_output", "text_frozen_below", "space_grid")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrieverConfig:
    """Hold the complete recipe of a retriever except the numbers in its weights.

    Args:
        text: the language model that reads texts
        encoders: the frozen encoders of films, by modality
        preprocess: the frames of a clip
        axes: of the memory that the media tower reads
        dim: of a vector
        width: that the towers compute in
        heads: of the towers' attention
        text_layers: of the tower over the language model's states; 0 projects [CLS] (of a decoder its last state)
        media_layers: of the tower over a memory; 0 projects the mean of its vectors
        dropout: in the towers, while they learn
        max_tokens: of a text, which is cut there
        text_output: the language model's layer whose states are read; null is the last
        text_beside: lower layers whose states are read beside those, at one scale; 0 is the embeddings
        text_frozen_below: the language model learns from this layer on, 0 is all of it; null is frozen
        similarity: dot, of one vector each, or fine, of every vector with every other
        clips: of a file, equally spaced, whose similarities are averaged
        temperature: that similarities are divided by in losses
        learn_temperature: whether it learns too
        media: what the media tower reads: pooled, the memory's axes; or bottleneck, every patch of every frame (of
            `pseudocap encode --patches`), and sound through bottleneck tokens
        space_grid: pooled: the patches' vectors come as the means of so many by so many blocks; null is each by itself
        means: whether the mean of what a tower reads is projected too, and added to its output
        bottlenecks: tokens that sight and sound share
        fusion_layer: of the media tower's layers, from 0, the first that shares them
        cross: whether the losses have a layer that joins a text and a clip
        sound_preprocess: the sound of a clip, of a retriever that hears
    """

    text: Backbone
    encoders: Mapping[str, Backbone]
    preprocess: Preprocess = field(default_factory=Preprocess)
    axes: tuple[str, ...] = SIGHT
    dim: int = 256
    width: int = 256
    heads: int = 4
    text_layers: int = 2
    media_layers: int = 2
    dropout: float = 0.1
    max_tokens: int = 32
    text_output: int | None = None
    text_beside: tuple[int, ...] = ()
    text_frozen_below: int | None = None
    similarity: str = DOT
    clips: int = 1
    temperature: float = 0.05
    learn_temperature: bool = False
    cross: bool = False
    media: str = POOLED
    space_grid: int | None = None
    means: bool = False
    bottlenecks: int = 4
    fusion_layer: int = 0
    sound_preprocess: SoundPreprocess | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoders", checked_encoders(self.encoders))
        object.__setattr__(self, "axes", tuple(self.axes))
        object.__setattr__(self, "text_beside", tuple(self.text_beside))
        if not self.axes or self.axes != tuple(axis for axis in AXES if axis in self.axes):
            raise ConfigError(f"axes must be some of {', '.join(AXES)}, in this order, not {self.axes!r}")
        for name in (*POSITIVE, *NOT_NEGATIVE, *OPTIONAL):
            least, value = int(name not in NOT_NEGATIVE), getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number from {least} on, not {value!r}")
        if self.width % self.heads or (self.cross and self.dim % self.heads):
            raise ConfigError(f"width and dim must be multiples of heads, not {self.width}, {self.dim}, {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be from 0 to below 1, not {self.dropout!r}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"temperature must be above 0, not {self.temperature!r}")
        for name, options in (("similarity", SIMILARITIES), ("media", MEDIA)):
            if (value := getattr(self, name)) not in options:
                offer = nearest(str(value), options)
                raise ConfigError(f"{name} must be one of {', '.join(options)}, not {value!r}{offer}")
        self._check_media()

    def _check_media(self) -> None:
        if any(isinstance(layer, bool) or not isinstance(layer, int) for layer in self.text_beside):
            raise ConfigError(f"text_beside must be layers' numbers, not {list(self.text_beside)!r}")
        if self.means and self.similarity != DOT:
            raise ConfigError(f"means add to the one vector of similarity {DOT}; {FINE} has several")
        if self.media == BOTTLENECK and self.similarity != DOT:
            raise ConfigError(f"media: bottleneck gives one vector of a clip, for similarity dot and not {FINE}")

    @property
    def encoder(self) -> Backbone:
        return self.encoders[VIDEO]

    @property
    def needs_patches(self) -> bool:
        """Return whether memories must hold the patch vectors beside the pooled ones."""
        return self.media == BOTTLENECK

    @property
    def backbones(self) -> dict[str, Backbone]:
        """Return every network that was loaded, by the option that names it."""
        heard = {"audio_encoder": self.encoders[AUDIO]} if AUDIO in self.encoders else {}
        return {"text": self.text, "encoder": self.encoder, **heard}

    def with_backbones(self, **changed: Backbone) -> RetrieverConfig:
        """Return the same config with some of its `backbones` replaced, by their names there."""
        found = {**self.backbones, **changed}
        encoders = {VIDEO: found["encoder"]} | ({AUDIO: found["audio_encoder"]} if AUDIO in self.encoders else {})
        return dataclasses.replace(self, text=found["text"], encoders=encoders)

    def to_dict(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        if self.sound_preprocess is None:
            del fields["sound_preprocess"]  # which earlier versions do not know
        return {"model_type": MODEL_TYPE, "format": FORMAT, **fields}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> RetrieverConfig:
        """Read what `to_dict` wrote; an unknown or missing field is an error that names it."""
        if document.get("model_type") != MODEL_TYPE:
            raise ConfigError(f"model_type is {document.get('model_type')!r}, not {MODEL_TYPE!r}")
        if (written := document.get("format")) != FORMAT:
            raise ConfigError(f"format {written!r} is none that this version of pseudocap reads, {FORMAT}")
        values = {key: value for key, value in document.items() if key not in ("model_type", "format")}
        nested = {"text": Backbone, "preprocess": Preprocess, "sound_preprocess": SoundPreprocess}
        return build_config(cls, values, nested)
