"""Describe what a VALOR is made of, as one value that is checked at birth and stored beside the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pseudocap.errors import ConfigError, nearest
from pseudocap.memory import AXES, SIGHT, SOUND
from pseudocap.model.config import AUDIO, VIDEO, Backbone, build_config, checked_encoders
from pseudocap.types import Preprocess, SoundPreprocess

MODEL_TYPE = "pseudocap-valor"
FORMAT = 1
CONCATENATED, PARALLEL, AUDIO_VISUAL, VISUAL_AUDIO, MERGED = FUSIONS = (
    *("concatenated", "parallel", "audio-visual", "visual-audio", "merge"),
)
PATCHES, POOLED = SIGHTS = ("patches", "pooled")
WINDOWS, MOMENTS = SOUNDS = ("windows", "moments")
FINE, COARSE = ALIGNMENTS = ("fine", "coarse")
FEATURES, SCORES = JOININGS = ("features", "scores")
MLP, LINEAR, EQUAL = WEIGHTINGS = ("mlp", "linear", "equal")
CHOICES = {
    "fusion": FUSIONS,
    "sight": SIGHTS,
    "sound": SOUNDS,
    "alignment": ALIGNMENTS,
    "joining": JOININGS,
    "weighting": WEIGHTINGS,
}
SWITCHES = ("share_weights", "media_norm", "learn_encoders")


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorConfig:
    """Hold the complete recipe of a VALOR except the numbers in its weights.

    Args:
        text: the BERT that it began from, whose tokenizer it keeps; its weights learn, and are those of the checkpoint
        bert: the sizes of that BERT, as its config.json has them
        encoders: of sight and, where it hears, of sound, by modality
        preprocess: the frames of a clip
        axes: of the memory that are read
        dim: C, of the vectors that are aligned
        max_tokens: of a text with [CLS] and [SEP], which is cut there
        fusion: how the decoder attends to sight and sound (table 11): concatenated, parallel, audio-visual,
            visual-audio, or merge
        share_weights: whether the text encoder and the decoder are one BERT, but for the cross-attention
        sight: what the decoder sees: patches, every patch of every frame (VALOR); or pooled, the axes time and space
        sound: what texts are aligned with: windows of sound, each the mean of its vectors (VALOR); or moments, each
        alignment: fine, every token with every frame and window; or coarse, one vector of each (table 10)
        joining: of sight and sound for the alignment: features, side by side; or scores, which are added
        weighting: of vectors in a fine similarity: mlp, as the released code has it; linear, as the paper prints; equal
        media_norm: whether an encoder's vectors are normalised before they are projected, which is ours
        learn_encoders: whether the encoders learn too, end to end, and are saved
        temperature: that similarities are divided by in losses at the start; it learns
        sound_preprocess: the sound of a clip, of one that hears
    """

    text: Backbone
    bert: Mapping[str, Any]
    encoders: Mapping[str, Backbone]
    preprocess: Preprocess = field(default_factory=Preprocess)
    axes: tuple[str, ...] = SIGHT
    dim: int = 512
    max_tokens: int = 40
    fusion: str = CONCATENATED
    share_weights: bool = True
    sight: str = PATCHES
    sound: str = WINDOWS
    alignment: str = FINE
    joining: str = FEATURES
    weighting: str = MLP
    media_norm: bool = True
    learn_encoders: bool = False
    temperature: float = 0.07
    sound_preprocess: SoundPreprocess | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoders", checked_encoders(self.encoders))
        object.__setattr__(self, "axes", tuple(self.axes))
        if not {*SIGHT} <= {*self.axes} or self.axes != tuple(axis for axis in AXES if axis in self.axes):
            raise ConfigError(f"axes must be {', '.join(SIGHT)} and those of sound, in this order, not {self.axes!r}")
        for name, options in CHOICES.items():
            if (value := getattr(self, name)) not in options:
                offer = nearest(str(value), options)
                raise ConfigError(f"{name} must be one of {', '.join(options)}, not {value!r}{offer}")
        for name in ("dim", "max_tokens"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < (3 if name == "max_tokens" else 1):
                raise ConfigError(f"{name} must be a whole number above 0 (max_tokens: 3 or more), not {value!r}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if not (isinstance(self.temperature, int | float) and math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"temperature must be above 0, not {self.temperature!r}")
        if not isinstance(self.bert, Mapping):
            raise ConfigError(f"bert must be the fields of a BERT's config.json, not {self.bert!r}")
        positions = self.bert.get("max_position_embeddings")
        if isinstance(positions, int) and self.max_tokens >= positions:
            raise ConfigError(f"max_tokens is {self.max_tokens}, and {self.text.source} has {positions} positions, one "
                              "of which is for the [MASK] that is written next")  # fmt: skip

    @property
    def encoder(self) -> Backbone:
        return self.encoders[VIDEO]

    @property
    def hears(self) -> bool:
        return not {*SOUND}.isdisjoint(self.axes)

    @property
    def needs_patches(self) -> bool:
        """Return whether memories must hold the patch vectors beside the pooled ones."""
        return self.sight == PATCHES

    @property
    def backbones(self) -> dict[str, Backbone]:
        """Return every network that was loaded, by the option that names it."""
        heard = {"audio_encoder": self.encoders[AUDIO]} if AUDIO in self.encoders else {}
        return {"text": self.text, "encoder": self.encoder, **heard}

    def with_backbones(self, **changed: Backbone) -> ValorConfig:
        """Return the same config with some of its `backbones` replaced, by their names there."""
        found = {**self.backbones, **changed}
        encoders = {VIDEO: found["encoder"]} | ({AUDIO: found["audio_encoder"]} if AUDIO in self.encoders else {})
        return dataclasses.replace(self, text=found["text"], encoders=encoders)

    def to_dict(self) -> dict[str, Any]:
        return {"model_type": MODEL_TYPE, "format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ValorConfig:
        """Read what `to_dict` wrote; an unknown or missing field is an error that names it."""
        if document.get("model_type") != MODEL_TYPE:
            raise ConfigError(f"model_type is {document.get('model_type')!r}, not {MODEL_TYPE!r}")
        if (written := document.get("format")) != FORMAT:
            raise ConfigError(f"format {written!r} is none that this version of pseudocap reads, {FORMAT}")
        values = {key: value for key, value in document.items() if key not in ("model_type", "format")}
        nested: dict[str, type[Any]] = {"text": Backbone, "preprocess": Preprocess}
        if values.get("sound_preprocess") is not None:
            nested["sound_preprocess"] = SoundPreprocess
        return build_config(cls, values, nested)
