"""Publish a checkpoint to a repo of the hub, in one commit: visible completely or not at all, and safe to repeat.

Only adapters, config, results and the page leave this machine. Backbones are named, never sent; one that is named by a
directory of this machine would be of use to nobody, so it must get a name that others find it by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.sources import BUSY, HUB_SCHEME, REPO, SHIPPED_SCHEME, read_json, resolve_source
from pseudocap.hub.card import About, card_text, may_write, retriever_card
from pseudocap.hub.checkpoint import existing, read_config, read_retriever_config
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, MODEL_TYPE, RESULTS_FILE, WEIGHTS_FILE
from pseudocap.model.config import CONTEXT, RESAMPLER, Backbone, PseudoCapConfig
from pseudocap.model.retrieval_config import MODEL_TYPE as RETRIEVER_TYPE
from pseudocap.model.retrieval_config import RetrieverConfig

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TRUNK = "main"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """Hold what would be sent: the files by their names in the repo."""

    repo: str
    files: Mapping[str, bytes | Path]
    config: PseudoCapConfig | RetrieverConfig

    def sizes(self) -> dict[str, int]:
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in self.files.items()
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    repo: str
    commit: str
    url: str
    pull_request: str | None


def pack_checkpoint(
    folder: Path,
    repo: str,
    *,
    license: str | None = None,  # noqa: A002 - the word that the hub's metadata has
    decoder: str | None = None,
    encoder: str | None = None,
    audio_encoder: str | None = None,
    text: str | None = None,
) -> Parcel:
    """Check a checkpoint and prepare what would be sent of it. Makes no request and changes nothing."""
    name = repo.removeprefix(HUB_SCHEME)
    if not REPO.fullmatch(name):
        raise ConfigError(f"{repo!r} is no repo to publish in; write owner/name")
    is_retriever = read_json(existing(folder / CONFIG_FILE)).get("model_type") == RETRIEVER_TYPE
    recorded = read_retriever_config(folder) if is_retriever else read_config(folder)
    named = {"decoder": decoder, "encoder": encoder, "audio_encoder": audio_encoder, "text": text}
    config = _renamed(recorded, named)
    _check_weights(existing(folder / WEIGHTS_FILE), config)
    results = read_results(folder)
    if license is None and results.get("license") is not None:
        license = str(results["license"])  # noqa: A001
    card = folder / CARD_FILE
    page = card.read_bytes() if not may_write(card) else _page(config, results, About(name=name, license=license))
    files: dict[str, bytes | Path] = {
        CARD_FILE: page,
        CONFIG_FILE: _json(config.to_dict()),
        RESULTS_FILE: _json(results),
        WEIGHTS_FILE: folder / WEIGHTS_FILE,
    }
    return Parcel(repo=name, files=files, config=config)


def send(
    parcel: Parcel,
    *,
    private: bool = False,
    pull_request: bool = False,
    revision: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
) -> Published:
    """Send all files in one commit. A new repo is made for it, except where a pull request is requested."""
    from huggingface_hub import CommitOperationAdd, HfApi

    if private and pull_request:
        raise ConfigError("--private makes a repo, and --pr asks the owners of one that is there; leave one out")
    api = HfApi(token=token, library_name="pseudocap")
    try:
        if not pull_request:
            _make_repo(api, parcel.repo, private=private)
            if revision not in (None, TRUNK):
                api.create_branch(parcel.repo, branch=str(revision), exist_ok=True)
        own = str(parcel.config.to_dict()["model_type"])
        _refuse_foreign(api, parcel.repo, None if pull_request else revision, own)
        commit = api.create_commit(
            parcel.repo,
            [CommitOperationAdd(name, content) for name, content in parcel.files.items()],
            commit_message=message or "Adapters, config, results and card, by pseudocap push",
            revision=revision,
            create_pr=pull_request,
        )
    except (CheckpointError, ConfigError):
        raise
    except Exception as error:  # a connection breaks in the ways of whichever HTTP library the client stands on
        raise CheckpointError(f"{parcel.repo} was not published: {_reason(error)}") from error
    return Published(repo=parcel.repo, commit=commit.oid, url=commit.commit_url, pull_request=commit.pr_url)


def read_results(folder: Path) -> dict[str, Any]:
    """Read results.json of a checkpoint; nothing where there is none."""
    path = folder / RESULTS_FILE
    return read_json(path) if path.is_file() else {}


def homeless(config: PseudoCapConfig | RetrieverConfig) -> list[str]:
    """Return which of the backbones are named by a directory of this machine, which nobody else has."""
    return [which for which, backbone in config.backbones.items() if not _is_known_elsewhere(backbone)]


def _is_known_elsewhere(backbone: Backbone) -> bool:
    if backbone.source.startswith(SHIPPED_SCHEME):
        return True
    return bool(REPO.fullmatch(resolve_source(backbone.source))) and not Path(backbone.source).is_dir()


def _renamed(
    config: PseudoCapConfig | RetrieverConfig, names: Mapping[str, str | None]
) -> PseudoCapConfig | RetrieverConfig:
    for which, name in names.items():
        if name is not None:
            if which not in config.backbones:
                kind = "captioner" if isinstance(config, PseudoCapConfig) else "retriever"
                raise ConfigError(f"{_flag(which)} {name!r}: the {kind} has no {which.replace('_', ' ')}")
            backbone = replace(config.backbones[which], source=name, revision=None)
            if not _is_known_elsewhere(backbone):
                raise ConfigError(f"{_flag(which)} {name!r} must be a repo (owner/name) or what the package ships")
            config = config.with_backbones(**{which: backbone})
    if lost := homeless(config):
        directories = " and ".join(
            f"the {which.replace('_', ' ')} by {config.backbones[which].source}" for which in lost
        )
        options = " ".join(f"{_flag(which)} OWNER/NAME" for which in lost)
        raise CheckpointError(
            f"the checkpoint names {directories}, a directory of this machine, where nobody else will find it: publish "
            f"that backbone and say where others do ({options}); its fingerprint stays in the config"
        )
    return config


def _flag(which: str) -> str:
    return f"--{which.replace('_', '-')}"


def _check_weights(path: Path, config: PseudoCapConfig | RetrieverConfig) -> None:
    """Check that these are all adapters (and resampler), or towers, of this config and nothing else: no frozen weight
    leaves by mistake."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {first_line(error)}; save it again") from error
    if isinstance(config, RetrieverConfig):
        parts = {"text_tower", "media_tower", "join", "log_temperature"}
        parts |= set() if config.text_frozen_below is None else {"text"}
    else:
        parts = {str(layer) for layer in config.adapter_layers}
        parts |= {config.attention} & {CONTEXT, RESAMPLER}  # their parts' names
        parts |= {"lm"} if config.learn_decoder else set()
    foreign = sorted(name for name in names if name.partition(".")[0] not in parts)
    if foreign or not names:
        raise CheckpointError(
            f"{path} holds {f'{foreign[0]!r}, which is' if foreign else 'nothing, which is'} no adapter's: only "
            "adapters and towers are published"
        )


