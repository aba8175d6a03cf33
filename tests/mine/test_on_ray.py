"""Mining on a real Ray cluster: two worker nodes, one of which dies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from helpers.mining import contents, mined, write_films, write_photos
from helpers.ray_clusters import kill_node, two_nodes

from pseudocap.cli.main import main

pytest.importorskip("ray", reason="the extra `ray` is not installed")

cluster = two_nodes


@pytest.mark.slow
def test_a_cluster_whose_node_dies_finds_what_one_machine_finds(
    cluster: Any, tmp_path: Path, start_mining: Any
) -> None:
    films = write_films(tmp_path / "films", **{f"f{n:02d}": "red blue" if n % 2 else "green" for n in range(14)})
    photos = write_photos(tmp_path / "photos", red="a red car", blue="the blue sea")
    (films / "broken.mp4").write_text("no film")
    mined(films, photos, tmp_path / "here")
    run, there = start_mining(films, photos, tmp_path / "there", "1", cluster.address), tmp_path / "there"
    while run.poll() is None and not list(there.glob("matches/*.npz")):
        time.sleep(0.01)
    assert run.poll() is None, run.stderr.read().decode()
    done = len(list(there.glob("matches/*.npz")))
    kill_node(cluster.list_all_nodes()[-1])
    _, printed = run.communicate(timeout=240)
    assert run.returncode == 0, printed.decode()
    assert done < 15
    assert contents(there) == contents(tmp_path / "here")


def test_the_options_of_a_cluster_belong_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mine", "films", "--seeds", "photos", "--encoder", "e", "--out", "out"]
    assert main([*command, "--address", "a:1"]) == 2
    assert capsys.readouterr().err == "error: --address and --gpus-per-actor belong to --engine ray\n"
    assert main([*command, "--engine", "ray", "--actors", "many"]) == 2
    assert "--actors is 'many' and must be MIN:MAX" in capsys.readouterr().err
