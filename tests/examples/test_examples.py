"""Every example runs: `--smoke` where it has one, as a process of its own, in a folder that it leaves empty."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TOLD = {  # what a user is told where all went well
    "network.py": "saved, loaded, the same captions",
    "01_caption.py": "00:00:00,000 -->",
    "02_label_your_videos.py": "clips with their captions",
    "03_pretrain_a_regime.py": "after 3 steps",
    "04_finetune_on_your_captions.py": "best: ",
    "05_benchmark.py": "toy-mixed-ext, ",
    "06_publish_and_fetch.py": "the same adapters: True",
    "07_search.py": "hits of 'a wild animal in the grass'",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TOLD.keys()


@pytest.mark.parametrize("name", [name for name in TOLD if name != "network.py"])
def test_an_example_says_what_to_change_for_real_video(name: str) -> None:
    head = (EXAMPLES / name).read_text(encoding="utf-8").split('"""')[1]
    assert "For real" in head
    assert f"python examples/{name}" in head


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_an_example_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    smoke = [] if name == "network.py" else ["--smoke"]  # which builds its own tiny backbones
    command = [sys.executable, str(EXAMPLES / name), *smoke]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert TOLD[name] in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_users_mistake_is_told_in_the_packages_words(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "02_label_your_videos.py"), str(tmp_path / "gone"), "--teacher", "null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
