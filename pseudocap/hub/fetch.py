"""Fetch a checkpoint by its name to a directory on this disk: a row, a repo of the hub, a directory, or an address.

Only the files of a checkpoint are fetched, by names that stand here. Weights are safetensors, which run no code; what
a registry's row says of them (revision, sha256) is checked before anyone loads them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from pseudocap.errors import CheckpointError
from pseudocap.files.reading import sha256_of
from pseudocap.files.sources import COMMIT, HUB_SCHEME, REPO, check_repo, find_file, hub_file, is_cached, resolve_source
from pseudocap.hub.addresses import drop_address, fetch_address
from pseudocap.hub.manifest import URL, Row, all_rows, offer

MODEL_TYPE = "pseudocap"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
CARD_FILE = "README.md"
RESULTS_FILE = "results.json"
NEEDED = (CONFIG_FILE, WEIGHTS_FILE)
INSIDE_A_RUN = "captioner"  # where `pseudocap learn` leaves it
BESIDE = (CARD_FILE, RESULTS_FILE)  # a checkpoint without them is complete


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Locate a checkpoint on this disk: where it lies, where it came from, and the row that named it."""

    folder: Path
    source: str
    revision: str | None = None
    row: Row | None = None

    @property
    def public_name(self) -> str | None:
        """Return the name that others may use; a directory of this machine has no such name."""
        if self.row is not None and self.row.shipped:
            return self.row.name
        if not URL.match(self.source):
            return None
        return f"{self.source.removeprefix(HUB_SCHEME)}{f'@{self.revision}' if self.revision else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Set how a hub is reached. `token` as huggingface_hub takes it: None is the one that was logged in with."""

    local_files_only: bool = False
    token: str | bool | None = None


ORDINARY = Access()


def fetch(
    name: str | Path,
    *,
    revision: str | None = None,
    checkpoints: str | Path | None = None,
    access: Access = ORDINARY,
    optional: tuple[str, ...] = (),
) -> Fetched:
    """Fetch `name`: a directory, a row's name, `owner/repo`, `owner/repo@revision`, `hf://...`, `pseudocap://...` or
    any other address. A directory goes before a row of the same name, as it does in transformers."""
    text = str(name)
    if isinstance(name, Path) or not URL.match(text):
        folder = Path(name).expanduser()
        if folder.is_dir():
            return _directory(folder, revision)
        if folder.suffix == ".gguf" and folder.is_file():
            raise CheckpointError(
                f"{name} is a language model, which sees no video; name a captioner (`pseudocap zoo list` has some), "
                "or train one that has it as the decoder (docs/network.md)"
            )
        if folder.is_file():
            raise CheckpointError(f"{name} is a file; give the directory that holds it")
        if _is_bare(text):
            return _row(text, revision, checkpoints, access, optional)
        row, _, written = text.partition("@")
        if written and _is_bare(row):
            return _row(row, revision or written, checkpoints, access, optional)
    return _elsewhere(text, revision, access, optional)


def _is_bare(text: str) -> bool:
    """Return whether it can only be a row's name: a repo or a path has a slash."""
    return "/" not in text and "@" not in text


def _directory(folder: Path, revision: str | None) -> Fetched:
    if revision is not None:
        raise CheckpointError(f"{folder} is a directory and has no revision {revision!r}; leave the revision out")
    folder = captioner_in(folder)
    return Fetched(folder=folder, source=str(folder))


def captioner_in(folder: Path) -> Path:
    """Return the folder of the captioner where this is that of a run of `pseudocap learn`."""
    inside = folder / INSIDE_A_RUN
    return inside if not (folder / CONFIG_FILE).is_file() and (inside / CONFIG_FILE).is_file() else folder


def _row(
    name: str, revision: str | None, checkpoints: str | Path | None, access: Access, optional: tuple[str, ...]
) -> Fetched:
    rows = all_rows(checkpoints, local_files_only=access.local_files_only)
    row = rows.get(name)
    if row is not None and row.external:
        raise CheckpointError(
            f"{name} is no PseudoCap but {row.weights}, a model of transformers: it captions (pseudocap caption "
            f"--checkpoint {name}, pseudocap.load) and teaches (pseudocap label --teacher {name})"
        )
    if row is None:
        raise CheckpointError(f"{name} is no directory here{offer(name, rows, checkpoints)}")
    if revision not in (None, row.revision):
        raise CheckpointError(
            f"{name} is revision {row.revision} of {row.weights} ({row.registry}), not {revision!r}; for another "
            "revision name the repo itself"
        )
    return fetch_row(row, access=access, optional=optional)


def fetch_row(row: Row, *, access: Access = ORDINARY, optional: tuple[str, ...] = ()) -> Fetched:
    """Fetch what a row names, and check that it is what the row declares."""
    source = row.weights
    if not URL.match(source):
        if not Path(source).is_dir():
            raise CheckpointError(f"{row.name} of {row.registry}: there is no directory {source}; fix weights.source")
        found = _directory(Path(source), row.revision)
    else:
        found = _elsewhere(source, row.revision, access, optional)
    if row.revision and COMMIT.fullmatch(row.revision) and found.revision != row.revision:
        raise CheckpointError(
            f"{row.name} of {row.registry} is revision {row.revision}, and {source} gave {found.revision}; "
            "it is not used"
        )
    _check_sha256(found, row, access)
    return Fetched(folder=found.folder, source=found.source, revision=found.revision, row=row)


