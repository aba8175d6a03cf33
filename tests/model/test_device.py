"""Devices and types are refused before anything is loaded onto them."""

from __future__ import annotations

import pytest
import torch

from pseudocap.errors import ConfigError
from pseudocap.model.device import check_dtype, pick_device


def test_a_device_is_that_of_its_name_and_auto_is_one_that_computes() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert (torch.ones(2, device=pick_device("auto")) + 1).sum() == 4


@pytest.mark.parametrize(
    ("device", "message"), [("gpu", "is none that torch knows; try 'auto', 'cpu'"), ("cuda:99", "cannot be used here")]
)
def test_what_is_no_device_here_is_refused(device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pick_device(device)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, "float32", None])
def test_weights_are_numbers_with_a_point(dtype: object) -> None:
    check_dtype(torch.bfloat16)
    with pytest.raises(ConfigError, match="dtype must be torch"):
        check_dtype(dtype)  # type: ignore[arg-type]
