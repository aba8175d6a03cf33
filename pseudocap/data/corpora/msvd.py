"""Read MSVD: 1,970 short clips with about 40 captions each, named after YouTube: `<youtube>_<start>_<end>.avi`.

The lower-cased lists `sents_{train,val,test}_lc_nopunc.txt` name the clips vid1 to vid1970 and need a mapping file;
`AllVideoDescriptions.txt` holds the captions as they were written. The standard split is by the alphabet: of the
1,970 names in order the first 1,200 train, the next 100 validate, and 670 test (the mapping files say the same).
"""

from __future__ import annotations

import re
from collections.abc import Container
from os import PathLike
from pathlib import Path

from pseudocap.data.corpora.base import Checks, Corpus, annotation_files, fixed_corpus, youtube
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

SENTS = {split: f"sents_{split}_lc_nopunc.txt" for split in ("train", "val", "test")}
MAPPINGS = ("youtube_mapping.txt", "youtube_video_to_id_mapping.txt")
DESCRIPTIONS = "AllVideoDescriptions.txt"
VIDEOS = {"train": 1200, "val": 100, "test": 670}
CAPTIONS = {"train": 48_774, "val": 4_290, "test": 27_763}  # of the lists; AllVideoDescriptions.txt fixes none
CLIP = re.compile(r"(?P<youtube>.{11})_(?P<start>\d+)_(?P<end>\d+)")


def read_msvd(annotations: str | PathLike[str], *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the lists or of AllVideoDescriptions.txt, or from the latter by whatever name."""
    files = annotation_files(annotations, (tuple(SENTS.values()), (DESCRIPTIONS,)), corpus="MSVD")
    checks = Checks(allow_partial=allow_partial)
    if files[0].name in SENTS.values():
        return _from_lists(files[0].parent, checks)
    return _from_descriptions(files[0], checks)


def _from_lists(folder: Path, checks: Checks) -> Corpus:
    mapping = mapping_in(folder)
    if mapping is None:
        raise DataError(f"{folder}: the lists name clips as vid1, vid2, ...; put {' or '.join(MAPPINGS)} beside them")
    clips = read_mapping(mapping)
    files = [mapping]
    rows: dict[str, CaptionedVideo] = {}
    for split, name in SENTS.items():
        path = folder / name
        captions = _captions(path, "\t", checks, known=clips) if path.is_file() else {}
        checks.expect(f"captions in {split}", CAPTIONS[split], sum(map(len, captions.values())), where=str(path))
        for key, texts in captions.items():
            if key in rows:
                raise DataError(f"{path}: {key} is in the list of {rows[key].split} too; fetch the lists again")
            rows[key] = _row(clips[key], texts, split)
        files += [path] if path.is_file() else []
    return fixed_corpus("msvd", list(rows.values()), files=tuple(files), checks=checks, videos=VIDEOS)


def _from_descriptions(path: Path, checks: Checks) -> Corpus:
    mapping = mapping_in(path.parent)
    known = None if mapping is None else frozenset(read_mapping(mapping).values())
    captions = _captions(path, None, checks, known=known)
    clips = sorted(captions if known is None else known)
    if len(clips) != sum(VIDEOS.values()):
        raise DataError(
            f"{mapping or path}: {len(clips):,} clips; the standard split is by the order of all "
            f"{sum(VIDEOS.values()):,}, so fetch the file again, or put a complete {MAPPINGS[0]} beside {path.name}"
        )
    splits = [split for split, size in VIDEOS.items() for _ in range(size)]
    rows = [_row(clip, captions[clip], split) for clip, split in zip(clips, splits, strict=True) if clip in captions]
    files = (path,) if mapping is None else (path, mapping)
    return fixed_corpus("msvd", rows, files=files, checks=checks, videos=VIDEOS)


def mapping_in(folder: Path) -> Path | None:
    """Return the mapping file of a folder, if it holds one."""
    return next((folder / name for name in MAPPINGS if (folder / name).is_file()), None)


def read_mapping(path: Path) -> dict[str, str]:
    """Read vidN -> the clip's name on YouTube."""
    clips: dict[str, str] = {}
    for number, line in reading.lines(path):
        where = f"{path}, line {number}"
        words = line.split()
        if len(words) != 2 or not CLIP.fullmatch(words[0]):
            raise DataError(f"{where}: {line[:80]!r} must be <youtube>_<start>_<end> vidN")
        if words[1] in clips or words[0] in clips.values():
            raise DataError(f"{where}: {words[0]} or {words[1]} appeared before; fetch the file again")
        clips[words[1]] = words[0]
    return clips


def _captions(
    path: Path, separator: str | None, checks: Checks, *, known: Container[str] | None
) -> dict[str, list[str]]:
    """Read captions by the name that starts each line; lines with # are remarks, later separators the caption's own."""
    captions: dict[str, list[str]] = {}
    for number, line in reading.lines(path):
        if line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        name, *rest = line.split(separator, 1)
        if known is not None and name not in known:
            error = DataError(f"{where}: {name[:80]!r} is not in the mapping file; take the line out")
            checks.skip("captions of unknown videos", error)
            continue
        texts = captions.setdefault(name, [])
        texts += checks.caption(rest[0] if rest else "", where=f"{where} ({name})")
    return captions


def _row(clip: str, captions: list[str], split: str) -> CaptionedVideo:
    parts = CLIP.fullmatch(clip)
    assert parts, "names are checked where they are read"
    origin = youtube(parts["youtube"], *reading.span(parts["start"], parts["end"], where=clip))
    return CaptionedVideo(id=clip, video=clip, captions=tuple(captions), split=split, origin=origin)