def _elsewhere(text: str, revision: str | None, access: Access, optional: tuple[str, ...]) -> Fetched:
    scheme = text.partition("://")[0].lower() if URL.match(text) else ""
    if scheme in ("", "hf"):
        repo, written = _split_revision(text)
        if revision is not None and written not in (None, revision):
            raise CheckpointError(f"{text} and revision={revision!r} name two revisions; leave one out")
        return _hub(repo, revision or written, access, optional)
    if scheme == "pseudocap":
        return _directory(Path(resolve_source(text)), revision)
    if scheme == "file":
        return _directory(Path(text.partition("://")[2]), revision)
    if revision is not None:
        raise CheckpointError(f"{text} is an address and has no revision {revision!r}; leave the revision out")
    folder = fetch_address(text, NEEDED, optional, local_files_only=access.local_files_only)
    return Fetched(folder=folder, source=text)


def is_captioner(name: str, *, revision: str | None = None, checkpoints: str | Path | None = None) -> bool:
    """Return whether `name` is a PseudoCap checkpoint, by config.json alone, and not a backbone or a teacher."""
    scheme = name.partition("://")[0].lower() if URL.match(name) else ""
    if scheme not in ("", "hf", "pseudocap"):
        return True  # nothing else of ours is loaded from an address
    if not scheme and not Path(name).expanduser().is_dir() and _is_bare(name):
        row = find_row(name, checkpoints)
        return row is not None and not row.external and not row.retriever and not row.valor
    source, written = split_written(name)
    return model_type(source, revision or written) == MODEL_TYPE


def split_written(name: str) -> tuple[str, str | None]:
    """Split off a revision that is written after an @; a directory's own name may have one."""
    if not URL.match(name) and Path(name).expanduser().is_dir():
        return name, None
    source, _, written = name.partition("@")
    return source, written or None


def find_row(name: str, checkpoints: str | Path | None = None) -> Row | None:
    """Return the row of that name; a directory goes before it."""
    bare = not URL.match(name) and _is_bare(name) and not Path(name).expanduser().is_dir()
    return all_rows(checkpoints).get(name) if bare else None


def model_type(source: str, revision: str | None = None) -> str | None:
    """Return which kind of model a directory or a repo holds, as its config.json has it."""
    folder = Path(source).expanduser()
    config = find_file(captioner_in(folder) if folder.is_dir() else source, CONFIG_FILE, revision=revision)
    try:
        kind = json.loads(config.read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
    return kind if isinstance(kind, str) else None


def _split_revision(text: str) -> tuple[str, str | None]:
    name, _, revision = text.partition("@")
    if "@" in text and not revision:
        raise CheckpointError(f"{text} names no revision after the @; write owner/repo@revision")
    bare = name.removeprefix(HUB_SCHEME)
    if not REPO.fullmatch(bare):
        raise CheckpointError(
            f"{text} is no directory here, and neither the name of a repo (owner/repo, hf://owner/repo) nor an address "
            "such as s3://bucket/folder"
        )
    return check_repo(name) if not name.startswith(HUB_SCHEME) else name, revision or None


def _hub(name: str, revision: str | None, access: Access, optional: tuple[str, ...]) -> Fetched:
    repo = check_repo(name)
    config = hub_file(repo, CONFIG_FILE, revision=revision, **asdict(access))
    commit = config.parent.name  # .../snapshots/COMMIT/config.json: the other files come from the same
    known = is_cached(repo, WEIGHTS_FILE, revision=commit)
    weights = hub_file(repo, WEIGHTS_FILE, revision=commit, **asdict(access))
    if not known:
        _check_arrival(repo, commit, weights, access)
    for name_beside in optional:
        try:
            hub_file(repo, name_beside, revision=commit, **asdict(access))
        except CheckpointError:  # whether it is not there or cannot be had, the checkpoint is complete without it
            continue
    return Fetched(folder=weights.parent, source=f"{HUB_SCHEME}{repo}", revision=commit)


def _check_arrival(repo: str, commit: str, weights: Path, access: Access) -> None:
    """Check a large file's sha256, by which the hub names it; the client compares sizes only."""
    promised = weights.resolve().name
    if not re.fullmatch(r"[0-9a-f]{64}", promised) or sha256_of(weights) == promised:
        return
    _drop(weights)
    weights = hub_file(repo, WEIGHTS_FILE, revision=commit, token=access.token)
    if (arrived := sha256_of(weights)) != promised:
        _drop(weights)
        raise CheckpointError(
            f"{WEIGHTS_FILE} of {repo} arrived damaged, twice: its sha256 is {arrived[:12]}..., and the hub says "
            f"{promised[:12]}...; nothing was kept, try again later"
        )


def _check_sha256(found: Fetched, row: Row, access: Access) -> None:
    weights = found.folder / WEIGHTS_FILE
    if not weights.is_file():
        raise CheckpointError(f"{row.name} of {row.registry}: {found.folder} has no {WEIGHTS_FILE}")
    actual = sha256_of(weights)
    if actual != row.sha256 and found.revision is not None and not access.local_files_only:
        # Perhaps only the copy in the cache is damaged.
        _drop(weights)
        repo = found.source.removeprefix(HUB_SCHEME)
        actual = sha256_of(hub_file(repo, WEIGHTS_FILE, revision=found.revision, token=access.token))
    if actual != row.sha256:
        if URL.match(found.source) and found.revision is None and not access.local_files_only:
            drop_address(found.folder)  # perhaps it arrived damaged: requested again, it is fetched again
        raise CheckpointError(
            f"{row.name} of {row.registry} has the sha256 {row.sha256[:12]}..., and {WEIGHTS_FILE} of {found.source} "
            f"has {actual[:12]}...: these are other weights, and they are not used"
        )


def _drop(cached: Path) -> None:
    """Remove from the hub's cache the name in the snapshot, and the bytes that it points at."""
    blob = cached.resolve()
    cached.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
