from __future__ import annotations

import json

import pytest

from pseudocap.errors import ConfigError
from pseudocap.model.config import Backbone, GateSchedule, PseudoCapConfig, default_adapter_layers
from pseudocap.types import Preprocess


def make(**settings: object) -> PseudoCapConfig:
    values = {
        "decoder": Backbone(source="d"),
        "encoder": Backbone(source="e"),
        "adapter_layers": (1, 3),
        **settings,
    }
    return PseudoCapConfig(**values)


def test_a_config_survives_json() -> None:
    config = make(fusion="convex", gate_schedule=GateSchedule(end=1.5), preprocess=Preprocess(size=32, frames=96))
    assert PseudoCapConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_default_layers_are_every_second_of_the_upper_half() -> None:
    assert default_adapter_layers(24) == (12, 14, 16, 18, 20, 22)


def test_the_gate_starts_where_each_fusion_wants_it() -> None:
    assert make().gate_init == 1.0
    assert make(fusion="convex").gate_init == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "concave"}, "fusion must be one of residual, convex, not 'concave'"),
        ({"gate": "matrix"}, "gate must be one of vector, scalar"),
        ({"gate_init": float("nan")}, "gate_init must be a finite number"),
        ({"adapter_layers": ()}, "at least one whole number"),
        ({"adapter_layers": (3, 1)}, "must ascend"),
        ({"adapter_layers": (1, 1)}, "must ascend"),
        ({"adapter_layers": (-1,)}, "must ascend from 0"),
        ({"adapter_layers": (1.5,)}, "at least one whole number"),
        ({"gate_schedule": GateSchedule(end=1.0)}, "belongs to fusion='convex'"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_a_negative_gate_rate_and_a_zero_deviation_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"gate_schedule.rate must not be negative"):
        GateSchedule(rate=-1.0)
    with pytest.raises(ConfigError, match=r"preprocess.std divides"):
        Preprocess(std=(0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusoin": "convex"}, r"unknown field fusoin \(did you mean 'fusion'\?\)"),
        ({"preprocess": {"sise": 3}}, r"unknown field preprocess.sise \(did you mean 'size'\?\)"),
        ({"decoder": {"revision": "x"}}, r"the field decoder.source is missing"),
        ({"encoder": 3}, "encoder must be a mapping"),
        ({"format": 99}, "format 99 is not 1"),
        ({"model_type": "opt"}, "model_type is 'opt', not 'pseudocap'"),
    ],
)
def test_a_damaged_document_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PseudoCapConfig.from_dict({**make().to_dict(), **change})
