"""Settings of `pseudocap train` that are checked without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.cli.train_settings import refuse_absent
from pseudocap.errors import CheckpointError
from pseudocap.files.sources import SMOLLM2
from pseudocap.regimes.table import IMAGE_ONLY, TRAINABLE


def test_a_decoder_in_a_gguf_file_here_or_on_the_hub_is_no_mistake_where_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.gguf").touch()
    words = ["--out", str(tmp_path / "run"), "--model.model.init_args.decoder"]
    for installed in (True, False):
        monkeypatch.setattr("pseudocap.files.sources.find_spec", lambda name, found=installed: found or None)
        for decoder in (SMOLLM2, str(tmp_path / "small.gguf")):
            if installed:
                refuse_absent([*words, decoder], TRAINABLE[IMAGE_ONLY])
                continue
            with pytest.raises(CheckpointError, match=r"(small|Q4_1).gguf needs gguf and accelerate: pip install"):
                refuse_absent([*words, decoder], TRAINABLE[IMAGE_ONLY])
