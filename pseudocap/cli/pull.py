"""Pull a checkpoint into a folder of one's own, completely or not at all: `pseudocap pull N --to DIR`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.errors import CheckpointError
from pseudocap.files.atomic import unfinished_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="N", help="a row of `pseudocap zoo list`, owner/repo, owner/repo@revision, or an address"
    )
    add_option(parser, "--to", Path, "DIR", "the folder to write (default: the name's last part)")
    add_option(parser, "--revision", str, "R", "a branch, a tag or a commit of the repo")
    add_checkpoints_option(parser)
    add_flag(parser, "--local-files-only", "from the cache, without network")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from pseudocap.hub.checkpoint import existing
    from pseudocap.hub.fetch import BESIDE, NEEDED, Access, fetch

    target: Path = args.to or Path(args.name.rstrip("/").rpartition("/")[2].partition("@")[0])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is there already and holds something; name another folder with --to")
    found = fetch(
        args.name,
        revision=args.revision,
        checkpoints=args.checkpoints,
        access=Access(local_files_only=args.local_files_only),
        optional=BESIDE,
    )
    for name in NEEDED:
        existing(found.folder / name)
    files = [name for name in (*NEEDED, *BESIDE) if (found.folder / name).is_file()]
    with unfinished_folder(target) as scratch:
        for name in files:
            shutil.copyfile(found.folder / name, scratch / name)
    if args.json:
        print(json.dumps({"to": str(target), "from": found.source, "revision": found.revision, "files": files}))
        return 0
    at = f", revision {found.revision}" if found.revision else ""
    print(f"{target}: {', '.join(files)}, from {found.source}{at}")
    print(f"to use it: PseudoCap.from_pretrained({str(target)!r}); its frozen backbones are fetched at first use")
    return 0
