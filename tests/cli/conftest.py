"""A process for the commands that are to end before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.torch_free import TorchFree


@pytest.fixture(scope="session")
def torch_free() -> Iterator[TorchFree]:
    with TorchFree() as commands:
        yield commands
