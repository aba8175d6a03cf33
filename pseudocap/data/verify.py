"""Check whether the videos of a corpus are present and can be decoded, split by split.

A file's first frame is decoded and its end looked up, in parallel processes; a file that crashes FFmpeg ends a worker
and not the check.
"""

from __future__ import annotations

import os
from pathlib import Path

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DecodeError
from pseudocap.types import SOUND_EXTENSIONS, Progress, SplitCoverage
from pseudocap.workers import ordered

CRASHED = "FFmpeg crashes on it; fetch the file again or convert it"


def verify(
    corpus: Corpus, videos: VideoFolder, *, workers: int | None = None, progress: Progress | None = None
) -> tuple[SplitCoverage, ...]:
    """Return the coverage of every split. `workers` are processes, by default as many as there are cores.

    A script that calls this keeps its own work under `if __name__ == "__main__"`.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers} and must be at least 1")
    files = {(row.split, row.id): videos.find(row) for row in corpus.rows}
    paths = sorted({path for path in files.values() if path is not None})
    faults: dict[Path, str] = {}
    tried = ordered(fault_of, paths, workers=workers or os.cpu_count() or 1, crashed=lambda path: CRASHED)
    for done, (path, fault) in enumerate(zip(paths, tried, strict=True), start=1):
        if fault is not None:
            faults[path] = fault
        if progress is not None:
            progress(done, len(paths))
    coverages = []
    for split in corpus.splits:
        rows = {row_id: path for (of, row_id), path in files.items() if of == split}
        coverages.append(
            SplitCoverage(
                split=split,
                videos=len(rows),
                missing=tuple(row_id for row_id, path in rows.items() if path is None),
                undecodable={row_id: faults[path] for row_id, path in rows.items() if path in faults},
            )
        )
    return tuple(coverages)


def fault_of(path: Path) -> str | None:
    """Return why the first frame of a file, or the first second of a sound, cannot be decoded; None where it can."""
    from pseudocap.audio.waveform import read_sound
    from pseudocap.video.decode import probe

    try:
        if path.suffix.lower() in SOUND_EXTENSIONS:
            read_sound(path, end=1.0)
        else:
            probe(path)
    except DecodeError as error:
        return error.problem  # without the path, which results have no use for
    return None
