"""Labelling on a real Ray cluster: two worker nodes, one of which dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.label_worlds import contents, write_film
from helpers.ray_clusters import kill_node, two_nodes

from pseudocap.label.schema import read_rows

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

cluster = two_nodes

ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}


def command(films: Path, teacher: Path, out: Path, *extra: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pseudocap", "label", str(films), "--teacher", str(teacher), "--out", str(out)),
        *("--clip-seconds", "0.4", "--min-seconds", "0.2", "--batch-size", "4", "--shard-size", "1"),
        *("--max-new-tokens", "12", "--max-failure-rate", "1", "--workers", "1", *extra),
    ]


def start(*arguments: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(*arguments), env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(run: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = run.communicate(timeout=240)
    return run.returncode, told.decode()


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


@pytest.mark.slow
def test_ray_on_one_machine_goes_on_where_it_was(tmp_path: Path, films: Path) -> None:
    options = ("--frames", "sharpest", "--k", "2", "--engine", "ray", "--json")
    there, here = tmp_path / "there", tmp_path / "here"
    run = subprocess.run(command(films, Path("null"), there, *options), env=ALONE, capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    assert subprocess.run(command(films, Path("null"), here, *options[:4]), env=ALONE).returncode == 1
    assert contents(there) == contents(here)
    (there / "000001.parquet").unlink()
    run = subprocess.run(command(films, Path("null"), there, *options), env=ALONE, capture_output=True, text=True)
    assert json.loads(run.stdout)["run"]["clips"] == len(list(read_rows(there / "000001.parquet")))
    assert contents(there) == contents(here)
    run = subprocess.run(command(films, Path("gone"), there, *options), env=ALONE, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == "error: gone is neither a directory nor a repo's name of the form owner/name\n"
