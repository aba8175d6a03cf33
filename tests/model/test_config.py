from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.errors import ConfigError
from pseudocap.files.sources import SHIPPED
from pseudocap.model.config import Backbone, GateSchedule, PseudoCapConfig, default_adapter_layers
from pseudocap.types import Preprocess


def make(**settings: object) -> PseudoCapConfig:
    values = {
        "decoder": Backbone(source="d"),
        "encoders": {"video": Backbone(source="e")},
        "adapter_layers": (1, 3),
        **settings,
    }
    return PseudoCapConfig(**values)


def test_a_config_survives_json() -> None:
    config = make(fusion="convex", gate_schedule=GateSchedule(end=1.5), preprocess=Preprocess(size=32, frames=96))
    assert PseudoCapConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_of_several_encoders_axes_and_a_narrow_adapter_survives_json() -> None:
    config = make(
        encoders={"audio": Backbone(source="a", kind="frames"), "video": Backbone(source="v")},
        axes=("time", "space", "sound"),
        adapter_width=64,
    )
    again = PseudoCapConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert list(again.backbones) == ["decoder", "encoder", "audio_encoder"]
    assert again.encoder == Backbone(source="v")


def test_fields_that_came_later_are_not_written_at_their_defaults() -> None:
    document = make().to_dict()
    assert document["format"] == 2
    assert not {"axes", "adapter_width", "attention"} & document.keys()
    assert document["encoders"] == {"video": {"source": "e", "revision": None, "fingerprint": "", "tokenizer": ""}}


LATER = {
    path for name in ("toy-search", "toy-hears", "toy-valor") for path in SHIPPED.glob(f"{name}/*")
}  # than format 1
CAPTIONERS = sorted(set(SHIPPED.glob("toy-*/adapter_model.safetensors")) - LATER)


@pytest.mark.parametrize("folder", CAPTIONERS, ids=lambda path: path.parent.name)
def test_format_1_means_one_encoder_of_video(folder: Path) -> None:
    document = json.loads((folder.parent / "config.json").read_text())
    assert document["format"] == 1
    config = PseudoCapConfig.from_dict(document)
    assert config.encoders == {"video": Backbone(**document["encoder"])}
    assert (config.axes, config.adapter_width) == (("time", "space"), None)
    assert PseudoCapConfig.from_dict(config.to_dict()) == config


def test_some_backbones_are_replaced_by_name() -> None:
    config = make(encoders={"video": Backbone(source="v"), "audio": Backbone(source="a")})
    changed = config.with_backbones(audio_encoder=Backbone(source="b"))
    assert {name: each.source for name, each in changed.backbones.items()} == {
        "decoder": "d",
        "encoder": "v",
        "audio_encoder": "b",
    }


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
        ({"encoders": {"vidoe": Backbone(source="e")}}, r"not of 'vidoe' \(did you mean 'video'\?\)"),
        ({"encoders": {"audio": Backbone(source="e")}}, "must name one of video"),
        ({"axes": ()}, "at least one of time, space, sound, pitch"),
        ({"axes": ("space", "time")}, "in the order time, space, sound, pitch"),
        ({"axes": ("tiem",)}, r"not 'tiem' \(did you mean 'time'\?\)"),
        ({"adapter_width": 0}, "adapter_width must be a whole number above 0"),
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
        ({"encoders": {"video": 3}}, r"encoders.video must be a mapping"),
        ({"encoders": 3}, "encoders must name a Backbone for each modality"),
        ({"format": 99}, "format 99 is none of those that this version of pseudocap reads, 1 and 2"),
        ({"model_type": "opt"}, "model_type is 'opt', not 'pseudocap'"),
    ],
)
def test_a_damaged_document_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PseudoCapConfig.from_dict({**make().to_dict(), **change})
