"""Checkpoints at an address: only what is new is fetched, all or nothing, and what is cached serves offline."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from pseudocap.errors import CheckpointError
from pseudocap.hub.addresses import GRACE, drop_address, fetch_address


class Store(ThreadingHTTPServer):
    """A web server of a few files; `versioned` ones have an ETag, `stated` sizes may be wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.stated = dict[str, bytes](), dict[str, int]()
        self.versioned, self.asked = True, list[str]()
        self.address = f"http://127.0.0.1:{self.server_port}/zoo"


class Answer(BaseHTTPRequestHandler):
    server: Store

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.server.files.get(self.path.rpartition("/")[2], b""))

    def answer(self, body: bytes) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(f"{self.command} {name}")
        content = self.server.files.get(name)
        self.send_response(404 if content is None else 200)
        size = len(content or b"") if self.command == "GET" else self.server.stated.get(name, len(content or b""))
        self.send_header("Content-Length", str(size))
        if self.server.versioned and content is not None:
            self.send_header("ETag", f'"{hash(content):x}"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    with Store() as server:
        server.files = {"config.json": b"{}", "weights": b"first", "card.md": b"words", "optimiser.bin": b"much"}
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def fetched(store: Store, **options: bool) -> Path:
    return fetch_address(store.address, ("config.json", "weights"), ("card.md", "none.md"), **options)


def test_the_named_files_come_once_until_one_of_them_changes(store: Store) -> None:
    first = fetched(store)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        name: store.files[name] for name in ("config.json", "weights", "card.md")
    }
    store.asked.clear()
    assert fetched(store) == first
    assert not {"GET config.json", "GET weights", "GET card.md"} & {*store.asked}
    store.files["weights"] = b"other"
    second = fetched(store)
    assert (second / "weights").read_bytes() == b"other"
    assert (first / "weights").read_bytes() == b"first", "somebody may be on the way to read it"


def test_a_former_version_goes_once_nobody_can_be_reading_it(store: Store) -> None:
    first = fetched(store)
    for age, kept in ((GRACE - 60, True), (GRACE + 60, False)):
        os.utime(first, (time.time() - age,) * 2)
        store.files["weights"] = f"after {age}".encode()
        latest = fetched(store)
        assert first.exists() is kept
    assert (latest / "weights").read_bytes() == store.files["weights"]


def test_a_store_that_says_nothing_of_changes_is_asked_for_the_files_each_time(store: Store) -> None:
    store.versioned = False
    first = fetched(store)
    store.files["weights"] = b"other"  # of the same size
    assert (fetched(store) / "weights").read_bytes() == b"other"
    assert fetched(store) != first


@pytest.mark.parametrize("stated", [6, 4])
def test_a_file_of_another_size_than_was_stated_leaves_nothing(store: Store, stated: int) -> None:
    store.stated["weights"] = stated
    with pytest.raises(CheckpointError, match=rf"weights broke off: 5 of {stated} bytes came; try again"):
        fetched(store)
    with pytest.raises(CheckpointError, match="not in the cache"):
        fetched(store, local_files_only=True)
    store.stated.clear()
    assert (fetched(store) / "weights").read_bytes() == b"first"


@pytest.mark.parametrize(("by_variable", "why"), [(True, "HF_HUB_OFFLINE"), (False, "local_files_only")])
def test_offline_the_latest_version_serves_and_nobody_is_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch, by_variable: bool, why: str
) -> None:
    first = fetched(store)
    store.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by_variable)
    options = {"local_files_only": not by_variable}
    assert fetched(store, **options) == first
    drop_address(first)
    with pytest.raises(CheckpointError, match=rf"is not in the cache .*{why} forbids to fetch it"):
        fetched(store, **options)
    assert store.asked == []


def test_what_is_needed_and_missing_is_named_and_other_folders_are_other_addresses(store: Store) -> None:
    first = fetched(store)
    del store.files["weights"]
    with pytest.raises(CheckpointError, match="has no weights; is this the folder of a checkpoint"):
        fetched(store)
    shutil.rmtree(first)
    store.files["weights"] = b"again"
    assert fetch_address(store.address, ("weights",)).parent != first.parent
