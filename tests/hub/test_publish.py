"""Publishing through the real client to a hub on this machine: one commit, nothing half-visible, safe to repeat."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.hub_server import PART, Hub
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.hub.fetch import fetch
from pseudocap.hub.publish import pack_checkpoint, send

NAMED = {"decoder": "team/opt", "encoder": "team/timesformer"}
OPTIONS = ["--decoder", "team/opt", "--encoder", "team/timesformer"]


def test_a_push_is_one_commit_that_others_load(on_hub: Hub, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(saved), "owner/mine", "--license", "mit", *OPTIONS]) == 0
    assert "published: " in capsys.readouterr().out
    repo = on_hub.repos["owner/mine"]
    assert len(repo.commits) == 1
    files = on_hub.files("owner/mine")
    assert sorted(files) == ["README.md", "adapter_model.safetensors", "config.json", "results.json"]
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == ["team/opt", "team/timesformer"]
    assert card.data.license == "mit"
    assert 'from_pretrained("owner/mine")' in card.text
    assert "| CIDEr-D | 12.50 |" in card.text
    model = PseudoCap.from_pretrained("owner/mine", device="cpu")
    assert model.origin.revision == repo.branches["main"]
    wanted = load_file(saved / "adapter_model.safetensors")
    assert {name for name, tensor in model.adapter_state().items() if torch.equal(tensor, wanted[name])} == set(wanted)


def test_only_adapters_leave_the_machine(on_hub: Hub, saved: Path, hub_backbones: Path) -> None:
    send(pack_checkpoint(saved, "owner/mine", **NAMED))
    files = on_hub.files("owner/mine")
    assert b"".join(files.values()).find(str(hub_backbones).encode()) == -1
    frozen = (hub_backbones / "opt" / "model.safetensors").stat().st_size
    sent = sum(len(content) for content in files.values())
    assert len(files["adapter_model.safetensors"]) == (saved / "adapter_model.safetensors").stat().st_size
    assert sent < frozen + (saved / "adapter_model.safetensors").stat().st_size


def test_frozen_weights_in_the_file_are_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "c")
    weights = tmp_path / "c" / "adapter_model.safetensors"
    save_file({**load_file(weights), "decoder.embed_tokens.weight": torch.zeros(2)}, weights)
    with pytest.raises(CheckpointError, match=r"'decoder.embed_tokens.weight', which is no adapter's"):
        pack_checkpoint(tmp_path / "c", "owner/mine", **NAMED)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gone is no folder"):
        pack_checkpoint(tmp_path / "gone", "owner/mine", **NAMED)


def test_a_backbone_that_is_a_directory_here_must_get_a_name(saved: Path, hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"directory of this machine.*--decoder OWNER/NAME --encoder OWNER/NAME"):
        pack_checkpoint(saved, "owner/mine")
    with pytest.raises(ConfigError, match="must be a repo"):
        pack_checkpoint(saved, "owner/mine", decoder="/some/where", encoder="team/timesformer")
    assert hub.requests == []


def test_a_dry_run_shows_all_and_asks_nobody(hub: Hub, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(saved), "owner/mine", "--dry-run", *OPTIONS]) == 0
    shown = capsys.readouterr().out
    for told in ("adapter_model.safetensors", "## Limits and biases", "nothing was sent"):
        assert told in shown
    assert main(["push", str(saved), "owner/mine", "--dry-run", "--json", *OPTIONS]) == 0
    assert json.loads(capsys.readouterr().out)["files"]["adapter_model.safetensors"] > 0
    assert hub.requests == []


def test_a_private_repo_is_hidden_from_strangers(on_hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send(pack_checkpoint(saved, "owner/secret", **NAMED), private=True)
    assert on_hub.repos["owner/secret"].private
    assert PseudoCap.from_pretrained("owner/secret", device="cpu").origin.source == "hf://owner/secret"
    with pytest.raises(CheckpointError, match="has no such repo, or hides it from you"):
        PseudoCap.from_pretrained("owner/secret", revision="v1", token=False)


def test_private_is_never_quietly_public(hub: Hub, saved: Path) -> None:
    hub.put("owner/open", {})
    with pytest.raises(CheckpointError, match="is there already and is public, so --private cannot hold"):
        send(pack_checkpoint(saved, "owner/open", **NAMED), private=True)
    assert hub.files("owner/open") == {}


def test_a_pull_request_leaves_main_as_it_was(on_hub: Hub, saved: Path) -> None:
    before = on_hub.put("owner/theirs", {"config.json": b'{"model_type": "pseudocap"}'})
    sent = send(pack_checkpoint(saved, "owner/theirs", **NAMED), pull_request=True)
    assert sent.pull_request.endswith("/discussions/1")
    assert on_hub.repos["owner/theirs"].branches["main"] == before
    assert "adapter_model.safetensors" in on_hub.files("owner/theirs", "refs/pr/1")
    assert PseudoCap.from_pretrained("owner/theirs@refs/pr/1", device="cpu").origin.revision == sent.commit


def test_a_branch_is_made_and_loaded_by_name(on_hub: Hub, saved: Path) -> None:
    sent = send(pack_checkpoint(saved, "owner/mine", **NAMED), revision="v2")
    assert on_hub.files("owner/mine", "main") == {}
    for name in ("owner/mine@v2", f"hf://owner/mine@{sent.commit}"):
        assert PseudoCap.from_pretrained(name, device="cpu").origin.revision == sent.commit


def test_another_model_is_never_overwritten(hub: Hub, saved: Path) -> None:
    hub.put("owner/other", {"config.json": b'{"model_type": "opt"}'})
    with pytest.raises(CheckpointError, match="holds a 'opt', which a captioner must not overwrite; nothing was sent"):
        send(pack_checkpoint(saved, "owner/other", **NAMED))
    assert list(hub.files("owner/other")) == ["config.json"]


@pytest.mark.parametrize(
    ("where", "status", "told"),
    [
        (r"POST /api/repos/create", 401, "log in"),
        (r"POST .*/preupload", 403, "may not write there"),
        (r"POST .*/commit/", 403, "may not write there"),
        (r"POST .*/commit/", 500, r"busy or broken \(500\); nothing of it is visible; run the same command again"),
        (r"POST .*/commit/", 429, r"busy or broken \(429\)"),
        (r"PUT /lfs/upload", 400, r"refuses it \(400\)"),
        (r"POST /lfs/verify", 422, r"refuses it \(422\)"),
    ],
)
def test_a_failed_push_leaves_nothing_visible_and_can_be_repeated(
    on_hub: Hub, saved: Path, where: str, status: int, told: str
) -> None:
    on_hub.fail(where, status=status)
    with pytest.raises(CheckpointError, match=told):
        send(pack_checkpoint(saved, "owner/mine", **NAMED))
    if "owner/mine" in on_hub.repos:
        assert on_hub.files("owner/mine") == {}
    send(pack_checkpoint(saved, "owner/mine", **NAMED))
    weights = fetch("owner/mine").folder / "adapter_model.safetensors"
    assert weights.read_bytes() == (saved / "adapter_model.safetensors").read_bytes()


def test_a_hub_that_cannot_be_reached_is_named(
    hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    named = (word for name, repo in NAMED.items() for word in (f"--{name}", repo))
    assert main(["push", str(saved), "owner/mine", *named]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: owner/mine was not published: http://127.0.0.1:9 could not be reached (")


def test_an_upload_that_is_cut_is_taken_up_again(on_hub: Hub, saved: Path) -> None:
    on_hub.fail(r"PUT /lfs/upload", status=503, times=1)
    send(pack_checkpoint(saved, "owner/mine", **NAMED))
    assert on_hub.files("owner/mine")["adapter_model.safetensors"] == (saved / "adapter_model.safetensors").read_bytes()


def test_large_files_go_up_in_parts_and_come_down_whole(hub: Hub, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "c")
    weights = tmp_path / "c" / "adapter_model.safetensors"
    layer = json.loads((saved / "config.json").read_text())["adapter_layers"][0]
    save_file({**load_file(weights), f"{layer}.large": torch.randn(PART)}, weights)  # four bytes a number
    send(pack_checkpoint(tmp_path / "c", "owner/large", **NAMED))
    assert len(hub.asked(r"PUT /lfs/upload")) >= 4
    assert (fetch("owner/large").folder / "adapter_model.safetensors").read_bytes() == weights.read_bytes()


def test_what_is_there_already_is_not_sent_again(on_hub: Hub, saved: Path) -> None:
    send(pack_checkpoint(saved, "owner/mine", **NAMED))
    uploads = len(on_hub.asked(r"PUT /lfs"))
    send(pack_checkpoint(saved, "owner/mine", license="mit", **NAMED))
    assert len(on_hub.asked(r"PUT /lfs")) == uploads == 1
    assert b"license: mit" in on_hub.files("owner/mine")["README.md"]


def test_a_page_of_ones_own_is_sent_as_it_is(on_hub: Hub, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "c")
    (tmp_path / "c" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    send(pack_checkpoint(tmp_path / "c", "owner/mine", **NAMED))
    assert on_hub.files("owner/mine")["README.md"] == b"---\nlicense: mit\n---\nMine.\n"
    (tmp_path / "c" / "README.md").write_text("---\nlicense: [mit\n---\nMine.\n")
    with pytest.raises(CheckpointError, match="Invalid metadata in README"):
        send(pack_checkpoint(tmp_path / "c", "owner/mine", **NAMED))


def test_push_to_hub_publishes_the_model_in_memory(on_hub: Hub, saved: Path, hub_backbones: Path) -> None:
    model = PseudoCap.from_pretrained(saved, device="cpu")
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.requires_grad).add_(1)
    model.push_to_hub("owner/memory", license="mit", **NAMED)
    again = PseudoCap.from_pretrained("owner/memory", device="cpu")
    for name, tensor in model.adapter_state().items():
        assert torch.equal(again.adapter_state()[name], tensor)


@pytest.mark.parametrize("repo", ["mine", "owner/mine/more", "owner mine/x", "https://host/owner/mine", ""])
def test_a_repo_that_cannot_be_is_told(saved: Path, repo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(saved), repo, "--dry-run", *OPTIONS]) == 2
    assert "write owner/name" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "adapter_model.safetensors", "results.json"])
def test_a_damaged_checkpoint_is_not_published(
    saved: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(saved, tmp_path / "c")
    whole = (tmp_path / "c" / name).read_bytes()
    (tmp_path / "c" / name).write_bytes(whole[: len(whole) // 2])
    assert main(["push", str(tmp_path / "c"), "owner/mine", "--dry-run", *OPTIONS]) == 2
    assert name in capsys.readouterr().err
