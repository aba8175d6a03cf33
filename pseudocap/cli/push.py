"""Publish adapters, config, results and a page about them in one commit: `pseudocap push DIR owner/repo`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pseudocap.cli.options import add_flag, add_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a saved checkpoint, RUN/best for example")
    parser.add_argument("repo", metavar="OWNER/REPO", help="where to; a repo that is not there is made")
    add_flag(parser, "--private", "make the repo private")
    add_flag(parser, "--pr", "ask the repo's owners with a pull request")
    add_option(parser, "--revision", str, "BRANCH", "a branch other than main; made if it is not there")
    add_option(parser, "--license", str, "ID", "of the adapters, as the hub names it: apache-2.0, mit, ...")
    add_option(parser, "--decoder", str, "NAME", "where others find the decoder, if it is a directory here")
    add_option(parser, "--encoder", str, "NAME", "where others find the encoder, likewise")
    add_option(parser, "--audio-encoder", str, "NAME", "where others find the encoder of sound, likewise")
    add_option(parser, "--text", str, "NAME", "where others find a retriever's language model, likewise")
    add_option(parser, "--message", str, "TEXT", "of the commit")
    add_flag(parser, "--dry-run", "print what would be sent, without any request")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from pseudocap.hub.card import MARK
    from pseudocap.hub.fetch import CARD_FILE
    from pseudocap.hub.publish import pack_checkpoint, send

    named = {which: getattr(args, which) for which in ("decoder", "encoder", "audio_encoder", "text")}
    parcel = pack_checkpoint(args.folder, args.repo, license=args.license, **named)
    page = parcel.files[CARD_FILE]
    result = {"repo": parcel.repo, "files": parcel.sizes(), "dry_run": args.dry_run}
    if args.dry_run:
        if args.json:
            print(json.dumps({**result, "card": _text(page)}))
        else:
            _print_files(result["files"])
            print(f"\n{_text(page)}")
            print(f"nothing was sent; without --dry-run it would go to {parcel.repo} in one commit")
        return 0
    sent = send(parcel, private=args.private, pull_request=args.pr, revision=args.revision, message=args.message)
    result |= {"commit": sent.commit, "url": sent.url, "pull_request": sent.pull_request}
    if args.json:
        print(json.dumps(result))
        return 0
    _print_files(result["files"])
    print(f"published: {sent.pull_request or sent.url}")
    at = "" if args.revision is None else f"@{args.revision}"
    used = "PseudoCap" if "decoder" in parcel.config.backbones else "Retriever"
    print(f"to use it: {used}.from_pretrained({parcel.repo + at!r})")
    if args.license is None and MARK in _text(page) and "\nlicense:" not in _text(page):
        print("no licence is named, so nobody may use it: publish again with --license (apache-2.0, mit, ...)")
    return 0


def _text(page: bytes | Path) -> str:
    return (page if isinstance(page, bytes) else page.read_bytes()).decode("utf-8", "replace")


def _print_files(files: dict[str, int]) -> None:
    for name, size in files.items():
        print(f"{name:<28} {size:>14,} bytes")
