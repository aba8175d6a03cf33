"""Toy captioners say that they are toys: in Python once, and whatever they are called."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.files import sources
from pseudocap.hub import toys
from pseudocap.hub.checkpoint import read_any_config, read_retriever_config
from pseudocap.hub.toys import ToyWarning, is_toy
from pseudocap.model.config import Backbone
from pseudocap.types import SoundPreprocess


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture, in a process that has not been warned yet."""
    monkeypatch.setattr(toys, "_warned", threading.Event())
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_captioning_with_a_toy_warns_once(picture: Path, tmp_path: Path) -> None:
    model = PseudoCap.from_pretrained("toy-mixed", device="cpu")
    model.save_pretrained(tmp_path / "mine")
    copy = PseudoCap.from_pretrained(tmp_path / "mine", device="cpu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for each in (copy, model):
            each.caption(picture)
            each.explain(picture)
    (warning,) = (each for each in caught if each.category is ToyWarning)
    assert str(warning.message).startswith(f"{tmp_path / 'mine'} is a toy: ")
    assert warning.filename == __file__  # the line that captions


def test_no_other_captioner_is_a_toy(picture: Path, model: PseudoCap) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ToyWarning)
        model.caption(picture)


def test_toy_ears_alone_make_no_toy(model: PseudoCap) -> None:
    ears = Backbone(source="pseudocap://toy-ast", fingerprint="f")
    assert not is_toy(model.config.with_sound(ears, ("sound",), SoundPreprocess()))


def test_every_shipped_captioner_and_retriever_is_what_its_name_says() -> None:
    configs = {
        path.parent: (read_retriever_config if path.parent.name.endswith("-search") else read_any_config)(path.parent)
        for path in sources.SHIPPED.glob("*/adapter_model.safetensors")
    }
    assert {folder.name for folder, config in configs.items() if is_toy(config)} == {
        folder.name for folder in configs if folder.name.startswith("toy-")
    }
    for folder, config in configs.items():
        assert ("is a toy: " in (folder / "README.md").read_text(encoding="utf-8")) == is_toy(config)
