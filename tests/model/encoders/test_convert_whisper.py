"""The encoder of a faster-whisper model is that of the Whisper it was converted from, to the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.sounding import heard
from helpers.whispers import write_whisper
from transformers import WhisperForConditionalGeneration

from pseudocap.audio.spectrogram import sound_windows
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError
from pseudocap.model.encoders import load_audio_encoder
from pseudocap.model.encoders.convert_whisper import read_ctranslate2


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


def test_the_verb_writes_an_audio_encoder_with_the_very_weights(
    whisper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "whisper", str(whisper), str(tmp_path / "out")]) == 0
    assert "Whisper's encoder, 1 layers of width 8, windows of 30 s" in capsys.readouterr().out
    encoder = load_audio_encoder(tmp_path / "out")
    original = WhisperForConditionalGeneration.from_pretrained(f"{whisper}-of-transformers").get_encoder().eval()
    theirs = original.state_dict()
    assert encoder.network.state_dict().keys() == theirs.keys()
    for name, tensor in encoder.network.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
    windows = torch.from_numpy(sound_windows(heard(2.0), encoder.preprocess)[0])
    with torch.no_grad():
        wanted = original(windows.mT).last_hidden_state
    torch.testing.assert_close(encoder(windows)[:, 0], wanted)
    assert main(["convert", "whisper", str(whisper), str(tmp_path / "out")]) == 2  # which is there
    assert main(["convert", "whisper", str(whisper), str(tmp_path / "b"), "--heads", "2"]) == 2


def test_what_is_no_whisper_in_16_or_32_bits_is_refused(whisper: Path) -> None:
    content = (whisper / "model.bin").read_bytes()
    for wrong in (b"", content[: len(content) // 4], content.replace(b"WhisperSpec", b"MarianSpec\0", 1)):
        with pytest.raises(CheckpointError, match="is no Whisper of CTranslate2 in 16 or 32 bits"):
            read_ctranslate2(wrong, source="model")
