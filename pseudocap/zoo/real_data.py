"""Read the real data that the captioners of real pictures learn from, and what they may not have learned.

A folder holds, as the public repositories have them,

    flickr8k/*.tar, captions.jsonl     photographs; {"image", "caption": [...], "split": train, dev, test or none}
    real_clips/*.mp4, captions.jsonl   clips to label and to measure on; {"video", "caption": [...]}
    msvd/sents_{train,val,test}*.txt   captions of videos, `vidN<TAB>caption`; optional, text alone
    coco_text/*.txt                    captions, one a line; optional, text alone

What a held-out caption says, written alike, is left out of everything that is learned, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pseudocap.data.corpora import reading
from pseudocap.errors import DataError
from pseudocap.files.tars import BROKEN, tar_fault

HELD_OUT = ("dev", "test")
PARTS = ("train", *HELD_OUT)
FOLDERS = ("flickr8k", "real_clips", "msvd", "coco_text")


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    image: str
    captions: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class RealData:
    """Hold the folder, and read what is asked of it."""

    root: Path

    @cached_property
    def photographs(self) -> tuple[Photograph, ...]:
        return tuple(
            Photograph(image=name, captions=captions, split=str(row.get("split", "none")))
            for name, captions, row in self._captioned("flickr8k", "image")
        )

    @cached_property
    def clips(self) -> Mapping[str, tuple[str, ...]]:
        """Return the captions of the clips, to measure with."""
        return {name: captions for name, captions, _ in self._captioned("real_clips", "video")}

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Return every caption that nothing may learn, written alike."""
        found = [text for each in self.photographs if each.split in HELD_OUT for text in each.captions]
        found += [text for captions in self.clips.values() for text in captions]
        found += [text for part in ("val", "test") for text in self._msvd(part)]
        return frozenset(map(plain, found))

    def check(self) -> None:
        """Raise DataError where captions or their pictures and clips are missing."""
        clips = self.root / "real_clips"
        if missing := [name for name in self.clips if not (clips / name).is_file()]:
            raise DataError(
                f"{clips}: {len(missing)} of the clips that captions.jsonl names are missing: {missing[0]}, .."
            )
        if not any((self.root / "flickr8k").glob("*.tar")):
            raise DataError(f"{self.root / 'flickr8k'} holds captions and no tar of photographs")
        for part in PARTS:
            if not any(each.split == part for each in self.photographs):
                raise DataError(f"{self.root / 'flickr8k' / 'captions.jsonl'} has no row of the split {part!r}")

    @property
    def identity(self) -> str:
        """Hash what there is: another folder makes other weights."""
        files = sorted(path for path in self.root.rglob("*") if path.is_file() and path.parent.name in FOLDERS)
        rows = [[path.relative_to(self.root).as_posix(), path.stat().st_size] for path in files]
        return hashlib.sha256(json.dumps([sorted(self.held_out), rows]).encode()).hexdigest()

    def learnable(self, captions: tuple[str, ...]) -> list[str]:
        """Return captions written alike, without those that a held-out picture has too."""
        return [text for text in map(plain, captions) if text and text not in self.held_out]

    @cached_property
    def text(self) -> tuple[list[str], list[str]]:
        """Return what the language model reads, and what its perplexity is measured on."""
        photographs = [text for each in self.photographs if each.split == "train" for text in each.captions]
        lines = [line for path in sorted((self.root / "coco_text").glob("*.txt")) for _, line in reading.lines(path)]
        learned = self.learnable((*photographs, *dict.fromkeys(self._msvd("train")), *lines))
        return learned, [plain(each.captions[0]) for each in self.photographs if each.split == "dev"]

    def write_photographs(self, folder: Path) -> dict[str, int]:
        """Write the pictures below `folder/pictures`, and captions of each split as PART.jsonl: what is learned without
        the held-out captions, what is measured as people wrote it."""
        pictures = folder / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        wanted = {each.image for each in self.photographs}
        for path in sorted((self.root / "flickr8k").glob("*.tar")):
            for name, content in _members(path):
                if name in wanted:
                    (pictures / name).write_bytes(content)
                    wanted.discard(name)
        if wanted:
            raise DataError(
                f"{self.root / 'flickr8k'}: {len(wanted):,} of the pictures that captions.jsonl names are in no tar "
                f"({', '.join(sorted(wanted)[:3])}, ..); copy all tars"
            )
        counts = {}
        for part in PARTS:
            rows = []
            for each in self.photographs:
                captions = self.learnable(each.captions) if part == "train" else list(each.captions)
                if each.split == part and captions:
                    rows.append({"image": each.image, "caption": captions, "split": part})
            (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            counts[part] = len(rows)
        return counts

    def _captioned(self, folder: str, name: str) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, object]]]:
        path = self.root / folder / "captions.jsonl"
        if not path.is_file():
            raise DataError(f"{path} is missing: --data names a folder with flickr8k/ and real_clips/ (docs/zoo.md)")
        for number, line in reading.lines(path):
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{where}: broken JSON: {error}") from error
            texts = reading.field(row, "caption", list, where=where)
            captions = tuple(reading.caption(text, where=where) for text in texts)
            yield reading.field(row, name, str, where=where), captions, row

    def _msvd(self, part: str) -> list[str]:
        rows = [row for path in sorted((self.root / "msvd").glob(f"sents_{part}*.txt")) for row in reading.lines(path)]
        return [line.partition("\t")[2] for _, line in rows if "\t" in line]


def plain(text: str) -> str:
    """Write a caption as all captions are learned: lower case, no full stop, punctuation close to its word."""
    text = text.lower().replace("&quot;", '"').replace("&amp;", "&").replace("`", "'")
    text = re.sub(r'["“”\[\]*_#]', " ", text)
    text = re.sub(r"\s+([',.;:!?])", r"\1", text)
    text = re.sub(r"\b([a-z]+) s\b(?=\s)", r"\1's", text)
    return re.sub(r"\s+", " ", text).strip().rstrip(" .,;!").strip()


def hashes(texts: list[str]) -> set[str]:
    return {hashlib.sha256(plain(text).encode()).hexdigest() for text in texts}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, mode="r|") as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)) is not None:
                    yield Path(member.name).name, file.read()
    except BROKEN as error:
        raise DataError(f"{path}: {tar_fault(error)}") from error
