"""Weights for others: what a push would send, a registry of one's own, and a captioner fetched by its name.

    python examples/06_publish_and_fetch.py                                    # asks nobody, sends nothing
    python examples/06_publish_and_fetch.py --captioner run/best --zoo s3://team/zoo
    python examples/06_publish_and_fetch.py --captioner run/best --repo OWNER/NAME    # one commit to a private repo

For real weights, name your run's best/ as --captioner (04_finetune_on_your_captions.py), as --zoo a folder or an
address that fsspec knows, and, to publish on the hub after `hf auth login`, a --repo. A captioner between backbones
that are directories of yours also needs the names that others find them by: `pseudocap push --decoder --encoder`.
docs/hub.md has the rest.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import fsspec
import torch
import yaml

from pseudocap import PseudoCap, list_checkpoints
from pseudocap.cli.main import main as pseudocap
from pseudocap.files.reading import sha256_of
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.hub.publish import read_results


def main() -> None:
    parser = argparse.ArgumentParser(description="Publish a captioner, and fetch it again by its name.")
    parser.add_argument("--captioner", default="toy-mixed-ext", help="a row or a directory")
    parser.add_argument("--zoo", default="memory://example/zoo", help="where the registry goes (this process's memory)")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="publish for real, in a private repo")
    parser.add_argument("--smoke", action="store_true", help="the same: it takes seconds")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "captioner"
        mine = PseudoCap.from_pretrained(args.captioner)
        assert mine.origin is not None  # from_pretrained says where it came from
        # Adapters, config, what is known of them, and a page that says so. The frozen backbones are only named.
        mine.save_pretrained(folder, results=read_results(mine.origin.folder))

        run("push", str(folder), args.repo or "OWNER/NAME", "--license", "apache-2.0", "--dry-run")
        if args.repo:
            run("push", str(folder), args.repo, "--license", "apache-2.0", "--private")
            run("pull", args.repo, "--to", str(Path(scratch) / "pulled"))

        registry = publish_in_a_registry(folder, mine, args.zoo, Path(scratch) / "zoo")
        print(f"\n{registry} names {', '.join(row['name'] for row in list_checkpoints(registry))}")
        fetched = PseudoCap.from_pretrained("mine", checkpoints=registry)
        arrived = fetched.adapter_state()
        same = all(torch.equal(tensor, arrived[name]) for name, tensor in mine.adapter_state().items())
        print(f"fetched by its name, its sha256 compared with the row's; the same adapters: {same}")


def publish_in_a_registry(captioner: Path, model: PseudoCap, address: str, scratch: Path) -> str:
    """A row and its weights to `address/`; everybody who is given the registry's address has its names."""
    shutil.copytree(captioner, scratch / "captioners" / "mine")
    config = model.config
    row = {
        "name": "mine",
        "regime": "mixed-ext",
        "decoder": {"source": config.decoder.source, "fingerprint": config.decoder.fingerprint},
        "encoder": {"source": config.encoder.source, "fingerprint": config.encoder.fingerprint},
        "weights": {"source": "captioners/mine", "sha256": sha256_of(captioner / WEIGHTS_FILE)},
        "preprocess": {"size": config.preprocess.size, "frames": config.preprocess.frames},
        "config": "captioners/mine/config.json",
        "scores": [],  # {dataset, split, metrics, command}, as `pseudocap score` gave them
        "license": "Apache-2.0",
        "made_by": {"command": "pseudocap finetune ...", "seed": 0},
    }
    text = yaml.safe_dump({"checkpoints": [row]}, sort_keys=False)
    (scratch / "checkpoints.yaml").write_text(text, encoding="utf-8")
    store, root = fsspec.url_to_fs(address)
    store.put(f"{scratch}/", f"{root}/", recursive=True)  # the registry, and below it what it names
    return f"{address}/checkpoints.yaml"


def run(*words: str) -> None:
    print(f"\n$ pseudocap {shlex.join(words)}", flush=True)
    if pseudocap(words) > 1:
        sys.exit(2)


if __name__ == "__main__":
    main()
