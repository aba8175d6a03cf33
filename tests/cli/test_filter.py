"""`pseudocap filter` marks what looks like an earlier clip, and says how much that was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.label_worlds import rows, write_film

from pseudocap.cli.main import main


def command(*words: object) -> int:
    return main([str(word) for word in words])


def test_copies_are_marked_across_and_within_videos_and_training_leaves_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, labels, memories = (tmp_path / name for name in ("films", "labels", "memories"))
    films.mkdir()
    write_film(films / "a.mp4", frames=20)
    shutil.copy(films / "a.mp4", films / "b.mp4")
    shutil.copy(films / "a.mp4", films / "d.mp4")
    (films / "c.mp4").write_bytes(b"no film")
    clips = ("--clip-seconds", 2, "--workers", 0)
    assert command("label", films, "--teacher", "null", *clips, "--out", labels, "--max-failure-rate", 1) == 1
    (films / "c.mp4").unlink()
    (films / "d.mp4").unlink()
    encoder = "pseudocap://toy-timesformer"
    assert command("encode", films, "--encoder", encoder, *clips, "--out", memories) == 0
    capsys.readouterr()
    words = ("filter", labels, "--memories", memories, "--threshold", 0.99999, "--out", tmp_path / "out")
    assert command(*words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [result[name] for name in ("compared", "near_duplicates", "without_memory", "kept")] == [4, 2, 2, 4]
    assert result["verdicts"]["near-duplicate"]["clips"] == 2
    found = {(row.clip.source, row.clip.start): row.verdicts for row in rows(tmp_path / "out") if row.verdicts}
    assert found == {
        ("b.mp4", 0.0): ("near-duplicate:a.mp4#0.000-2.000",),
        ("b.mp4", 2.0): ("near-duplicate:a.mp4#2.000-4.000",),
    }
    assert command("filter", labels, "--memories", memories, "--threshold", 0.5, "--out", tmp_path / "out") == 2
    assert "threshold 0.99999" in capsys.readouterr().err
