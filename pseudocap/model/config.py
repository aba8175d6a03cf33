"""What a PseudoCap is made of, as one value that is checked at birth and stored beside the weights."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pseudocap.errors import ConfigError, nearest
from pseudocap.types import Preprocess

FUSIONS = ("residual", "convex")
SEPARABLE, FULL = "separable", "full"
RESAMPLER = "resampler"  # also its place among the adapters, with which it is learned and stored
ATTENTIONS = (SEPARABLE, FULL, RESAMPLER)
GATES = ("vector", "scalar")
FORMAT = 1
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """A frozen network, named so exactly that another training of it is not taken for it.

    `fingerprint` is a sha256 over samples of every stored tensor and `tokenizer` a hash of what the tokenizer does;
    both are empty only before the backbone has been loaded for the first time.
    """

    source: str
    revision: str | None = None
    fingerprint: str = ""
    tokenizer: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source:
            raise ConfigError(f"a backbone's source must be a directory or a repo's name, not {self.source!r}")
        for name in ("fingerprint", "tokenizer"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"a backbone's {name} must be a hash as text, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSchedule:
    """The push on convex gates over the optimiser's steps t: eta = start + (end - start)(1 - exp(-rate t)).

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
        """Equation 12 at an optimiser step."""
        return self.start + (self.end - self.start) * -math.expm1(-self.rate * step)


@dataclass(frozen=True, kw_only=True, slots=True)
class PseudoCapConfig:
    """The whole recipe of a captioner except the numbers in its weights.

    `gate_init` is the value inside tanh for the residual fusion (1.0 unless given; 0.0 leaves plain OPT) and the
    start of theta for the convex one (0.0 unless given). Configs from before there was a choice of `attention` have no
    such field, and mean the separable one.
    """

    decoder: Backbone
    encoder: Backbone
    adapter_layers: tuple[int, ...]
    attention: str = SEPARABLE
    fusion: str = "residual"
    gate: str = "vector"
    gate_init: float | None = None
    gate_schedule: GateSchedule = field(default_factory=GateSchedule)
    preprocess: Preprocess = field(default_factory=Preprocess)

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            offer = nearest(str(self.attention), ATTENTIONS)
            raise ConfigError(f"attention must be one of {', '.join(ATTENTIONS)}, not {self.attention!r}{offer}")
        if self.fusion not in FUSIONS:
            offer = nearest(str(self.fusion), FUSIONS)
            raise ConfigError(f"fusion must be one of {', '.join(FUSIONS)}, not {self.fusion!r}{offer}")
        if not isinstance(self.gate_schedule, GateSchedule):
            raise ConfigError(f"gate_schedule must be a GateSchedule, not {self.gate_schedule!r}")
        if self.gate not in GATES:
            raise ConfigError(f"gate must be one of {', '.join(GATES)}, not {self.gate!r}")
        if self.gate_init is None:
            object.__setattr__(self, "gate_init", 1.0 if self.fusion == "residual" else 0.0)
        _require_number("gate_init", self.gate_init)
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

    @property
    def needs_patches(self) -> bool:
        """Whether memories must hold the patch vectors beside the pooled ones."""
        return self.attention != SEPARABLE

    def to_dict(self) -> dict[str, Any]:
        """The separable attention is not written, so that versions without a choice read it."""
        fields = dataclasses.asdict(self)
        if self.attention == SEPARABLE:
            del fields["attention"]
        return {"model_type": "pseudocap", "format": FORMAT, **fields}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PseudoCapConfig:
        """Read what `to_dict` wrote; an unknown or missing field is an error that names it."""
        if document.get("model_type") != "pseudocap":
            raise ConfigError(f"model_type is {document.get('model_type')!r}, not 'pseudocap'")
        if document.get("format") != FORMAT:
            raise ConfigError(
                f"format {document.get('format')!r} is not {FORMAT}, the only one this version of pseudocap reads"
            )
        values = {key: value for key, value in document.items() if key not in ("model_type", "format")}
        for name, kind in NESTED.items():
            if name in values:
                values[name] = _build(kind, values[name], where=f"{name}.")
        return _build(cls, values, where="")


NESTED = {"decoder": Backbone, "encoder": Backbone, "gate_schedule": GateSchedule, "preprocess": Preprocess}


def default_adapter_layers(layers: int) -> tuple[int, ...]:
    """Before every second layer of the upper half: 12, 14, ... 22 of 24."""
    return tuple(range(layers // 2, layers, 2))


def _build(kind: type[Kind], values: object, *, where: str) -> Kind:
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
