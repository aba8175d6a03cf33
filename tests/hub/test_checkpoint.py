"""What a checkpoint's folder must have before anything of it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.errors import CheckpointError
from pseudocap.files.sources import SHIPPED
from pseudocap.hub.checkpoint import check_folder


def test_a_captioner_with_a_decoder_in_a_gguf_file_is_refused_where_nothing_reads_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SHIPPED / "real-photos-smollm2"
    monkeypatch.setattr("pseudocap.files.sources.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"reading hf://.*gguf needs gguf and accelerate: pip install gguf"):
        check_folder(folder, {})
    with pytest.raises(CheckpointError, match=r"there is no file .*gone.gguf"):
        check_folder(folder, {"decoder": tmp_path / "gone.gguf"})
    check_folder(folder, {"decoder": tmp_path})  # a directory, which is read later
    monkeypatch.setattr("pseudocap.files.sources.find_spec", lambda name: name)
    check_folder(folder, {})
