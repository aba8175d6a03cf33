"""A retriever's config is checked at birth, and survives its document."""

from __future__ import annotations

import json

import pytest

from pseudocap.errors import ConfigError
from pseudocap.model.config import Backbone
from pseudocap.model.retrieval_config import RetrieverConfig

TEXT, SEEN = Backbone(source="t"), Backbone(source="e")


def test_a_config_survives_json() -> None:
    config = RetrieverConfig(text=TEXT, encoders={"audio": Backbone(source="a"), "video": SEEN}, dim=8)
    assert RetrieverConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_encoders_are_of_known_modalities() -> None:
    with pytest.raises(ConfigError, match=r"not of 'smell'"):
        RetrieverConfig(text=TEXT, encoders={"video": SEEN, "smell": SEEN})
    with pytest.raises(ConfigError, match="must name one of video"):
        RetrieverConfig(text=TEXT, encoders={"audio": SEEN})
    document = RetrieverConfig(text=TEXT, encoders={"video": SEEN}).to_dict()
    with pytest.raises(ConfigError, match=r"unknown field encoders.video.sorce"):
        RetrieverConfig.from_dict({**document, "encoders": {"video": {"sorce": "e"}}})
