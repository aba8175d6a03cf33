"""What lies at a path is recognised by its content, wherever that lies and whatever is written beside it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from pseudocap.bench.claims.identities import files_identity
from pseudocap.data.tars.index import index_tars


def test_other_weights_in_the_same_place_are_others_and_the_same_elsewhere_are_not(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "weights").write_bytes(bytes(100_000))
    (here / "empty").touch()
    first = files_identity(here)
    shutil.copytree(here, tmp_path / "there")
    assert files_identity(tmp_path / "there") == first
    changed = bytearray(100_000)
    changed[-1] = 1
    (here / "weights").write_bytes(changed)
    assert files_identity(here) != first
    assert files_identity(here / "weights") != files_identity(tmp_path / "there" / "weights")
    assert files_identity("owner/repo") == "owner/repo"


def test_an_index_beside_tars_changes_nothing(tmp_path: Path) -> None:
    for name in ("0.jpg", "0.txt"):
        (tmp_path / name).write_text("x")
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("0.jpg", "0.txt"):
            tar.add(tmp_path / name, arcname=name)
    first = files_identity(tmp_path)
    index_tars(tmp_path)
    assert any(path.name.startswith(".") for path in tmp_path.iterdir())
    assert files_identity(tmp_path) == first
