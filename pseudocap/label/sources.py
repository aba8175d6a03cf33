"""Find what is to be labelled: files, folders, lists, tars and addresses, as one fixed plan of shards.

A shard is a tar, or a fixed number of files in the order of their names: what is finished, named and repeated as one.
What lies elsewhere (in a tar, behind an address) is fetched once, into a folder of the run, and removed after use.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudocap.errors import DataError, DecodeError, first_line
from pseudocap.files.remote import RemotePath, listed
from pseudocap.files.tars import BROKEN, read_span, tar_fault, tar_members
from pseudocap.label.schema import locate
from pseudocap.types import VIDEO_EXTENSIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """List names below a root, shard by shard. An empty root means that the names are addresses themselves."""

    root: str
    shards: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> set[str]:
        return {name for shard in self.shards for name in shard}


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """Locate one video: how the labels name it, and where its bytes are. `offset` and `size` are those within a tar."""

    name: str
    address: str
    offset: int | None = None
    size: int = 0
    problem: str = ""

    @property
    def is_local(self) -> bool:
        """Return whether it can be opened where it lies."""
        return self.offset is None and "://" not in self.address


def find_sources(
    source: str, *, shard_size: int = 32, extensions: tuple[str, ...] = VIDEO_EXTENSIONS, what: str = "video"
) -> Sources:
    """Resolve SOURCE of the CLI: a video, a folder, a .txt of paths, a .tar, a folder of tars, or an address.

    Files of these extensions are found in folders; `what` they are is for the error where there is none.
    """
    if shard_size < 1:
        raise DataError(f"shard_size is {shard_size} and must be at least 1 file")
    if "://" in source:
        return _split("", _addresses(source, extensions, what), shard_size)
    path = Path(source)
    if path.is_dir():
        return _split(str(path.resolve()), _below(path, extensions, what), shard_size)
    if not path.is_file():
        raise DataError(f"{source}: there is no such file or folder")
    if path.suffix.lower() == ".txt":
        return _listed(path, shard_size)
    return _split(str(path.resolve().parent), [path.name], shard_size)


def extend(planned: Sources, found: Sources, *, shard_size: int) -> Sources:
    """Return the plan with new shards for what has been added since; what was planned stays where it is."""
    known = planned.names
    new = [name for shard in found.shards for name in shard if name not in known]
    if not new:
        return planned
    return Sources(root=planned.root, shards=planned.shards + _split(planned.root, new, shard_size).shards)


def _split(root: str, names: Sequence[str], shard_size: int) -> Sources:
    tars = [name for name in names if name.endswith(".tar")]
    files = [name for name in names if not name.endswith(".tar")]
    groups = [tuple(files[first : first + shard_size]) for first in range(0, len(files), shard_size)]
    return Sources(root=root, shards=tuple([(tar,) for tar in tars] + groups))


def _below(folder: Path, extensions: tuple[str, ...], what: str) -> list[str]:
    """Return tars if the folder itself holds any, else every file below it that is wanted."""
    if tars := sorted(path.name for path in folder.glob("*.tar")):
        return tars
    found = [Path(home, name).relative_to(folder).as_posix() for home, _, names in os.walk(folder) for name in names]
    if not (wanted := sorted(name for name in found if name.lower().endswith(extensions))):
        raise DataError(f"{folder} holds no {what} ({', '.join(extensions)}) and no .tar")
    return wanted


def _listed(path: Path, shard_size: int) -> Sources:
    """Read one path or address a line, relative to where the list lies."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}; a list holds one path a line") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path} lists nothing; write one path or address a line")
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise DataError(f"{path} lists {twice} twice; leave one out")
    home = path.resolve().parent
    return _split("", [name if "://" in name else str(home / name) for name in names], shard_size)


def _addresses(url: str, extensions: tuple[str, ...], what: str) -> list[str]:
    names = listed(url, (*extensions, ".tar"))
    if not names:
        raise DataError(f"{url} holds no {what} ({', '.join(extensions)}) and no .tar")
    return names


def media_of(
    shard: Sequence[str], root: str, *, scratch: Path, extensions: tuple[str, ...] = VIDEO_EXTENSIONS
) -> Iterator[Media]:
    """Return the files of a shard in their order. Of a damaged tar the complete members come first, then its problem.

    A tar behind an address is fetched into `scratch`, where its videos are read until the caller removes it.
    """
    for name in shard:
        address = locate(name, root)
        if name.endswith(".tar"):
            yield from _members(name, address, scratch, extensions)
        else:
            yield Media(name=name, address=address)


def _members(name: str, address: str, scratch: Path, extensions: tuple[str, ...]) -> Iterator[Media]:
    try:
        if "://" in address:
            address = fetch_media(Media(name=name, address=address), scratch)
        for inside, _, offset, size, _ in tar_members(Path(address)):
            if inside.lower().endswith(extensions):
                yield Media(name=f"{name}/{inside}", address=address, offset=offset, size=size)
    except (*BROKEN, DecodeError) as error:
        problem = f"the tar cannot be read on: {first_line(error)}; fetch it again"
        yield Media(name=name, address=address, problem=problem)


def fetch_media(media: Media, scratch: Path) -> str:
    """Fetch a copy of a video that cannot be opened where it lies; the caller removes it."""
    suffix = Path(media.name).suffix
    handle, path = tempfile.mkstemp(suffix=suffix, dir=scratch)
    try:
        with os.fdopen(handle, "wb") as copy:
            if media.offset is None:
                with RemotePath(media.address).open() as original:
                    shutil.copyfileobj(original, copy, 1 << 20)
            else:
                copy.writelines(read_span(Path(media.address), media.offset, media.size))
                if copy.tell() < media.size:
                    raise DecodeError(media.name, "the tar ends within this video; fetch it again")
    except BaseException as error:
        Path(path).unlink(missing_ok=True)
        if isinstance(error, DecodeError) or not isinstance(error, Exception):
            raise
        raise DecodeError(media.name, f"it cannot be fetched: {first_line(error)}") from error
    return path


def member_of(source: str) -> Media:
    """Return the video that a located row names, which may lie within a tar: `films/00000.tar/000000012.mp4`."""
    before, slash, inside = source.partition(".tar/")
    if not slash or "://" in source or not Path(f"{before}.tar").is_file():
        return Media(name=source, address=source)
    tar = f"{before}.tar"
    members = _index(tar, Path(tar).stat().st_mtime_ns)
    if inside not in members:
        raise DataError(f"{tar} holds no {inside}; has it changed since it was labelled?")
    offset, size = members[inside]
    return Media(name=source, address=tar, offset=offset, size=size)


@functools.lru_cache(maxsize=4)
def _index(tar: str, changed: int) -> dict[str, tuple[int, int]]:
    members: dict[str, tuple[int, int]] = {}
    try:
        for name, _, offset, size, _ in tar_members(Path(tar)):
            members[name] = offset, size
    except BROKEN as error:
        if not members:  # else those that it has are served
            raise DataError(f"{tar}: {tar_fault(error)}") from error
    return members
