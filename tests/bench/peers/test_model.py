"""A checkpoint beside tiny peers of transformers: the same frames and references, cost where quality is absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.films import write_film
from helpers.image_text_models import write_blip2, write_git

from pseudocap import PseudoCap
from pseudocap.bench.peers.peer_specs import Spec, read_peer
from pseudocap.bench.peers.peers import Peer, chosen_frames, load_captioner
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError, InputError
from pseudocap.zoo.tiny import write_blip, write_opt, write_timesformer


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP, a GIT of four frames, a BLIP-2, each with the files that such a repo has."""
    root = tmp_path_factory.mktemp("peers")
    write_blip(root / "blip")
    write_opt(root / "opt")
    write_git(root / "git", frames=4)
    write_blip2(root / "blip2")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner, and four films of which one is missing."""
    root = tmp_path_factory.mktemp("data")
    write_opt(root / "opt")
    write_timesformer(root / "timesformer")
    model = PseudoCap.from_backbones(decoder=root / "opt", encoder=root / "timesformer", device="cpu")
    model.save_pretrained(root / "ours")
    rows = [{"video": f"film{n}.mp4", "caption": [f"film {n} shows a number", "a number"]} for n in range(4)]
    for row in rows[:3]:
        write_film(root / row["video"], frames=12)
    (root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def spec(kind: str, source: Path | str) -> Spec:
    return Spec(kind=kind, source=str(source), device="cpu", max_new_tokens=4)


def clips(count: int, *, frames: int = 8) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, size=(count, frames, 40, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("length", "count", "wanted"), [(8, 1, [4]), (8, 4, [1, 3, 5, 7]), (1, 4, [0] * 4), (7, 1, [3])]
)
def test_frames_are_chosen_evenly_and_a_single_one_is_the_middle(length: int, count: int, wanted: list[int]) -> None:
    assert chosen_frames(length, count) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["git", "blip", "blip2"])
def test_a_peer_says_the_same_of_a_clip_alone_and_in_a_batch(kind: str, peers: Path) -> None:
    peer = load_captioner(spec(kind, peers / kind))
    assert peer.unscored == ""
    several = clips(3)
    assert peer.caption(several) == [peer.caption([clip])[0] for clip in several]


@pytest.mark.slow
def test_git_sees_several_frames_and_blip_the_centre_one(peers: Path) -> None:
    """Told by what reaches the network: which frames, if changed, change its pixels."""
    for kind, seen in (("git", {1, 3, 5, 7}), ("blip", {4})):
        peer = load_captioner(spec(kind, peers / kind))
        assert isinstance(peer, Peer)
        (clip,) = clips(1)
        before = peer._pixels([clip])
        changed = set()
        for number in range(8):
            other = clip.copy()
            other[number] = 255 - other[number]
            if not torch.equal(peer._pixels([other]), before):
                changed.add(number)
        assert changed == seen


@pytest.mark.slow
def test_without_weights_a_config_is_timed_and_not_scored(peers: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((peers / "git" / "config.json").read_bytes())
    peer = load_captioner(spec("git", tmp_path))
    whole = load_captioner(spec("git", peers / "git"))
    assert "weights cannot be loaded" in peer.unscored
    assert peer.parameters == whole.parameters
    assert peer.caption(clips(2)) == ["", ""]
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="not even its config can be had"):
        load_captioner(spec("git", tmp_path / "empty"))


def test_a_peer_that_is_named_wrongly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no kind 'bilp' \(did you mean 'blip'\?\)"):
        read_peer("bilp=x", device="cpu", max_new_tokens=4)
    with pytest.raises(InputError, match="name a directory or a repo after the ="):
        read_peer("git=", device="cpu", max_new_tokens=4)


@pytest.mark.slow
def test_everybody_is_scored_on_the_same_videos_in_one_table(
    data: Path, peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "model", str(data / "ours"), "--data", str(data / "captions.jsonl"), "--rounds", "1"]
    words += ["--peers", f"blip={peers / 'blip'}", f"git={peers / 'opt'}", "--out", str(tmp_path / "out")]
    assert main([*words, "--max-new-tokens", "4", "--device", "cpu", "--json"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    ours, blip, wrong = printed["models"]
    assert printed["coverage"]["scored"] == 3
    assert len(printed["coverage"]["missing"]) == 1
    assert set(ours["quality"]) == set(blip["quality"]) == {"CIDEr-D", "BLEU-4", "ROUGE-L"}
    assert blip["less ours"]["CIDEr-D"] == pytest.approx(
        blip["quality"]["CIDEr-D"]["value"] - ours["quality"]["CIDEr-D"]["value"], abs=0.02
    )
    assert ours["seconds a clip"]["one by one"]["median"] > 0
    assert ours["peak MiB"] > 0
    assert "it is a 'opt', not a git" in wrong["quality"]
    captions = json.loads((tmp_path / "out" / "captions.json").read_text())
    assert captions["pseudocap: ours"].keys() == captions["blip: blip"].keys()
    assert str(data) not in (tmp_path / "out" / "results.json").read_text()
