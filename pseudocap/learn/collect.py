"""Collect the videos that do not lie in a folder of files: those of a list, of tars, or behind an address.

    RUN/videos/source.json    what they were collected from; written first
    RUN/videos/...            links to the files of a list, copies of all others

Everything else of a run reads a folder of files. What is there is not collected again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pseudocap.errors import ConfigError, DataError, DecodeError
from pseudocap.files.atomic import write_text
from pseudocap.label.run_folder import alone_in
from pseudocap.label.sources import Media, fetch_media, find_sources, media_of
from pseudocap.learn.plan import FEWEST
from pseudocap.types import Progress

VIDEOS, SOURCE = "videos", "source.json"


def video_folder(source: str, run: Path, progress: Progress = lambda done, total: None) -> tuple[Path, dict[str, str]]:
    """Return the folder of the videos of SOURCE, which is that of `pseudocap label`, and why some are not in it."""
    path = Path(source)
    if path.is_dir() and not any(path.glob("*.tar")):
        return path.resolve(), {}
    found, folder = find_sources(source), run / VIDEOS
    if len(found.names) < FEWEST and not any(name.endswith(".tar") for name in found.names):
        raise DataError(f"{source} is of {len(found.names)} videos, and learning takes at least {FEWEST}; name more")
    _claim(folder, source if "://" in source else str(path.resolve()))
    problems = {}
    with alone_in(folder, "collecting") as scratch:
        media = [each for shard in found.shards for each in media_of(shard, found.root, scratch=scratch)]
        if not media:
            raise DataError(f"{source} holds no video")
        names = _names(media)
        _require_room(folder, [each for each, name in zip(media, names, strict=True) if not (folder / name).exists()])
        for done, (each, name) in enumerate(zip(media, names, strict=True), start=1):
            try:
                _collect(each, folder / name, scratch)
            except DecodeError as error:
                problems[name] = error.problem
            progress(done, len(media))
    return folder.resolve(), problems


def holds_collected(run: Path) -> bool:
    """Return whether a run has begun to collect, and nothing else."""
    return (run / VIDEOS / SOURCE).is_file()


def _claim(folder: Path, source: str) -> None:
    """Note where the videos come from; refuse a folder that has those of another source."""
    path = folder / SOURCE
    if path.is_file() and (before := json.loads(path.read_text(encoding="utf-8"))) != {"source": source}:
        raise ConfigError(f"{folder.parent} learns from {before.get('source')}; name another --out for {source}")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"source": source}) + "\n")


def _require_room(folder: Path, media: Sequence[Media]) -> None:
    wanted, free = sum(each.size for each in media), shutil.disk_usage(folder).free
    if wanted > free:
        raise DataError(
            f"{folder} would take {wanted:,} bytes, and its disk has {free:,} free; name an --out on another"
        )


def _names(media: Sequence[Media]) -> list[str]:
    """Name each video by its path below the folder that all are in; a tar is a folder without its suffix."""
    paths = [PurePosixPath((each.name.partition("://")[2] or each.name).lstrip("/")) for each in media]
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix().replace(".tar/", "/") for path in paths]


def _collect(media: Media, target: Path, scratch: Path) -> None:
    if media.problem:
        raise DecodeError(media.address, media.problem)
    if ".." in target.parts:
        raise DecodeError(media.address, "its name leads out of the folder")
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if media.is_local:
        target.unlink(missing_ok=True)  # a link to what is gone
        target.symlink_to(media.address)
    else:
        Path(fetch_media(media, scratch)).replace(target)
