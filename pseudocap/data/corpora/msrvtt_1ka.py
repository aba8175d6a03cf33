"""Read MSR-VTT in the 1k-A split of retrieval: 1,000 test videos, with one caption each where the list names it.

The 1,000 are of the 2,990 test videos of captioning. 9k trains on all others, 7k on the 7,010 that train and validate
captioning; a captioner that has learned from 9k has seen 1,990 of the captioning test.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, hash_ids
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.data.corpora.splits import read_list
from pseudocap.errors import DataError
from pseudocap.files import reading

WITH_CAPTIONS = "MSRVTT_JSFUSION_test.csv"  # key, vid_key, video_id, sentence: the one caption that papers search by
LISTS = (WITH_CAPTIONS, "val_list_jsfusion.txt")
TRAIN = {"9k": 9_000, "7k": 7_010}
TEST = 1_000
TEST_SHA256 = (
    "64462f74c95235d602a0a231e7f2125640ebbf3de0e226fbdd5e64f621c46d83"  # of the ids, as Corpus.split_hash has it
)


def read_msrvtt_1ka(annotations: Annotations, *, allow_partial: bool = False, train: str = "9k") -> Corpus:
    """Read it from a folder of MSR-VTT's annotations with the list of the test videos beside them."""
    if not isinstance(annotations, str | PathLike):
        raise DataError("the 1k-A split of MSR-VTT is read from one folder; name it")
    folder = Path(annotations)
    path = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder} must hold MSR-VTT's annotations and the 1k-A list, {' or '.join(LISTS)}")
    checks = Checks(allow_partial=allow_partial)
    listed, sentences = read_list(path), _sentences(path)
    checks.expect("test lists with the ids of 1k-A", 1, int(hash_ids(listed) == TEST_SHA256), where=str(path))
    corpus = read_msrvtt(folder, allow_partial=allow_partial)
    by_id = {row.id: row for row in corpus.rows}
    if unknown := [name for name in listed if name not in by_id]:
        raise DataError(f"{path}: {unknown[0]!r} is not in MSR-VTT; take the list that belongs to it")
    test = set(listed)
    others = (row for row in corpus.rows if row.id not in test and (train == "9k" or row.split != "test"))
    rows = [replace(row, split="train") for row in others]
    rows += [replace(by_id[name], split="test", captions=sentences.get(name, by_id[name].captions)) for name in listed]
    files, videos = (*corpus.files, path), {"train": TRAIN[train], "test": TEST}
    found = fixed_corpus(f"msrvtt-1ka-{train}", rows, files=files, checks=checks, videos=videos)
    return replace(found, mismatches=(*corpus.mismatches, *found.mismatches))


read_msrvtt_1ka_7k = partial(read_msrvtt_1ka, train="7k")


def _sentences(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the caption that the list names for each video; nothing where it names videos alone."""
    if path.name != WITH_CAPTIONS:
        return {}
    return {
        row["video_id"].strip(): (reading.caption(row.get("sentence"), where=f"{path}, line {line}", name="sentence"),)
        for line, row in reading.csv_rows(path)
    }
