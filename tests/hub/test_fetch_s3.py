"""A zoo of one's own on S3: moto's server on this machine, the real s3fs, another process as the user."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import yaml
from helpers.hub_server import wait_until

from pseudocap.files.reading import sha256_of

pytestmark = pytest.mark.slow
WEIGHTS = "adapter_model.safetensors"
NOBODY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 API server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, seconds=30)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def fetch_elsewhere(name: str, s3: str, home: Path, *, registry: str = "", offline: bool = False) -> dict[str, str]:
    """What a user's process gets."""
    code = (
        "import json, sys\n"
        "from pseudocap.errors import CheckpointError\n"
        "from pseudocap.hub.fetch import Access, fetch\n"
        "try:\n"
        f"    found = fetch({name!r}, access=Access(local_files_only={offline}))\n"
        "    print(json.dumps({'folder': str(found.folder), 'source': found.source}))\n"
        "except CheckpointError as error:\n"
        "    print(json.dumps({'error': str(error)}))\n"
    )
    settings = {
        **NOBODY,
        "AWS_ENDPOINT_URL": s3,
        "AWS_MAX_ATTEMPTS": "1",
        "HF_HOME": str(home),
        "PSEUDOCAP_CHECKPOINTS": registry,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def upload(s3: str, bucket: str, files: dict[str, bytes]) -> None:
    store = fsspec.filesystem(
        "s3", key="test", secret="test", client_kwargs={"endpoint_url": s3, "region_name": "eu-central-1"}
    )
    if not store.exists(bucket):
        store.mkdir(bucket)
    for name, content in files.items():
        store.pipe(f"{bucket}/{name}", content)


def test_a_team_runs_its_zoo_from_a_file_on_s3(s3: str, saved: Path, tmp_path: Path) -> None:
    row = {
        "name": "ours", "regime": "mixed", "decoder": {"source": "team/opt"}, "encoder": {"source": "team/timesformer"},
        "weights": {"source": "mine", "sha256": sha256_of(saved / WEIGHTS)}, "preprocess": {}, "config": "c",
        "scores": [], "license": "mit", "made_by": {},
    }  # fmt: skip
    rows = yaml.safe_dump({"checkpoints": [row]}).encode()
    checkpoint = {f"zoo/mine/{path.name}": path.read_bytes() for path in saved.iterdir()}
    upload(s3, "team", {**checkpoint, "zoo/mine/optimiser.bin": b"x", "zoo/checkpoints.yaml": rows})
    registry = "s3://team/zoo/checkpoints.yaml"

    found = fetch_elsewhere("ours", s3, tmp_path / "hf", registry=registry)
    assert found["source"] == "s3://team/zoo/mine"
    assert {path.name for path in Path(found["folder"]).iterdir()} == {"config.json", WEIGHTS}
    assert sha256_of(Path(found["folder"]) / WEIGHTS) == row["weights"]["sha256"]
    again = fetch_elsewhere("ours", "http://127.0.0.1:9", tmp_path / "hf", registry=registry, offline=True)
    assert again == found

    upload(s3, "team", {f"zoo/mine/{WEIGHTS}": b"other weights"})
    assert "these are other weights" in fetch_elsewhere("ours", s3, tmp_path / "hf", registry=registry)["error"]


def test_what_s3_has_not_is_told(s3: str, tmp_path: Path) -> None:
    upload(s3, "empty", {"x": b"x"})
    for address in ("s3://empty/nothing", "s3://nobody/nothing"):
        assert f"{address} has no config.json" in fetch_elsewhere(address, s3, tmp_path / "hf")["error"]
    assert "could not be reached" in fetch_elsewhere("s3://empty/x", "http://127.0.0.1:9", tmp_path / "hf")["error"]


def test_processes_that_fetch_at_once_get_the_same_whole_folder(s3: str, saved: Path, tmp_path: Path) -> None:
    upload(s3, "busy", {f"mine/{path.name}": path.read_bytes() for path in saved.iterdir()})
    code = "from pseudocap.hub.fetch import fetch; print(fetch('s3://busy/mine').folder)"
    settings = {**os.environ, **NOBODY, "AWS_ENDPOINT_URL": s3, "HF_HOME": str(tmp_path / "hf")}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=settings, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    folders = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    (folder,) = folders
    assert (Path(folder) / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()
    shutil.rmtree(folder)
