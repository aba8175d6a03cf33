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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pseudocap.data.corpora.own import read_own
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.files.tars import BROKEN, tar_fault, tar_members
from pseudocap.types import CaptionedVideo

HELD_OUT = ("dev", "test")
PARTS = ("train", *HELD_OUT)
CAPTIONS = "captions.jsonl"
FOLDERS = ("flickr8k", "real_clips", "msvd", "coco_text")


@dataclass(frozen=True)
class RealData:
    """Hold the folder, and read what is asked of it."""

    root: Path

    @cached_property
    def photographs(self) -> tuple[CaptionedVideo, ...]:
        return self._captioned("flickr8k")

    @cached_property
    def clips(self) -> tuple[CaptionedVideo, ...]:
        """Return the clips with captions to measure with."""
        return self._captioned("real_clips")

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Return every caption that nothing may learn, written alike."""
        found = [text for each in self.photographs if each.split in HELD_OUT for text in each.captions]
        found += [text for each in self.clips for text in each.captions]
        found += [text for part in ("val", "test") for text in self._msvd(part)]
        return frozenset(map(plain, found))

    def problems(self) -> Iterator[str]:
        """Find everything that is missing, so that one try reports it."""
        photographs, clips = self.root / "flickr8k", self.root / "real_clips"
        if not self.root.is_dir():
            yield f"--data {self.root}: there is no such folder"
            return
        if not any(photographs.glob("*.tar")):
            yield f"{photographs} holds no tar of photographs"
        try:
            parts = {each.split for each in self.photographs}
            yield from (
                f"{photographs / CAPTIONS} has no row of the split {part!r}" for part in PARTS if part not in parts
            )
        except DataError as error:
            yield str(error)
        try:
            if missing := [each.video for each in self.clips if not (clips / each.video).is_file()]:
                yield f"{clips}: {len(missing)} of the clips that {CAPTIONS} names are missing: {missing[0]}, .."
        except DataError as error:
            yield str(error)

    @cached_property
    def identity(self) -> str:
        """Hash what there is: another folder makes other weights."""
        files = sorted(path for path in self.root.rglob("*") if path.is_file() and path.parent.name in FOLDERS)
        rows = [[path.relative_to(self.root).as_posix(), path.stat().st_size] for path in files]
        return hashlib.sha256(json.dumps([sorted(self.held_out), rows]).encode()).hexdigest()

    def learnable(self, captions: Sequence[str]) -> list[str]:
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
        wanted = {each.video for each in self.photographs}
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
            for each in (each for each in self.photographs if each.split == part):
                captions = self.learnable(each.captions) if part == "train" else list(each.captions)
                if captions:
                    rows.append({"image": each.video, "caption": captions, "split": part})
            (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            counts[part] = len(rows)
        return counts

    def _captioned(self, folder: str) -> tuple[CaptionedVideo, ...]:
        path = self.root / folder / CAPTIONS
        if not path.is_file():
            raise DataError(f"{path} is missing: --data names a folder with flickr8k/ and real_clips/ (docs/zoo.md)")
        rows = read_own(path, split="none").rows
        return tuple(replace(row, split="dev") if row.split == "val" else row for row in rows)  # as the files have it

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


def _members(tar: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tar.open("rb") as file:
            for name, _, first, size, _ in tar_members(tar):
                file.seek(first)
                yield Path(name).name, file.read(size)
    except BROKEN as error:
        raise DataError(f"{tar}: {tar_fault(error)}") from error
