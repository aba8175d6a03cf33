"""Build and search an index in an object store, of films in one: moto's server on this machine, the real clients."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from helpers.colour_retriever import ColourRetriever, index_colours, write_colours
from helpers.hub_server import wait_until

from pseudocap.cli.index import find_files
from pseudocap.errors import DataError
from pseudocap.files import claim
from pseudocap.files.claim import claimed
from pseudocap.files.remote import RemotePath
from pseudocap.search import VideoIndex

pytestmark = pytest.mark.slow
INDEX = "s3://team/index"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    settings = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(claim, "RENEWAL", 0.5)
    monkeypatch.setattr(claim, "PATIENCE", 2.0)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "moto.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, seconds=60)
            fsspec.filesystem("s3").clear_instance_cache()
            found = fsspec.filesystem("s3")
            found.mkdir("team", region_name="eu-central-1")
            yield found
        finally:
            server.terminate()
            fsspec.filesystem("s3").clear_instance_cache()


def test_films_and_index_lie_in_a_bucket(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    for name, colours in {"red": ["red", "green"], "blue": ["blue"]}.items():
        store.put_file(str(write_colours(tmp_path / f"{name}.mp4", *colours)), f"team/films/{name}.mp4")
    store.pipe_file("team/films/broken.mp4", b"no film")
    files, below = find_files(["s3://team/films"])
    report = index_colours(INDEX, files, below=below)
    assert (report.clips, list(report.failed)) == (3, ["s3://team/films/broken.mp4"])
    assert "s3://team/films/broken.mp4: " in report.failed["s3://team/films/broken.mp4"]
    retriever = ColourRetriever()
    index = VideoIndex.open(INDEX, retriever=retriever)
    (first,) = index.search("red", top=1)
    assert (first.file, first.start, first.note) == ("s3://team/films/red.mp4", 0.0, "")
    assert [hit.file for hit in index.like("s3://team/films/blue.mp4", top=1)] == ["s3://team/films/red.mp4"]

    store.put_file(str(tmp_path / "red.mp4"), "team/films/blue.mp4")
    store.rm_file("team/films/broken.mp4")
    assert "changed" in {hit.file: hit.note for hit in index.search("blue")}["s3://team/films/blue.mp4"]
    files, below = find_files(["s3://team/films/"])
    report = index_colours(INDEX, files, retriever, below=below)
    assert (report.changed, report.gone) == (("s3://team/films/blue.mp4",), ("s3://team/films/broken.mp4",))
    assert (report.unchanged, report.clips, retriever.embedded) == (1, 4, 2)

    with claimed(RemotePath(INDEX), "indexing"), pytest.raises(DataError, match="is indexing into"):
        index_colours(INDEX, files)
