"""Every row of the table of regimes names what is there, and everything that is there has a row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pseudocap import regimes
from pseudocap.data.caption_data import CaptionData
from pseudocap.data.stream_data import StreamData
from pseudocap.regimes.answering import Answering
from pseudocap.regimes.base import PreTraining, Regime
from pseudocap.regimes.finetune import FineTune
from pseudocap.regimes.retrieval import Retrieval
from pseudocap.regimes.table import (
    ANSWERING,
    BY_CLASS,
    CONFIGS,
    FINE_TUNING,
    REGIMES,
    RETRIEVAL,
    SCALES,
    TRAINABLE,
    VALOR,
    RegimeRow,
    resume_words,
)
from pseudocap.regimes.valor import Valor

LEARNERS = {  # that are no pre-training of a captioner, and their data
    RETRIEVAL.name: (Retrieval, StreamData),
    VALOR.name: (Valor, StreamData),
    ANSWERING.name: (Answering, CaptionData),
}


@pytest.mark.parametrize("row", TRAINABLE.values(), ids=TRAINABLE)
def test_a_row_names_a_regime_its_data_and_its_configs(row: RegimeRow) -> None:
    regime = row.load()
    assert regime.__name__ == row.class_name
    kind, data = LEARNERS.get(row.name, (PreTraining, StreamData))
    assert issubclass(regime, kind)
    assert regime.steps == row.steps
    assert issubclass(row.load_data(), data)
    assert list(row.configs()) == [
        scale for scale in SCALES if scale == "toy" or row.name in (*REGIMES, RETRIEVAL.name, VALOR.name)
    ]
    for scale, path in row.configs().items():
        settings = yaml.safe_load(path.read_text())
        assert settings["model"]["model"]["class_path"].startswith("pseudocap.")
        if scale == "paper":
            assert settings["trainer"]["max_steps"] == row.steps
    assert f"`{row.name}`" in row.learns_from


def test_fine_tuning_has_a_row() -> None:
    assert FINE_TUNING.load() is FineTune
    assert issubclass(FINE_TUNING.load(), Regime)
    assert FINE_TUNING.load_data().__name__ == "CaptionData"


def test_the_package_offers_exactly_the_rows() -> None:
    assert sorted(regimes.__all__) == sorted(BY_CLASS)
    assert {path.name for path in CONFIGS.glob("*.yaml")} == {
        path.name for row in TRAINABLE.values() for path in row.configs().values()
    }


def test_a_mixture_names_both_streams_and_speech_its_own_text() -> None:
    sources = {"images": "i", "clips": "c", "asr": "a"}
    words = {name: row.data_words(sources) for name, row in REGIMES.items()}
    assert words["asr"] == ("--data.transcripts", "null", "--data.videos", "a")
    assert words["image-only"] == ("--data.images", "i")
    assert words["video-only"] == ("--data.videos", "c")
    assert words["mixed"] == words["mixed-ext"] == ("--data.images", "i", "--data.videos", "c")
    assert REGIMES["mixed"].data_words({"clips": "c"}) == ("--data.videos", "c")


def test_the_table_needs_no_torch() -> None:
    code = "import sys, pseudocap.regimes.table; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_training_resumes_where_it_has_a_checkpoint(tmp_path: Path) -> None:
    assert resume_words(tmp_path) == ()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert resume_words(tmp_path) == ("--resume",)
