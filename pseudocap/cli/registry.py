"""Find the checkpoints that a verb names, before torch is imported; the captioner of verbs that name none."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.hub.external import External
    from pseudocap.hub.fetch import Fetched
    from pseudocap.model.config import PseudoCapConfig
    from pseudocap.model.retrieval_config import RetrieverConfig

DEFAULT_RETRIEVER = "real-search"  # of a new index
DEFAULT_CAPTIONER = "real-photos"  # of caption, demo and app: the best that is shipped for real pictures and video


def add_checkpoints_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--checkpoints",
        metavar="FILE_OR_URL",
        help="a registry of your own beside the shipped checkpoints.yaml (default: $PSEUDOCAP_CHECKPOINTS)",
    )


def find_any_captioner(name: str, checkpoints: str | None, *, frames: str | None = None) -> Fetched | External:
    """Locate a captioner of ours or a model of transformers."""
    from pseudocap.hub.external import find_external, refuse_frames

    external = find_external(name, checkpoints=checkpoints)
    if external is not None:
        return external
    from pseudocap.hub.checkpoint import check_folder, check_valor, is_valor
    from pseudocap.hub.fetch import fetch

    found = fetch(name, checkpoints=checkpoints)
    check = check_valor if is_valor(found) else check_folder
    check(found.folder, dict.fromkeys(("decoder", "text", "encoder", "audio_encoder")))
    refuse_frames(frames, name)
    return found


def find_captioner(
    name: str,
    checkpoints: str | None,
    *,
    decoder: str | None = None,
    encoder: str | None = None,
    audio_encoder: str | None = None,
) -> Fetched:
    """Locate the captioner; a name that is none, a folder that holds none and a backbone that has gone are reported
    now, and not after the seconds that torch takes to be imported."""
    from pseudocap.hub.checkpoint import check_folder
    from pseudocap.hub.fetch import fetch

    found = fetch(name, checkpoints=checkpoints)
    check_folder(found.folder, {"decoder": decoder, "encoder": encoder, "audio_encoder": audio_encoder})
    return found


def find_own_retriever(
    name: str,
    checkpoints: str | None,
    *,
    text: str | None = None,
    encoder: str | None = None,
    audio_encoder: str | None = None,
) -> tuple[Fetched, RetrieverConfig]:
    """Locate a retriever of ours, as `find_captioner` does a captioner, and return it with its config."""
    from pseudocap.hub.checkpoint import check_retriever
    from pseudocap.hub.fetch import fetch

    found = fetch(name, checkpoints=checkpoints)
    return found, check_retriever(found.folder, {"text": text, "encoder": encoder, "audio_encoder": audio_encoder})[0]


def fingerprint(found: Fetched | External) -> str:
    """Name the weights that captions come from: their content or, of a model of transformers here, its files by size
    and time, so that a captioner that has learned since is another one."""
    folder = getattr(found, "folder", None)
    if folder is not None:
        files = sorted(folder / name for name in ("config.json", "adapter_model.safetensors"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files if path.is_file())).hexdigest()
    here = Path(found.source).expanduser()
    files = sorted(path for path in here.glob("*") if path.is_file()) if here.is_dir() else []
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return json.dumps([found.source, found.revision, state])


def print_toy_notice(name: str, made_of: PseudoCapConfig | str) -> None:
    """Print to stderr that a captioner or a teacher is a toy, where it is one."""
    from pseudocap.hub.toys import toy_notice

    if notice := toy_notice(name, made_of):
        print(f"warning: {notice}", file=sys.stderr)
