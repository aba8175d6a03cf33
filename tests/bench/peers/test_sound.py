"""A linear probe finds what features hold, and nothing where they hold nothing; sounds are encoded once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.audio_models import write_audio_model
from helpers.whispers import tones, write_wav

from pseudocap.bench.peers.sound import LabelledSound, probe, read_labelled
from pseudocap.cli.main import main
from pseudocap.errors import DataError

PITCHES = {"low": 200.0, "middle": 900.0, "high": 3000.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of three pitches, a little different each, in three folds."""
    folder = tmp_path_factory.mktemp("sounds")
    rows = []
    for label, pitch in PITCHES.items():
        for number in range(6):
            name = f"{label}{number}.wav"
            write_wav(folder / name, tones(pitch * (1 + number / 40), seconds=0.6))
            rows.append({"audio": name, "label": label, "fold": 1 + number % 3})
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def made_up(count: int) -> list[LabelledSound]:
    return [LabelledSound(path=Path(str(n)), label="abc"[n % 3], fold=n // 3 % 5) for n in range(count)]


def test_a_probe_separates_what_differs_and_guesses_where_nothing_does() -> None:
    sounds = made_up(300)
    draws = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    guesses = probe(draws, sounds)
    assert len(guesses) == 5
    assert 0.2 < np.mean(guesses) < 0.47
    separable = draws.copy()
    separable[np.arange(300), np.arange(300) % 3] += 4
    assert np.mean(probe(separable, sounds)) > 0.9


def test_the_tested_fold_is_not_learned_from() -> None:
    sounds = made_up(60)
    memorised = np.eye(60, dtype=np.float32)  # each sound by its own number: nothing that generalises
    assert np.mean(probe(memorised, sounds)) < 0.5


def test_the_verb_probes_an_encoder_beside_the_log_mel_and_chance(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio_model(tmp_path / "tiny-ast")
    words = ["bench", "sound", "--data", str(data), "--audio-encoder", str(tmp_path / "tiny-ast"), "--workers", "0"]
    words += ["--device", "cpu", "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["sounds"], document["classes"], document["chance"]) == (18, 3, pytest.approx(1 / 3))
    assert document["results"]["mean of the log-mel"]["accuracy"] == 1.0
    assert list(document["results"]) == ["tiny-ast", "mean of the log-mel"]
    assert str(tmp_path) not in json.dumps(document)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "memories").rglob("*.safetensors")}
    assert written
    assert main(words) == 0
    assert "| chance | 33.3 |" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == changed for path, changed in written.items())


def test_sounds_that_cannot_be_probed_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lists no sounds with audio, label and fold"):
        read_labelled(tmp_path)
    rows = (data / "labels.jsonl").read_text().splitlines()
    (tmp_path / "labels.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"lacks 18 of the sounds of labels\.jsonl, such as low0\.wav"):
        read_labelled(tmp_path)
    for path in data.glob("*.wav"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "labels.jsonl").write_text("\n".join(rows[:2]))
    with pytest.raises(DataError, match="needs three folds or more"):
        read_labelled(tmp_path)
    assert main(["bench", "sound", "--data", str(data), "--audio-encoder", "a/b", "c/b"]) == 2
