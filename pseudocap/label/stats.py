"""Compute statistics of the labels of a run, all shards together: a function of the rows, so it repeats to the byte."""

from __future__ import annotations

from collections import Counter

from pseudocap.files.remote import AnyPath
from pseudocap.label.filters import words_of
from pseudocap.label.near_duplicates import kind_of
from pseudocap.label.schema import VERSION, label_files, read_rows


def statistics(folder: AnyPath) -> dict[str, object]:
    """Count over all finished shards. Words and lengths are those of the best captions of clips that did not fail;
    a verdict's share is that of these clips, and `kept` are those without any."""
    clips = failed = kept = captions = words = 0
    seconds = confidence = 0.0
    confident = 0
    vocabulary: set[str] = set()
    sources: set[str] = set()
    objections: Counter[str] = Counter()
    runs: Counter[tuple[str, str, str | None]] = Counter()
    files = label_files(folder)
    for path in files:
        for label in read_rows(path):
            clips += 1
            sources.add(label.clip.source)
            runs[label.run, label.teacher, label.revision] += 1
            if label.failed:
                failed += 1
                continue
            kept += label.kept
            captions += len(label.captions)
            seconds += label.clip.end - label.clip.start
            in_caption = words_of(label.caption)
            words += len(in_caption)
            vocabulary.update(in_caption)
            objections.update(map(kind_of, label.verdicts))
            if label.confidence is not None:
                confidence, confident = confidence + label.confidence, confident + 1
    labelled = clips - failed
    return {
        "version": VERSION,
        "shards": len(files),
        "sources": len(sources),
        "clips": clips,
        "failed": failed,
        "runs": [
            {"run": run, "teacher": teacher, "revision": revision, "clips": count}
            for (run, teacher, revision), count in sorted(
                runs.items(), key=lambda item: (item[0][:2], item[0][2] or "")
            )
        ],
        "kept": kept,
        "captions": captions,
        "seconds_of_video": round(seconds, 3),
        "vocabulary": len(vocabulary),
        "mean_words": round(words / labelled, 3) if labelled else None,
        "mean_confidence": round(confidence / confident, 6) if confident else None,
        "verdicts": {
            name: {"clips": count, "share": round(count / labelled, 6)} for name, count in sorted(objections.items())
        },
    }
