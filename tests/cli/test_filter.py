"""`pseudocap filter` marks what looks like an earlier clip, and says how much that was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.label_worlds import rows, write_film

from pseudocap.cli.main import main
from pseudocap.rows import read_rows


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


def test_rows_are_filtered_by_an_encoder_in_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, captions, out = tmp_path / "films", tmp_path / "captions.jsonl", tmp_path / "filtered.jsonl"
    films.mkdir()
    write_film(films / "a.mp4", frames=20)
    shutil.copy(films / "a.mp4", films / "b.mp4")
    write_film(films / "c.mp4", frames=20, seed=1)
    rows = [
        {"video": "a.mp4", "start": 0.0, "end": 2.0, "captions": ["one", "two"], "split": "val", "place": "Rome"},
        {"video": "b.mp4", "start": 0.0, "end": 2.0, "caption": "three", "confidence": 0.5},
        {"video": "b.mp4", "start": 2.0, "end": 4.0, "caption": "dark", "verdicts": ["black"]},
        {"video": "c.mp4", "error": "broken"},
    ]
    captions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("filter", captions, "--encoder", "pseudocap://toy-timesformer", "--videos", films, "--threshold", 0.99999)
    assert command(*words, "--out", out) == 2
    assert "unknown field 'place'" in capsys.readouterr().err
    del rows[0]["place"]
    captions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command(*words, "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [result[name] for name in ("compared", "near_duplicates", "without_memory", "clips", "kept")] == [
        2,
        1,
        0,
        4,
        1,
    ]
    rows[1]["verdicts"] = ["near-duplicate:a.mp4#0.000-2.000"]
    assert [json.loads(line) for line in out.read_text().splitlines()] == [{"version": 1, **row} for row in rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.jsonl", "films", "filtered.jsonl"]
    kept = tmp_path / "memories"
    assert command(*words, "--memories", kept, "--out", out) == 0
    first = out.read_bytes()
    assert command("filter", captions, "--memories", kept, "--threshold", 0.99999, "--out", out) == 0
    assert out.read_bytes() == first
    assert [row.line for row in read_rows(out)] == out.read_text().splitlines(keepends=True)
    captions.write_text(json.dumps({"video": "c.mp4", "caption": "elsewhere"}) + "\n")
    assert command("filter", captions, "--memories", kept, "--out", out) == 2
    assert f"{kept} has a memory of no clip of {captions}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name --encoder, which clips are compared by, or --memories"),
        (("--memories", "m", "--videos", "v"), "--videos is for --encoder"),
        (("--memories", "m", "--threshold", "0"), "--threshold must be above 0"),
        (("--memories", "m"), "--out out must be a file of caption rows"),
        (("--encoder", "gone", "--out", "x.jsonl"), "rows.jsonl has no clip to compare: all failed, or have a verdict"),
    ],
)
def test_mistakes_are_clear(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"video": "a.mp4", "caption": "a dog", "verdicts": ["short"]}\n')
    assert command("filter", tmp_path / "rows.jsonl", "--out", "out", *words) == 2
    assert message in capsys.readouterr().err
