"""The modules of 0.1 that docs named are found by their former names, and are today's."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

import pseudocap.data
from pseudocap.decoding import FileDecoding
from pseudocap.former_names import FORMER

DOCUMENTED = {
    "pseudocap.captioning": ("caption_files", "caption_densely", "Asked", "FileCaptions"),
    "pseudocap.data.captions": ("read_own",),
    "pseudocap.data.corpora": ("Corpus",),
    "pseudocap.data.howto100m": ("read_howto100m",),
    "pseudocap.data.memory_shards": ("ShardVectors", "write_shard"),
    "pseudocap.data.module": ("CaptionData",),
    "pseudocap.data.msrvtt": ("read_msrvtt",),
    "pseudocap.data.msvd": ("read_msvd",),
    "pseudocap.data.shards": ("read_shard",),
    "pseudocap.data.sources": ("Source",),
    "pseudocap.data.splits": ("resplit", "refuse_leak"),
    "pseudocap.data.stream_module": ("StreamData",),
    "pseudocap.data.vatex": ("read_vatex",),
    "pseudocap.model.timesformer": ("TimeSformer", "TimeSformerConfig"),
    "pseudocap.regimes.tuning": ("fine_tune",),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_module_of_0_1_offers_its_names(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, each) for each in DOCUMENTED[name])


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_is_the_module_of_today_itself(name: str) -> None:
    assert importlib.import_module(name) is importlib.import_module(FORMER[name])


def test_the_classes_of_a_config_and_of_an_import_are_those_of_today() -> None:
    from pseudocap.captioning import Asked  # type: ignore[import-not-found]
    from pseudocap.data.module import CaptionData  # type: ignore[import-not-found]

    assert CaptionData is pseudocap.data.CaptionData
    assert Asked is FileDecoding


def test_names_that_never_were_are_not_found() -> None:
    assert importlib.util.find_spec("pseudocap.data.modul") is None
