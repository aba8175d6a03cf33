"""Describe what a PseudoCap is made of, as one value that is checked at birth and stored beside the weights."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pseudocap.errors import ConfigError, nearest
from pseudocap.languages import language_facts, prompt_in
from pseudocap.memory import AXES, SIGHT, SOUND
from pseudocap.types import Preprocess, SoundPreprocess

FUSIONS = ("residual", "convex")
SEPARABLE, FULL = "separable", "full"
RESAMPLER = "resampler"  # also its key among the adapters, with which it is learned and stored
CONTEXT = "context"  # likewise: model/context.py
ATTENTIONS = (SEPARABLE, FULL, RESAMPLER, CONTEXT)
GATES = ("vector", "scalar")
VIDEO, AUDIO = MODALITIES = ("video", "audio")  # that a captioner may have an encoder of
FORMAT = 2  # format 1 had one encoder, of video
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """Name a frozen network so exactly that another training of it is not taken for it.

    `fingerprint` is a sha256 over samples of every stored tensor and `tokenizer` a hash of what the tokenizer does;
    both are empty only before the backbone has been loaded for the first time. `kind` names the family to load it as,
    None where its own config.json says which.
    """

    source: str
    revision: str | None = None
    fingerprint: str = ""
    tokenizer: str = ""
    kind: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source:
            raise ConfigError(f"a backbone's source must be a directory or a repo's name, not {self.source!r}")
        if not isinstance(self.kind, str | None):
            raise ConfigError(f"a backbone's kind must be the name of a family, not {self.kind!r}")
        for name in ("fingerprint", "tokenizer"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"a backbone's {name} must be a hash as text, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSchedule:
    """Schedule the push on convex gates over the optimiser's steps t: eta = start + (end - start)(1 - exp(-rate t)).

    The papers give no values. At our default of 0 and 0 the gate is sigmoid(theta), 0.5 at first, as their equation 4
    says. `learned=False` freezes theta, which leaves the printed equation 12.
    """

    start: float = 0.0
    end: float = 0.0
    rate: float = 1e-3
    learned: bool = True

    def __post_init__(self) -> None:
        for name in ("start", "end", "rate"):
            _require_number(f"gate_schedule.{name}", getattr(self, name))
        if self.rate < 0:
            raise ConfigError(f"gate_schedule.rate must not be negative, not {self.rate}")

    def eta(self, step: int) -> float:
        """Compute equation 12 at an optimiser step."""
        return self.start + (self.end - self.start) * -math.expm1(-self.rate * step)


@dataclass(frozen=True, kw_only=True, slots=True)
class PseudoCapConfig:
    """Hold the complete recipe of a captioner except the numbers in its weights.

    `gate_init` is the value inside tanh for the residual fusion (1.0 unless given; 0.0 leaves plain OPT) and the
    start of theta for the convex one (0.0 unless given). `axes` are those of the memory that the adapters attend to;
    `adapter_width` is the width that they attend in, None the decoder's own. `sound_preprocess` is of a captioner that
    hears; `languages` are those that it has learned to be asked for. With attention `context` there are no adapters,
    and `adapter_layers` mean nothing. `learn_decoder` trains and saves the language model too. Fields at their defaults
    may be absent from a stored config, and then mean those.
    """

    decoder: Backbone
    encoders: Mapping[str, Backbone]  # by modality
    adapter_layers: tuple[int, ...]
    attention: str = SEPARABLE
    fusion: str = "residual"
    gate: str = "vector"
    gate_init: float | None = None
    gate_schedule: GateSchedule = field(default_factory=GateSchedule)
    preprocess: Preprocess = field(default_factory=Preprocess)
    axes: tuple[str, ...] = SIGHT
    adapter_width: int | None = None
    learn_decoder: bool = False
    sound_preprocess: SoundPreprocess | None = None
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoders", checked_encoders(self.encoders))
        self._check_languages()
        self._check_axes()
        for name, options in (("attention", ATTENTIONS), ("fusion", FUSIONS), ("gate", GATES)):
            if (value := getattr(self, name)) not in options:
                offer = nearest(str(value), options)
                raise ConfigError(f"{name} must be one of {', '.join(options)}, not {value!r}{offer}")
        if not isinstance(self.gate_schedule, GateSchedule):
            raise ConfigError(f"gate_schedule must be a GateSchedule, not {self.gate_schedule!r}")
        if self.gate_init is None:
            object.__setattr__(self, "gate_init", 1.0 if self.fusion == "residual" else 0.0)
        _require_number("gate_init", self.gate_init)
        if not isinstance(self.learn_decoder, bool):
            raise ConfigError(f"learn_decoder must be true or false, not {self.learn_decoder!r}")
        if self.fusion == "residual" and self.gate_schedule != GateSchedule():
            raise ConfigError("gate_schedule belongs to fusion='convex'; the residual fusion has no schedule")
        if not isinstance(self.adapter_layers, list | tuple):
            raise ConfigError(f"adapter_layers must be a list of whole numbers, not {self.adapter_layers!r}")
        layers = tuple(layer.__index__() if hasattr(layer, "__index__") else layer for layer in self.adapter_layers)
        object.__setattr__(self, "adapter_layers", layers)
        if not layers or any(isinstance(layer, bool) or not isinstance(layer, int) for layer in layers):
            raise ConfigError(f"adapter_layers must be at least one whole number, not {layers!r}")
        if layers[0] < 0 or any(later <= earlier for earlier, later in itertools.pairwise(layers)):
            raise ConfigError(f"adapter_layers must ascend from 0 or more without repeats, not {layers!r}")

    def _check_languages(self) -> None:
        if not isinstance(self.languages, list | tuple):
            raise ConfigError(f"languages must be a list of codes such as en, not {self.languages!r}")
        object.__setattr__(self, "languages", tuple(language_facts(code).code for code in self.languages))

    def language_prompt(self, language: str) -> str:
        """Return what captions in a language continue; by default in the first that it has learned. ConfigError where
        it has not learned the language."""
        if language and language not in self.languages:
            has = f"it has learned {', '.join(self.languages)}" if self.languages else "it writes one language alone"
            raise ConfigError(f"this captioner has not learned to write {language!r}: {has} (docs/languages.md)")
        asked = language or next(iter(self.languages), "")
        return prompt_in(asked) if asked else ""

    def _check_axes(self) -> None:
        if not isinstance(self.axes, list | tuple) or not self.axes:
            raise ConfigError(f"axes must be a list of at least one of {', '.join(AXES)}, not {self.axes!r}")
        object.__setattr__(self, "axes", tuple(self.axes))
        for axis in self.axes:
            if axis not in AXES:
                raise ConfigError(f"axes must be of {', '.join(AXES)}, not {axis!r}{nearest(str(axis), AXES)}")
        if self.axes != tuple(axis for axis in AXES if axis in self.axes):
            raise ConfigError(f"axes must stand in the order {', '.join(AXES)} without repeats, not {self.axes!r}")
        width = self.adapter_width
        if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < 1):
            raise ConfigError(f"adapter_width must be a whole number above 0, or none for the decoder's, not {width!r}")

    @property
    def encoder(self) -> Backbone:
        return self.encoders[VIDEO]

    @property
    def backbones(self) -> dict[str, Backbone]:
        """Return every frozen network by the option that names it: decoder, encoder (of video), audio_encoder."""
        return {"decoder": self.decoder} | {_option(modality): each for modality, each in self.encoders.items()}

    def with_backbones(self, **changed: Backbone) -> PseudoCapConfig:
        """Return the same config with some of its `backbones` replaced, by their names there."""
        found = {**self.backbones, **changed}
        encoders = {modality: found[_option(modality)] for modality in self.encoders}
        return dataclasses.replace(self, decoder=found["decoder"], encoders=encoders)

    @property
    def hears(self) -> bool:
        """Return whether its adapters attend to sound."""
        return not {*SOUND}.isdisjoint(self.axes)

    def require_may_gain_sound(self) -> None:
        """Raise ConfigError where a captioner like this one cannot learn to hear, or does so already."""
        if self.attention != SEPARABLE:
            raise ConfigError(
                f"this captioner's attention is {self.attention!r}, which has no axes to add one to, and cannot gain "
                f"sound: start from one with attention {SEPARABLE!r}"
            )
        if self.hears:
            raise ConfigError("this captioner hears already, and cannot gain another audio encoder")

    def with_sound(self, audio: Backbone, axes: Iterable[str], preprocess: SoundPreprocess) -> PseudoCapConfig:
        """Return the same config with an encoder of sound and its axes."""
        return dataclasses.replace(
            self, encoders={**self.encoders, AUDIO: audio}, axes=(*self.axes, *axes), sound_preprocess=preprocess
        )

    @property
    def needs_patches(self) -> bool:
        """Return whether memories must hold the patch vectors beside the pooled ones."""
        return self.attention in (FULL, RESAMPLER)

    def to_dict(self) -> dict[str, Any]:
        """Omit later fields at their defaults, which are what configs without them mean."""
        fields = dataclasses.asdict(self)
        for name, default in LATER.items():
            if fields[name] == default:
                del fields[name]
        for backbone in (fields["decoder"], *fields["encoders"].values()):
            if backbone["kind"] is None:
                del backbone["kind"]
        return {"model_type": "pseudocap", "format": FORMAT, **fields}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PseudoCapConfig:
        """Read what `to_dict` wrote; an unknown or missing field is an error that names it."""
        if document.get("model_type") != "pseudocap":
            raise ConfigError(f"model_type is {document.get('model_type')!r}, not 'pseudocap'")
        if (written := document.get("format")) not in (1, FORMAT):
            raise ConfigError(
                f"format {written!r} is none of those that this version of pseudocap reads, 1 and {FORMAT}"
            )
        values = {key: value for key, value in document.items() if key not in ("model_type", "format")}
        if written == 1 and "encoder" in values:
            values["encoders"] = {VIDEO: values.pop("encoder")}
        return build_config(cls, values, NESTED)


NESTED = {
    "decoder": Backbone,
    "gate_schedule": GateSchedule,
    "preprocess": Preprocess,
    "sound_preprocess": SoundPreprocess,
}
LATER = {
    "attention": SEPARABLE,
    "axes": SIGHT,
    "adapter_width": None,
    "learn_decoder": False,
    "sound_preprocess": None,
    "languages": (),
}


def checked_encoders(given: object) -> dict[str, Backbone]:
    """Return encoders by modality, in the order of MODALITIES; one of video is needed."""
    if not isinstance(given, Mapping) or not all(isinstance(each, Backbone) for each in given.values()):
        raise ConfigError(f"encoders must name a Backbone for each modality, not {given!r}")
    for modality in given:
        if modality not in MODALITIES:
            offer = nearest(str(modality), MODALITIES)
            raise ConfigError(f"encoders are of {' or '.join(MODALITIES)}, not of {modality!r}{offer}")
    if VIDEO not in given:
        raise ConfigError("encoders must name one of video")
    return {each: given[each] for each in MODALITIES if each in given}


def _option(modality: str) -> str:
    return "encoder" if modality == VIDEO else f"{modality}_encoder"


def default_adapter_layers(layers: int) -> tuple[int, ...]:
    """Return every second layer of the upper half: 12, 14, ... 22 of 24."""
    return tuple(range(layers // 2, layers, 2))


def build_config(kind: type[Kind], values: Mapping[str, Any], nested: Mapping[str, type[Any]]) -> Kind:
    """Build a config from the fields of a document: `nested` ones of their own kinds, encoders by modality."""
    built = dict(values)
    for name, each in nested.items():
        if name in built:
            built[name] = build_fields(each, built[name], where=f"{name}.")
    if isinstance(encoders := built.get("encoders"), Mapping):
        built["encoders"] = {
            each: build_fields(Backbone, fields, where=f"encoders.{each}.") for each, fields in encoders.items()
        }
    return build_fields(kind, built, where="")


def build_fields(kind: type[Kind], values: object, *, where: str) -> Kind:
    """Build a dataclass from a document; an unknown or missing field is an error that names it."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where.removesuffix('.') or 'the config'} must be a mapping of fields, not {values!r}")
    known = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(f"unknown field {where}{name}{nearest(str(name), known)}")
    for name, each in known.items():
        no_default = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if no_default and name not in values:
            raise ConfigError(f"the field {where}{name} is missing")
    return kind(**values)


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, not {value!r}")
