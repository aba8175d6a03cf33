"""Loading a network of ours draws no bar of transformers, and leaves the caller's settings as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.utils import are_progress_bars_disabled
from transformers import OPTForCausalLM, ViTConfig, ViTImageProcessor, ViTModel, modeling_gguf_pytorch_utils
from transformers.utils import logging

from pseudocap import PseudoCap, load
from pseudocap.errors import CheckpointError
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.model.decoders import load_decoder
from pseudocap.zoo.tiny import write_blip


@pytest.fixture(autouse=True)
def _bars_on() -> Iterator[None]:
    """As a user has them, where tests/conftest.py turns them off."""
    logging.enable_progress_bar()
    yield
    logging.disable_progress_bar()


def test_loading_a_captioner_draws_no_bar(backbones: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_blip(tmp_path / "blip")
    ViTModel(
        ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16)
    ).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    capfd.readouterr()
    load(tmp_path / "blip", device="cpu")
    for encoder in (backbones / "timesformer", tmp_path / "vit"):
        PseudoCap.from_backbones(decoder=backbones / "opt", encoder=encoder, device="cpu")
    assert capfd.readouterr().err == ""
    OPTForCausalLM.from_pretrained(backbones / "opt")  # the caller's own loads draw theirs
    assert "Loading weights" in capfd.readouterr().err


def test_settings_are_as_they_were_also_after_a_failure(tmp_path: Path) -> None:
    reader = modeling_gguf_pytorch_utils.tqdm
    for set_bars, enabled in ((logging.disable_progress_bar, False), (logging.enable_progress_bar, True)):
        set_bars()
        with pytest.raises(CheckpointError):
            load_decoder(tmp_path)
        with without_loading_bars():
            assert are_progress_bars_disabled() is not enabled  # bars of downloads are the caller's, within too
        assert logging.is_progress_bar_enabled() is enabled
        assert modeling_gguf_pytorch_utils.tqdm is reader


def test_the_reader_of_gguf_files_draws_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with without_loading_bars():
        assert list(modeling_gguf_pytorch_utils.tqdm([1, 2], desc="Converting")) == [1, 2]
    assert capfd.readouterr().err == ""
    assert list(modeling_gguf_pytorch_utils.tqdm([1, 2], desc="Converting")) == [1, 2]
    assert "Converting" in capfd.readouterr().err
