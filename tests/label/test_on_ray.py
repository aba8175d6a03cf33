"""Labelling on a real Ray cluster: two worker nodes, one of which dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_worlds import contents, write_film

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

STORE = 100 << 20
ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes of two CPUs."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False},
    )
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=STORE)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def start(films: Path, blip: Path, out: Path, *extra: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "pseudocap", "label", str(films), "--teacher", str(blip), "--out", str(out)),
        *("--clip-seconds", "0.4", "--min-seconds", "0.2", "--batch-size", "4", "--shard-size", "1"),
        *("--max-new-tokens", "12", "--max-failure-rate", "1", "--workers", "1", *extra),
    ]
    return subprocess.Popen(command, env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(run: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = run.communicate(timeout=240)
    return run.returncode, told.decode()


def kill_node(node: Any) -> None:
    """kill -9 of everything that runs there, as when a machine loses its power."""
    (raylet,) = (each.process.pid for each in node.all_processes["raylet"])
    below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(raylet)], capture_output=True, text=True).stdout
    for pid in (raylet, *map(int, below.split())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_cluster_whose_node_dies_gives_the_rows_of_one_machine(
    cluster: Any, tmp_path: Path, blip_folder: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(14):
        write_film(films / f"{number}.mp4", frames=60, seed=number)
    (films / "broken.mp4").write_text("no film")
    assert ended(start(films, blip_folder, tmp_path / "here"))[0] == 1  # for the broken one
    run = start(films, blip_folder, tmp_path / "there", "--engine", "ray", "--address", cluster.address)
    while run.poll() is None and not list((tmp_path / "there").glob("*.parquet")):
        time.sleep(0.01)
    assert run.poll() is None, ended(run)[1]
    done = len(list((tmp_path / "there").glob("*.parquet")))
    kill_node(cluster.list_all_nodes()[-1])
    code, told = ended(run)
    assert code == 1, told
    assert done < 14
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