def _page(config: PseudoCapConfig | RetrieverConfig, results: Mapping[str, Any], about: About) -> bytes:
    try:
        if isinstance(config, RetrieverConfig):
            return retriever_card(config, results, about).encode()
        return card_text(config, results, about).encode()
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{RESULTS_FILE} is not what pseudocap writes, so no page can be made of it: {first_line(error)}"
        ) from error


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _make_repo(api: HfApi, repo: str, *, private: bool) -> None:
    api.create_repo(repo, private=True if private else None, exist_ok=True)
    if private and not api.model_info(repo).private:
        raise CheckpointError(
            f"{repo} is there already and is public, so --private cannot hold; nothing was sent: make it private in "
            "its settings first, or name another"
        )


def _refuse_foreign(api: HfApi, repo: str, revision: str | None, own: str) -> None:
    """Refuse to publish over another model: a checkpoint may replace only one of its own kind."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        there = json.loads(Path(api.hf_hub_download(repo, CONFIG_FILE, revision=revision)).read_bytes())
    except RemoteEntryNotFoundError:
        return
    except ValueError:
        there = None
    kind = there.get("model_type") if isinstance(there, dict) else there
    if kind != own:
        what = "captioner" if own == MODEL_TYPE else "retriever"
        raise CheckpointError(
            f"{repo} holds a {kind!r}, which a {what} must not overwrite; nothing was sent: name another repo"
        )


def _reason(error: BaseException) -> str:
    """Return the reason of an upload that failed; the client wraps the cause of some."""
    from huggingface_hub import constants, errors

    while isinstance(error, RuntimeError | errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    again = "nothing of it is visible; run the same command again"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to publish"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repo has no such branch"
    if status == 401 or isinstance(error, errors.LocalTokenNotFoundError):
        return f"{constants.ENDPOINT} does not know who asks (401); log in (`hf auth login`) or give a token"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{constants.ENDPOINT} has no such repo, or hides it from this token"
    if status == 403:
        return f"the token may not write there (403); take one with write access to {constants.ENDPOINT}"
    if status in BUSY:
        return f"{constants.ENDPOINT} is busy or broken ({status}); {again}, later"
    if status is not None:
        reason = " ".join(re.sub(r"https?://\S+", "", str(error)).split())
        return f"{constants.ENDPOINT} refuses it ({status}): {reason[:300]}"
    if isinstance(error, ValueError):  # a name or a file that the client refuses
        return f"{first_line(error)}; {again}"
    reason = f"{constants.ENDPOINT} could not be reached ({first_line(error)})"
    return f"{reason}; {again}, when it can (`pseudocap doctor` tests the hub)"
