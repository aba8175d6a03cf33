"""Read VALOR: clips of ten seconds from AudioSet's videos, one caption each of what is seen and heard.

As published, a file is a list of `{"video_id": "<youtube>_<start>_<end>", "desc": ".."}`, one for each split of
VALOR-32K. VALOR's code reads `train_id.json`, a list of ids, and the captions of all splits in `txt_mapper.json`, an
object of lists by id, or in `caption_annotation.json`, `[{"video_id": .., "caption": ..}]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.base import NAMES, Annotations, Checks, Corpus, fixed_corpus, split_files, youtube
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

DESCRIBED = tuple(f"desc_{split}.json" for split in NAMES)
LISTED = tuple(f"{split}_id.json" for split in NAMES)
MAPPERS = ("txt_mapper.json", "caption_annotation.json")  # beside the lists
VIDEOS = {"train": 25_000, "val": 3_500, "test": 3_500}
MILLION = 118  # VALOR-1M: the paper gives 1.18 million clips, and no exact number
CLIP = re.compile(r"(?P<youtube>.{11})_(?P<start>\d+(\.\d+)?)_(?P<end>\d+(\.\d+)?)")


def read_valor_32k(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the published files or of VALOR's code, or from files that are named as they are."""
    files = split_files(annotations, DESCRIBED, LISTED, corpus="VALOR-32K")
    checks = Checks(allow_partial=allow_partial)
    rows = _rows(files, checks)
    return fixed_corpus("valor-32k", rows, files=tuple(files), checks=checks, videos=VIDEOS, captions_each=1)


def read_valor_1m(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it in the same forms; all of it trains. The number of clips is checked as the paper rounds it."""
    files = split_files(annotations, DESCRIBED[:1], LISTED[:1], corpus="VALOR-1M", names={"": "train"})
    checks = Checks(allow_partial=allow_partial)
    rows = _rows(files, checks)
    checks.expect("ten thousands of videos", MILLION, round(len(rows) / 10_000), where=str(next(iter(files))))
    return fixed_corpus("valor-1m", rows, files=tuple(files), checks=checks, videos={}, captions_each=1)


def _rows(files: Mapping[Path, str], checks: Checks) -> list[CaptionedVideo]:
    rows: dict[str, CaptionedVideo] = {}
    for path, split in files.items():
        for where, name, captions in _listed(path) if path.name.endswith("_id.json") else _described(path):
            if name in rows:
                raise DataError(f"{where}: the video {name!r} appeared before; keep one of them")
            texts = [text for given in captions for text in checks.caption(given, where=f"{where} ({name})")]
            rows[name] = _row(name, split, tuple(texts), where=where)
    return list(rows.values())


def _row(name: str, split: str, captions: tuple[str, ...], *, where: str) -> CaptionedVideo:
    clip, origin = CLIP.fullmatch(name), None
    if clip is not None:
        origin = youtube(clip["youtube"], *reading.span(clip["start"], clip["end"], where=where))
    return CaptionedVideo(id=name, video=name, captions=captions, split=split, origin=origin)


def _described(path: Path) -> Iterator[tuple[str, str, list[Any]]]:
    for where, record in reading.records(path, "clips", "{'video_id': .., 'desc': ..}"):
        name = reading.identifier(reading.field(record, "video_id", str, where=where), "video_id", where=where)
        yield where, name, [record.get("desc", record.get("caption"))]


def _listed(path: Path) -> Iterator[tuple[str, str, list[Any]]]:
    captions = _mapped(path.parent)
    for where, given in reading.records(path, "ids of clips", "'<youtube>_<start>_<end>'"):
        name = reading.identifier(reading.string(given, "the id", where=where), "the id", where=where)
        yield where, name, captions.get(name, [])


def _mapped(folder: Path) -> dict[str, list[Any]]:
    """Return the captions by id that lie beside lists of ids."""
    there = [folder / name for name in MAPPERS if (folder / name).is_file()]
    if not there:
        raise DataError(f"{folder} has lists of ids and no captions; fetch {' or '.join(MAPPERS)} too")
    captions: dict[str, list[Any]] = {}
    if there[0].name == MAPPERS[1]:
        for _, name, given in _described(there[0]):
            captions.setdefault(name, []).extend(given)
        return captions
    document = reading.read_document(there[0])
    if not isinstance(document, dict):
        raise DataError(f"{there[0]} must hold an object of captions by id, {{'<id>': [..]}}")
    return {name: given if isinstance(given, list) else [given] for name, given in document.items()}
