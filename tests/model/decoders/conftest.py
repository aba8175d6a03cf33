"""Captioners around a tiny decoder of each family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.decoders import FAMILIES, write_decoder

from pseudocap import PseudoCap

Captioner = Callable[..., PseudoCap]


@pytest.fixture(scope="session")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each family, in the format that the hub has it in."""
    root = tmp_path_factory.mktemp("decoders")
    for family in FAMILIES:
        write_decoder(root / family, family)
    return root


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[name for name in FAMILIES if name != "opt"])
def other_family(request: pytest.FixtureRequest) -> str:
    """For laws that tests/model/test_network.py, test_packing.py and test_precision.py hold OPT to."""
    return str(request.param)


@pytest.fixture
def captioner(build_from: Captioner, decoders: Path) -> Captioner:
    """`captioner("gpt2", gate_init=0.0)`: adapters of a useful size around that family's decoder."""
    return lambda family, **options: build_from(decoders / family, **options)
