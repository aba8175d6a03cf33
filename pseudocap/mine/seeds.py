"""Read the seeds: pictures with captions, from tars, a folder or a file of captions.

find_seeds("laion/")         tars of img2dataset: 000000012.jpg beside .txt or .json
find_seeds("photos/")        dog.jpg beside dog.txt with a caption a line, or a captions.jsonl (.csv) of all
find_seeds("photos.csv")     rows of image and caption; the pictures lie beside the file, as files or in tars
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pseudocap.errors import DataError, first_line
from pseudocap.files import reading
from pseudocap.files.tars import BROKEN, read_span, tar_fault, tar_members
from pseudocap.rows import read_rows
from pseudocap.types import IMAGE_EXTENSIONS
from pseudocap.video.picture import decode_picture

CAPTION_FILES = tuple(f"captions{suffix}" for suffix in (".jsonl", ".csv", ".json"))
FORMS = "a folder of img2dataset's tars, a folder of pictures with .txt files, or a .csv or .jsonl of image and caption"


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedPicture:
    """Name a picture by its path below the root of the seeds, with its captions, and where its bytes lie in `file`."""

    name: str
    captions: tuple[str, ...]
    file: str
    offset: int | None = None
    size: int = 0

    def read(self) -> np.ndarray:
        """Decode it, uint8 [H,W,3]; DataError where it cannot be."""
        try:
            return decode_picture(self.content())
        except OSError as error:
            raise DataError(f"it cannot be read: {first_line(error)}") from error

    def content(self) -> bytes:
        """Return its bytes as they are stored."""
        path = Path(self.file)
        return path.read_bytes() if self.offset is None else b"".join(read_span(path, self.offset, self.size))


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeds:
    """Hold the pictures in a fixed order; `bare` counts those that were left out, for they have no caption."""

    root: str
    pictures: tuple[SeedPicture, ...]
    bare: int = 0

    @property
    def identity(self) -> str:
        """Hash names, captions and sizes, so that a run with other seeds is another run."""
        digest = hashlib.sha256()
        for each in self.pictures:
            size = each.size if each.offset is not None else _size(each.file)
            line = json.dumps([each.name, each.captions, size])
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()[:16]


def find_seeds(source: str) -> Seeds:
    """List the captioned pictures of a folder, of tars or of a file of captions; DataError where there are none."""
    path = Path(source)
    if "://" in source:
        raise DataError(f"--seeds {source} is an address; fetch the pictures, for seeds are read from this machine")
    if path.is_dir():
        listed = [path / name for name in CAPTION_FILES if (path / name).is_file()]
        if listed:
            return _of_rows(listed[0], beside=True)
        tars = sorted(path.glob("*.tar"))
        return _of_tars(path, tars) if tars else _of_folder(path)
    if not path.is_file():
        raise DataError(f"--seeds {source}: there is no such file or folder; name {FORMS}")
    return _of_tars(path.parent, [path]) if path.suffix.lower() == ".tar" else _of_rows(path)


def _pictures_below(folder: Path) -> list[Path]:
    paths = sorted(Path(home, name) for home, _, names in os.walk(folder) for name in names)
    return [path for path in paths if path.suffix.lower() in IMAGE_EXTENSIONS]


def _of_folder(folder: Path) -> Seeds:
    pictures = []
    for path in _pictures_below(folder):
        texts = path.with_suffix(".txt")
        captions = _unique(line for _, line in reading.lines(texts)) if texts.is_file() else ()
        name = path.relative_to(folder).as_posix()
        pictures.append(SeedPicture(name=name, captions=captions, file=str(path.resolve())))
    return _captioned(folder, pictures, "a .txt beside each, with one caption a line")


def _of_tars(folder: Path, tars: Sequence[Path]) -> Seeds:
    pictures = [picture for tar in tars for picture in _in_tar(tar)]
    return _captioned(folder, pictures, "a .txt or .json beside each in the tar, as img2dataset writes them")


def _in_tar(tar: Path) -> Iterator[SeedPicture]:
    """Yield the pictures of a tar; members of one sample follow one another."""
    texts: dict[str, tuple[str, ...]] = {}
    pictures: list[tuple[str, str, int, int]] = []
    try:
        for name, _, offset, size, _ in tar_members(tar):
            folder, slash, base = name.rpartition("/")
            stem, _, extension = base.partition(".")
            key, extension = folder + slash + stem, f".{extension.lower()}"
            if extension in IMAGE_EXTENSIONS:
                pictures.append((key, name, offset, size))
            elif extension == ".txt" or (extension == ".json" and key not in texts):
                content = b"".join(read_span(tar, offset, size)).decode("utf-8", "replace")
                texts[key] = _unique(content.splitlines() if extension == ".txt" else [_of_json(content)])
    except BROKEN as error:
        raise DataError(f"{tar}: {tar_fault(error)}") from error
    for key, name, offset, size in pictures:
        named, file = f"{tar.name}/{name}", str(tar.resolve())
        yield SeedPicture(name=named, captions=texts.get(key, ()), file=file, offset=offset, size=size)


def _of_json(content: str) -> str:
    try:
        caption = json.loads(content).get("caption")
    except (ValueError, AttributeError):
        return ""
    return caption if isinstance(caption, str) else ""


def _of_rows(path: Path, *, beside: bool = False) -> Seeds:
    """Read rows of image and caption; a picture is a file beside them, else a member of a tar there. With `beside`
    those that no row names are counted as pictures without a caption."""
    captions: dict[str, list[str]] = {}
    for row in read_rows(path, strict=False):
        captions.setdefault(row.video, []).extend(row.captions)
    folder = path.parent
    members: dict[str, SeedPicture] = {}
    if beside or any(not (folder / name).is_file() for name in captions):
        for tar in sorted(folder.glob("*.tar")):
            for picture in _in_tar(tar):
                members.setdefault(picture.name.partition("/")[2], picture)
    pictures = []
    for name, texts in captions.items():
        there = members.get(name)
        where = (str((folder / name).resolve()), None, 0) if there is None else (there.file, there.offset, there.size)
        named = name if there is None else there.name
        file, offset, size = where
        pictures.append(SeedPicture(name=named, captions=_unique(texts), file=file, offset=offset, size=size))
    if pictures and not any(Path(picture.file).is_file() for picture in pictures):
        raise DataError(
            f"--seeds {path}: none of its {len(pictures):,} pictures is there, the first being {pictures[0].file}; "
            "names are paths from the folder of the file"
        )
    if beside:
        names = {found.relative_to(folder).as_posix() for found in _pictures_below(folder)} | members.keys()
        pictures += [SeedPicture(name=name, captions=(), file=str(path)) for name in sorted(names - captions.keys())]
    return _captioned(path, pictures, "a caption in its row")


def _captioned(source: Path, pictures: Sequence[SeedPicture], wanted: str) -> Seeds:
    kept = tuple(picture for picture in pictures if picture.captions)
    if not pictures:
        raise DataError(f"--seeds {source} holds no picture ({', '.join(IMAGE_EXTENSIONS)}); name {FORMS}")
    if not kept:
        raise DataError(f"--seeds {source}: none of the {len(pictures):,} pictures has a caption; wanted is {wanted}")
    root = source if source.is_dir() else source.parent
    return Seeds(root=str(root.resolve()), pictures=kept, bare=len(pictures) - len(kept))


def _unique(texts: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    """Return captions without white space around them, each once."""
    return tuple(dict.fromkeys(plain for text in texts if (plain := " ".join(text.split()))))


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:  # reading it will report why
        return -1
