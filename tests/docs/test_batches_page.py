"""The page about batches holds what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.tars import image_tars, video_tars

PAGE = Path(__file__).resolve().parents[2] / "docs" / "batches.md"


@pytest.mark.slow
def test_the_pages_stream_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_tars(tmp_path / "world" / "stills")
    video_tars(tmp_path / "shards")
    monkeypatch.chdir(tmp_path)
    stream, fit = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    compile(fit, "batches.md", "exec")  # run by the tests of CaptionData, with a module
    exec(compile(stream, "batches.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\d+ (?:image|video) \((?:16, 1|2, 4), 3, 32, 32\)", printed, flags=re.MULTILINE)) == 20
    assert "Drawn(batches=" in printed
