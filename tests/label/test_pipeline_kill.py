"""kill -9 in the middle of real runs, and what comes of starting again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.label_worlds import contents, write_film


def start(films: Path, blip: Path, out: Path, *extra: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "pseudocap", "label", str(films), "--teacher", str(blip), "--out", str(out)),
        *("--clip-seconds", "0.4", "--min-seconds", "0.2", "--batch-size", "4", "--shard-size", "1"),
        *("--max-new-tokens", "12", "--workers", "2", *extra),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.slow
def test_killed_at_any_moment_a_run_goes_on_to_the_same_bytes(tmp_path: Path, blip_folder: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(6):
        write_film(films / f"{number}.mp4", frames=60, seed=number)
    whole = start(films, blip_folder, tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr and whole.stderr.read().decode()
    out, kills = tmp_path / "out", 0
    while kills < 3:
        run, before = start(films, blip_folder, out), len(list(out.glob("*.parquet")))
        while run.poll() is None and len(list(out.glob("*.parquet"))) < before + 1 + kills % 2:
            time.sleep(0.002)
        if run.poll() is not None:
            break
        time.sleep(0.01 * kills)  # at various moments of a shard
        run.send_signal(signal.SIGKILL)
        run.wait()
        kills += 1
    assert kills >= 2
    last = start(films, blip_folder, out)
    assert last.wait() == 0, last.stderr and last.stderr.read().decode()
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_run(tmp_path: Path, blip_folder: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(8):
        write_film(films / f"{number}.mp4", frames=60, seed=number)
    run = start(films, blip_folder, tmp_path / "out")
    while run.poll() is None and not list((tmp_path / "out").glob("*.parquet")):
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    for _ in range(100):
        left = subprocess.run(["ps", "-o", "pid=,args=", "-s", str(run.pid)], capture_output=True, text=True).stdout
        if not left.strip():
            break
        time.sleep(0.1)
    assert not left.strip()
