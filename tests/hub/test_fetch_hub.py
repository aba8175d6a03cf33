"""Fetching through the real client from a hub on this machine: little, exact, once, and clear about what fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.hub_server import Hub, close_hub, hub_settings
from huggingface_hub import constants

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError
from pseudocap.files.reading import sha256_of
from pseudocap.hub.fetch import NEEDED, Access, fetch
from pseudocap.hub.publish import pack_checkpoint

WEIGHTS = "adapter_model.safetensors"
OFFLINE = Access(local_files_only=True)


@pytest.fixture
def published(on_hub: Hub, saved: Path) -> str:
    """The commit of `owner/mine`, whose repo holds more than a checkpoint needs."""
    parcel = pack_checkpoint(saved, "owner/mine", decoder="team/opt", encoder="team/timesformer")
    files = {name: each if isinstance(each, bytes) else each.read_bytes() for name, each in parcel.files.items()}
    return on_hub.put("owner/mine", {**files, "optimiser.pt": b"x" * 100, "modeling.py": b"raise SystemExit"})


def registry(tmp_path: Path, **weights: object) -> Path:
    row = {
        "name": "mine", "regime": "mixed", "decoder": {"source": "d"}, "encoder": {"source": "e"}, "weights": weights,
        "preprocess": {}, "config": "c", "scores": [], "license": "mit", "made_by": {},
    }  # fmt: skip
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump({"checkpoints": [row]}))
    return path


def cached_weights() -> list[Path]:
    return [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file() and path.name == WEIGHTS]


def test_only_the_files_of_a_checkpoint_are_asked_for(on_hub: Hub, published: str) -> None:
    folder = fetch("owner/mine").folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(NEEDED)
    assert {line.rpartition("/")[2] for line in on_hub.asked("/resolve/")} == set(NEEDED)


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(on_hub: Hub, published: str) -> None:
    on_hub.repos["owner/mine"].private = True
    fetch("owner/mine")
    held = {("/cdn/" in path, "authorization" in headers) for _, path, headers in on_hub.requests}
    assert held == {(False, True), (True, False)}


def test_a_commit_in_the_cache_needs_no_network(on_hub: Hub, published: str) -> None:
    PseudoCap.from_pretrained(f"owner/mine@{published}", device="cpu")
    asked = len(on_hub.requests)
    assert fetch(f"owner/mine@{published}").revision == published
    assert fetch("owner/mine", revision=published, access=OFFLINE).revision == published
    assert len(on_hub.requests) == asked


def test_a_branch_that_moved_gives_its_new_files_all_from_one_commit(on_hub: Hub, published: str) -> None:
    first = fetch("owner/mine")
    config = json.loads(on_hub.files("owner/mine")["config.json"])
    changed = {**on_hub.files("owner/mine"), "config.json": json.dumps(config, indent=4).encode()}
    moved = on_hub.put("owner/mine", changed)
    second = fetch("owner/mine")
    assert (first.revision, second.revision) == (published, moved)
    assert (second.folder / "config.json").read_bytes() == changed["config.json"]
    assert fetch("owner/mine", revision=published).folder == first.folder


def test_a_push_between_two_files_is_not_mixed_with_what_was_there(on_hub: Hub, published: str) -> None:
    before = on_hub.files("owner/mine")[WEIGHTS]
    files = {**on_hub.files("owner/mine"), WEIGHTS: before + b"later"}
    on_hub.fail(r"GET .*/config\.json", then=lambda: on_hub.put("owner/mine", files))
    found = fetch("owner/mine")
    assert on_hub.repos["owner/mine"].branches["main"] != published
    assert (found.revision, (found.folder / WEIGHTS).read_bytes()) == (published, before)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("owner/none", "has no such repo, or hides it from you"),
        ("owner/mine@v9", "the repo has no such revision"),
        ("team/opt@main", f"{WEIGHTS} of team/opt@.*: the repo has no such file"),
    ],
)
def test_what_the_hub_has_not_is_told(on_hub: Hub, published: str, name: str, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        fetch(name)
    asked = [(method, path) for method, path, _ in on_hub.requests]
    assert asked.count(asked[-1]) == 1, "an answer is an answer: nothing is tried again"


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, r"refuses it \(401\); log in"), (403, r"refuses it \(403\)"), (416, r"answers with an error \(416")],
)
def test_a_refusal_is_told_and_is_not_final(on_hub: Hub, published: str, status: int, told: str) -> None:
    on_hub.fail(rf"(GET|HEAD) .*{WEIGHTS}", status=status, times=1)
    with pytest.raises(CheckpointError, match=told):
        fetch("owner/mine")
    assert fetch("owner/mine").revision == published


@pytest.mark.parametrize("status", [429, 500])
def test_a_busy_hub_is_asked_again(on_hub: Hub, published: str, status: int) -> None:
    headers = {"Retry-After": "0"} if status == 429 else {}
    on_hub.fail(rf"HEAD .*{WEIGHTS}", status=status, times=2, headers=headers)
    assert fetch("owner/mine").revision == published


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500])
def test_a_hub_that_stays_busy_is_told(on_hub: Hub, published: str, status: int) -> None:
    on_hub.fail(rf"HEAD .*{WEIGHTS}", status=status, times=100)
    with pytest.raises(CheckpointError, match=rf"busy or broken \({status}\); try again later"):
        fetch("owner/mine")


def test_a_connection_cut_in_the_middle_goes_on_where_it_broke(
    on_hub: Hub, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        constants, "DOWNLOAD_CHUNK_SIZE", 1024
    )  # a broken chunk is asked for again, 10 MB of a large file
    size = len(on_hub.files("owner/mine")[WEIGHTS])
    on_hub.fail(r"GET /cdn/", cut_after=size // 2)
    weights = fetch("owner/mine").folder / WEIGHTS
    assert weights.read_bytes() == on_hub.files("owner/mine")[WEIGHTS]
    ranges = [headers.get("range") for method, path, headers in on_hub.requests if method == "GET" and "/cdn/" in path]
    assert ranges == [None, f"bytes={size // 2 // 1024 * 1024}-"]


def test_a_file_that_arrives_damaged_is_fetched_again(on_hub: Hub, published: str) -> None:
    on_hub.fail(r"GET /cdn/", corrupt=True)
    weights = fetch("owner/mine").folder / WEIGHTS
    assert weights.read_bytes() == on_hub.files("owner/mine")[WEIGHTS]


def test_a_file_that_arrives_damaged_twice_is_refused_and_not_kept(on_hub: Hub, published: str) -> None:
    on_hub.fail(r"GET /cdn/", corrupt=True, times=2)
    with pytest.raises(CheckpointError, match="arrived damaged, twice"):
        fetch("owner/mine")
    assert cached_weights() == []
    with pytest.raises(CheckpointError, match="is not in the cache"):
        fetch("owner/mine", access=OFFLINE)
    assert fetch("owner/mine").revision == published


def test_a_row_holds_its_repo_to_revision_and_sha256(on_hub: Hub, published: str, saved: Path, tmp_path: Path) -> None:
    sha256 = sha256_of(saved / WEIGHTS)
    mine = registry(tmp_path, source="owner/mine", revision=published, sha256=sha256)
    on_hub.put("owner/mine", {"config.json": b"{}"})  # the branch moves on; the row does not
    found = fetch("mine", checkpoints=mine)
    assert found.revision == published
    assert PseudoCap.from_pretrained("mine", checkpoints=mine, device="cpu").origin.row.sha256 == sha256
    other = registry(tmp_path, source="owner/mine", revision=published, sha256="0" * 64)
    with pytest.raises(CheckpointError, match="these are other weights, and they are not used"):
        fetch("mine", checkpoints=other)
    lost = registry(tmp_path, source="owner/mine", revision="c" * 40, sha256=sha256)
    with pytest.raises(CheckpointError, match="the repo has no such revision"):
        fetch("mine", checkpoints=lost)


def test_a_cached_file_that_was_damaged_since_is_mended_for_a_row(
    on_hub: Hub, published: str, saved: Path, tmp_path: Path
) -> None:
    mine = registry(tmp_path, source="owner/mine", revision=published, sha256=sha256_of(saved / WEIGHTS))
    weights = fetch("mine", checkpoints=mine).folder / WEIGHTS
    weights.resolve().write_bytes(b"rotten")
    with pytest.raises(CheckpointError, match="other weights"):
        fetch("mine", checkpoints=mine, access=OFFLINE)
    assert (fetch("mine", checkpoints=mine).folder / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


def test_a_hub_that_answers_with_another_commit_is_refused(
    on_hub: Hub, published: str, saved: Path, tmp_path: Path
) -> None:
    repo = on_hub.repos["owner/mine"]
    claimed = "a" * 40
    repo.branches[claimed] = published  # asked for one commit, it gives another
    mine = registry(tmp_path, source="owner/mine", revision=claimed, sha256=sha256_of(saved / WEIGHTS))
    with pytest.raises(CheckpointError, match=rf"is revision {claimed}, and hf://owner/mine gave {published}"):
        fetch("mine", checkpoints=mine)


def test_no_path_of_a_hub_leaves_the_cache(on_hub: Hub, published: str, tmp_path: Path) -> None:
    repo = on_hub.repos["owner/mine"]
    for evil in ("../../../../evil", "/../evil"):
        repo.commits[evil] = repo.commits[published]
        repo.branches["main"] = evil
        with pytest.raises(CheckpointError):
            fetch("owner/mine")
    cache = Path(constants.HF_HUB_CACHE)
    assert all(cache in path.parents or path in cache.parents or path == cache for path in tmp_path.rglob("*"))


def test_without_the_hub_what_is_cached_is_loaded_and_the_rest_told_at_once(
    on_hub: Hub, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the growing pauses between tries with which the hub's client would otherwise wait for it."""
    pauses: list[float] = []
    PseudoCap.from_pretrained("owner/mine", device="cpu")
    close_hub(monkeypatch)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert PseudoCap.from_pretrained("owner/mine", device="cpu").origin.revision == published
    assert PseudoCap.from_pretrained("owner/mine", device="cpu", local_files_only=True).origin.revision == published
    with pytest.raises(CheckpointError, match=r"could not be reached .*; go online once, or name a directory"):
        fetch("owner/other")
    with pytest.raises(CheckpointError, match="local_files_only forbids to fetch it"):
        fetch("owner/other", access=OFFLINE)
    assert sum(pauses) < 3


