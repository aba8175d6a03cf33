"""Compare the settings of a fine-tuning with those that the run in --out began with."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.files.reading import sha256_of
from pseudocap.files.sources import read_json
from pseudocap.hub.checkpoint import existing
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.regimes.table import BASELINE, LAST

if TYPE_CHECKING:
    from pseudocap.model.config import Backbone

HEARING = (
    "--modality-groups",
    "--validation-groups",
    "--language-mix",
    "the audio_encoder",
)  # settings not written where there are none


def begun_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the run in --out began with. One that exists is neither overwritten nor resumed
    unasked."""
    best, last, baseline = (args.out / name for name in ("best", LAST, BASELINE))
    if not args.resume:
        if best.exists() or last.exists():
            raise ConfigError(f"--out {args.out} holds a run already; go on with it (--resume), or name another folder")
        return {}
    if not baseline.is_file():
        raise CheckpointError(
            f"--resume: {args.out} holds no run to go on with ({baseline} is not there); leave --resume out to begin it"
        )
    document: dict[str, Any] = dict(read_json(baseline))
    return dict(document["settings"])


def run_settings(
    args: argparse.Namespace, start: Path, backbones: Mapping[str, Backbone], begun: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what weights and scores depend on beside the captions; ConfigError where the run to resume had others."""
    settings = {
        f"--{name.replace('_', '-')}": getattr(args, name) for name in ("lr", "size", "beams", "val_share", "seed")
    }
    settings["--batch-size"] = args.batch_size or begun.get("--batch-size")
    settings |= given_groups(args) | fingerprints(backbones)
    learns = "retriever" if args.retrieval else "captioner"
    settings[f"the {learns} --from"] = sha256_of(existing(start / WEIGHTS_FILE))[:12]
    known = dict(settings)
    if args.audio_encoder is not None:  # one that is gained is compared once it is loaded
        known.setdefault("the audio_encoder", begun.get("the audio_encoder"))
    require_same(known, begun)
    return settings


def given_groups(args: argparse.Namespace) -> dict[str, str]:
    """Return the groups of modalities and the languages that were given, as they are written, by their options."""
    groups = {}
    if args.modality_groups is not None:
        groups["--modality-groups"] = ",".join(f"{name}={share:g}" for name, share in args.modality_groups.items())
    if args.language_mix is not None:
        groups["--language-mix"] = ",".join(f"{name}={share:g}" for name, share in args.language_mix.items())
    if args.validation_groups is not None:
        groups["--validation-groups"] = ",".join(args.validation_groups)
    return groups


def fingerprints(backbones: Mapping[str, Backbone]) -> dict[str, str]:
    return {f"the {which}": backbone.fingerprint[:12] for which, backbone in backbones.items()}


def require_same(settings: Mapping[str, Any], begun: Mapping[str, Any]) -> None:
    """Raise ConfigError where the run to resume, if there is one, had other settings."""
    for name in dict.fromkeys((*settings, *HEARING)) if begun else ():
        value = settings.get(name)
        if (before := begun.get(name, None if name in HEARING else value)) != value:
            absent = "none" if name in HEARING else "its own"
            had, has = (absent if each is None else each for each in (before, value))
            raise ConfigError(
                f"the run to resume had {name} {had} and this one has {has}: set it as it was, or name another --out"
            )
