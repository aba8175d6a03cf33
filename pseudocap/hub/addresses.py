"""Fetch files at an address that fsspec knows (s3://, https://, gs://, memory://): once, completely or not at all.

They lie beside the hub's own cache, under the address and the version (ETag, date, size) that the store reports.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudocap.errors import CheckpointError, DataError, first_line
from pseudocap.files.atomic import remove_unfinished, unfinished_folder, write_text
from pseudocap.files.remote import filesystem_at

VERSION_MARKS = frozenset(
    ["etag", "content-md5", "digest", "md5hash", "last-modified", "lastmodified", "mtime", "created", "generation"]
)
LATEST = "latest"
GRACE = 3600.0  # seconds that a version is kept after a newer one came


def fetch_address(
    address: str, required: Sequence[str], optional: Sequence[str] = (), *, local_files_only: bool = False
) -> Path:
    """Fetch the named files of the folder at `address` into a directory on this disk, and nothing else."""
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock

    address = address.rstrip("/")
    wanted = hashlib.sha256("\n".join((address, *required)).encode()).hexdigest()[:32]
    home = Path(constants.HF_HOME) / "pseudocap" / "addresses" / wanted
    if local_files_only or constants.is_offline_mode():
        latest = home / LATEST
        folder = home / (latest.read_text(encoding="utf-8") if latest.is_file() else "absent")
        if not folder.is_dir():
            why = "local_files_only" if local_files_only else "HF_HUB_OFFLINE"
            raise CheckpointError(f"{address} is not in the cache ({home.parent}), and {why} forbids to fetch it")
        return folder
    store, root = _open(address)
    home.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(home / ".lock"):  # processes that ask for the same wait, and find it fetched
        infos = {}
        for name in (*required, *optional):
            if (info := _info(store, root, name, address, needed=name in required)) is not None:
                infos[name] = info
        folder = home / _version(infos)
        if not folder.is_dir():
            _fetch(store, root, infos, folder, address)
        write_text(home / LATEST, folder.name)
        for other in home.iterdir():  # an older one goes once nobody can still be on the way to read it
            if other.is_dir() and other != folder and time.time() - other.stat().st_mtime > GRACE:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def drop_address(folder: Path) -> None:
    """Remove an address from the cache: the next request fetches it again."""
    (folder.parent / LATEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _open(address: str) -> tuple[Any, str]:
    if "::" in address:
        raise CheckpointError(f"{address} chains two addresses (::), which is not supported; name the folder itself")
    try:
        store, root = filesystem_at(address)
    except DataError as error:
        raise CheckpointError(str(error)) from error
    store.invalidate_cache()
    return store, root


def _info(store: Any, root: str, name: str, address: str, *, needed: bool) -> dict[str, Any] | None:
    """Return what the store reports of a file; None where a file that is not needed is not there."""
    try:
        return dict(store.info(f"{root}/{name}"))
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec's HTTP reports every failure as a missing file, one without an answer too
        if isinstance(cause, OSError) and not hasattr(cause, "status"):
            raise CheckpointError(f"{address}/{name} could not be reached: {first_line(cause)}") from error
        if not needed:
            return None
        raise CheckpointError(f"{address} has no {name}; is this the folder of a checkpoint?") from error
    except Exception as error:  # and of failing
        raise CheckpointError(f"{address}/{name} could not be reached: {first_line(error)}") from error


def _version(infos: dict[str, dict[str, Any]]) -> str:
    """Identify a version of files. Where a store reports nothing of a change, nothing is taken for unchanged."""
    marks = []
    for name, info in sorted(infos.items()):
        reported = sorted((key, str(value)) for key, value in info.items() if key.lower() in VERSION_MARKS)
        marks.append((name, info.get("size"), reported or uuid.uuid4().hex))
    return hashlib.sha256(repr(marks).encode()).hexdigest()[:32]


def _fetch(store: Any, root: str, infos: dict[str, dict[str, Any]], folder: Path, address: str) -> None:
    remove_unfinished(folder.parent)
    try:
        with unfinished_folder(folder) as scratch:
            for name, info in infos.items():
                store.get_file(f"{root}/{name}", str(scratch / name))
                size = info.get("size")
                if size is not None and (scratch / name).stat().st_size != size:
                    got = (scratch / name).stat().st_size
                    raise CheckpointError(f"{address}/{name} broke off: {got:,} of {size:,} bytes came; try again")
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{address} could not be fetched: {first_line(error)}; try again") from error