@pytest.mark.slow
def test_processes_that_fetch_at_once_share_one_download(on_hub: Hub, published: str, tmp_path: Path) -> None:
    code = "from pseudocap.hub.fetch import fetch; print(fetch('owner/mine').folder)"
    settings = hub_settings(on_hub, tmp_path / "shared")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    folders = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    (folder,) = folders
    assert (Path(folder) / WEIGHTS).read_bytes() == on_hub.files("owner/mine")[WEIGHTS]
    sent = sum(sent for path, sent in on_hub.bytes_sent.items() if "/cdn/" in path)
    assert sent == len(on_hub.files("owner/mine")[WEIGHTS])


def test_pull_writes_a_folder_whole_or_not_at_all(
    on_hub: Hub, published: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pull", "owner/mine@main", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["to"], result["revision"]) == ("mine", published)
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"config.json", WEIGHTS, "README.md", "results.json"} == set(result["files"])
    assert PseudoCap.from_pretrained("mine", device="cpu").config.decoder.source == "team/opt"
    assert main(["pull", "owner/mine"]) == 2
    assert "mine is there already" in capsys.readouterr().err
    assert main(["pull", "owner/none", "--to", "other"]) == 2
    assert "has no such repo" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def static(hub: Hub, folder: Path, where: str) -> str:
    for path in folder.iterdir():
        hub.static[f"{where}/{path.name}"] = path.read_bytes()
    return f"{hub.endpoint}/static/{where}"


