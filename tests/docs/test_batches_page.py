"""The page about batches holds what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.caption_rows import write_captions
from helpers.tars import image_tars, video_tars

PAGE = Path(__file__).resolve().parents[2] / "docs" / "batches.md"


@pytest.mark.slow
def test_the_pages_stream_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_tars(tmp_path / "images")
    video_tars(tmp_path / "videos")
    write_captions(tmp_path, {"val": 2})
    monkeypatch.chdir(tmp_path)
    fit, stream = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    compile(fit, "batches.md", "exec")  # run by the tests of CaptionData, with a module
    exec(compile(stream, "batches.md", "exec"), {"__name__": "page"})
    told = capsys.readouterr().out
    assert len(re.findall(r"^\d+ (?:image|video) \((?:16, 1|2, 4), 3, 32, 32\)", told, flags=re.MULTILINE)) == 20
    assert "Drawn(batches=" in told