def test_a_checkpoint_on_a_web_server_is_loaded_and_asked_for_little(hub: Hub, saved: Path, tmp_path: Path) -> None:
    address = static(hub, saved, "team/mine")
    assert PseudoCap.from_pretrained(address, device="cpu").origin.source == address
    fetch(address)
    assert len(hub.asked("GET /static/")) == len(NEEDED)  # and HEADs
    mine = registry(tmp_path, source="mine", sha256=sha256_of(saved / WEIGHTS))
    hub.static["team/rows.yaml"] = mine.read_bytes()
    found = fetch("mine", checkpoints=f"{hub.endpoint}/static/team/rows.yaml")
    assert (found.folder / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"status": 403}, "could not be"),
        ({"status": 500}, "could not be"),
        ({"cut_after": 50}, "could not be fetched|broke off"),
    ],
)
def test_an_address_that_fails_is_told_leaves_nothing_and_can_be_asked_again(
    hub: Hub, saved: Path, tmp_path: Path, how: dict[str, Any], told: str
) -> None:
    address = static(hub, saved, "mine")
    hub.fail(rf"GET /static/mine/{WEIGHTS}", **how)
    with pytest.raises(CheckpointError, match=told):
        fetch(address)
    left = [path for path in (tmp_path / "hf" / "pseudocap").rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []
    assert (fetch(address).folder / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


def test_damaged_weights_from_an_address_are_refused_by_a_rows_sha256(hub: Hub, saved: Path, tmp_path: Path) -> None:
    address = static(hub, saved, "mine")
    mine = registry(tmp_path, source=address, sha256=sha256_of(saved / WEIGHTS))
    hub.fail(rf"GET /static/mine/{WEIGHTS}", corrupt=True)
    with pytest.raises(CheckpointError, match="other weights"):
        fetch("mine", checkpoints=mine)
    assert fetch("mine", checkpoints=mine).source == address
