"""Run the same cells on a real corpus, from files of the user's: `pseudocap bench regimes --data msrvtt` and `msvd`.

Pre-training comes from the user's tars or memories, or has been done elsewhere: `--pretrained mixed=DIR` names a
captioner by regime, with {seed} where there is one for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import Ground, for_seed
from pseudocap.bench.claims.duplicates import duplicates_stage
from pseudocap.bench.claims.identities import files_identity
from pseudocap.bench.claims.regimes import Bench, planned
from pseudocap.data.corpora.base import Corpus
from pseudocap.data.corpora.msrvtt import LAYOUTS, read_msrvtt
from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.data.verify import verify
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError
from pseudocap.evaluate.captioner import HeldOut
from pseudocap.evaluate.views import write_views
from pseudocap.files.sources import find_file
from pseudocap.hub.checkpoint import absolute, check_folder
from pseudocap.hub.fetch import CONFIG_FILE, fetch
from pseudocap.model.device import pick_device
from pseudocap.model.encoders.load import load_encoder
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.regimes.table import REGIMES, UNTRAINED
from pseudocap.stages import Stage, Workshop
from pseudocap.types import Progress

CODE = 2
ANNOTATIONS = {
    "msrvtt": "; or ".join(" with ".join(names) for names in LAYOUTS),
    "msvd": "the lists sents_{train,val,test}_lc_nopunc.txt with youtube_mapping.txt; or AllVideoDescriptions.txt",
}
VIDEOS = {"msrvtt": "video0.mp4 to video9999.mp4", "msvd": "1,970 files <youtube>_<start>_<end>.avi"}
NETWORKS = {
    "decoder": "facebook/opt-1.3b, or a directory",
    "encoder": "a TimeSformer (what `pseudocap convert timesformer` writes) or an image model: a directory or a repo",
}
# What must be in each stream of a regime; the option that names it is called as the stream.
STREAMS = {
    "asr": "tars of `pseudocap pack` after `pseudocap label --teacher asr`, or memories of them",
    "images": "tars of img2dataset, or memories of them",
    "clips": "tars of `pseudocap pack` after `pseudocap label`, or memories of them",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """Hold what the user has, and where."""

    corpus: str
    annotations: Path | None = None
    videos: Path | None = None
    decoder: str | None = None
    encoder: str | None = None
    images: Path | None = None
    clips: Path | None = None
    asr: Path | None = None
    started: Mapping[str, str] = field(default_factory=dict)
    allow_partial: bool = False
    max_failure_rate: float = 0.1


def lacking(files: Files, regimes: Sequence[str]) -> list[str]:
    """List each thing that is not there, with the option that names it and what to put there."""
    lines = []
    for name, what in (("annotations", ANNOTATIONS[files.corpus]), ("videos", VIDEOS[files.corpus])):
        path: Path | None = getattr(files, name)
        if path is None or not path.exists():
            lines.append(f"--{name} {path or 'DIR'} ({what})")
    for name, what in NETWORKS.items():
        if getattr(files, name) is None:
            lines.append(f"--{name} {name.upper()} ({what})")
    for regime in regimes:
        for name in () if regime in files.started else _streams(regime):
            path = getattr(files, name)
            line = f"--{name} {path or 'DIR'} ({STREAMS[name]})"
            if (path is None or not path.exists()) and line not in lines:
                lines.append(line)
    return lines


def real_bench(
    shop: Workshop,
    plan: TrainingPlan,
    files: Files,
    *,
    regimes: Sequence[str],
    seeds: Sequence[int],
    counts: Sequence[int],
    workers: int = 2,
) -> Bench:
    corpus = _checked(files, regimes, seeds, counts)
    decoder, encoder = (absolute(str(source)) for source in (files.decoder, files.encoder))
    videos = VideoFolder(Path(str(files.videos)).resolve())
    named = {name: path.resolve() for name in ("images", "clips", "asr") if (path := getattr(files, name)) is not None}
    networks = {"decoder": files_identity(decoder), "encoder": files_identity(encoder)}
    streams = {name: files_identity(path) for name, path in named.items()}
    sources = {name: str(path) for name, path in named.items()}
    films = cache(lambda: _test_films(shop, corpus, videos))
    limit = ("--max-failure-rate", str(files.max_failure_rate))
    stages = _stages(shop, _Seen(corpus, videos, encoder, networks["encoder"]), films, workers, limit)
    check = _duplicates(shop, named, streams, films, stages[0])
    ground = Ground(
        decoder=decoder,
        encoder=encoder,
        captions="corpus/captions.jsonl",
        memories="memories-tuning",
        views="views",
        films=films,
        streams={name: REGIMES[name].data_words(sources) for name in regimes if name != UNTRAINED},
        needs=dict.fromkeys(regimes, ()),
        running={"training": ("--data.workers", str(workers)), "tuning": ("--videos", str(videos.root), *limit)},
        started=files.started,
        identities=_identities(files, regimes, seeds, networks, streams),
    )
    return Bench(
        shop=shop,
        ground=ground,
        made_first=[*stages, *check],
        cells=planned(regimes, seeds, counts, plan),
        corpus=files.corpus,
        duplicates=check[0].name if check else None,
    )


def _checked(files: Files, regimes: Sequence[str], seeds: Sequence[int], counts: Sequence[int]) -> Corpus:
    """Return the corpus, once all that would end the run is reported: before hours of encoding."""
    if lines := lacking(files, regimes):
        raise DataError(
            f"--data {files.corpus} lacks {'; '.join(lines)}; put and name them, or name a captioner that is "
            "pre-trained already (--pretrained mixed=DIR), or choose --regimes"
        )
    assert None not in (files.annotations, files.videos, files.decoder, files.encoder), "lacking() reports these"
    for source in (files.decoder, files.encoder):
        find_file(absolute(str(source)), CONFIG_FILE)
    started = [files.started[regime] for regime in regimes if regime in files.started]
    for source in dict.fromkeys(for_seed(each, seed) for seed in seeds for each in started):
        check_folder(fetch(source).folder, {})
    read = {"msrvtt": read_msrvtt, "msvd": read_msvd}[files.corpus]
    corpus = read(Path(str(files.annotations)), allow_partial=files.allow_partial)
    there = sum(len(row.captions) for row in corpus.rows if row.split == "train")
    if counts and max(counts) > there:
        raise DataError(
            f"--captions {max(counts):,}: {corpus.name} has {there:,} captions to learn from here; name fewer, or 0 to "
            "leave the few captions out"
        )
    return corpus


def _identities(
    files: Files, regimes: Sequence[str], seeds: Sequence[int], networks: Mapping[str, str], streams: Mapping[str, str]
) -> dict[tuple[str, int], dict[str, str]]:
    """Return what the pre-training of each regime and seed is made of."""
    found = {}
    for regime, seed in product(regimes, seeds):
        if regime in files.started:
            learned = {"captioner": files_identity(for_seed(files.started[regime], seed))}
        else:
            learned = {name: streams[name] for name in _streams(regime)}
        found[regime, seed] = {**networks, **learned}
    return found


def _test_films(shop: Workshop, corpus: Corpus, videos: VideoFolder) -> list[HeldOut]:
    """List those that are there and can be decoded, which the stage `corpus` has found out."""
    broken = shop.reports["corpus"]["coverage"]["undecodable"]
    found = ((row, videos.find(row)) for row in corpus.split("test").rows if row.id not in broken)
    return [HeldOut(key=row.id, path=path, references=row.captions) for row, path in found if path is not None]


def _duplicates(
    shop: Workshop,
    named: Mapping[str, Path],
    streams: Mapping[str, str],
    films: Callable[[], list[HeldOut]],
    corpus: Stage,
) -> list[Stage]:
    """Compare tars with the test films; memories no longer hold what they were made of."""
    chosen = [name for name in ("images", "clips") if name in named and any(named[name].glob("*.tar"))]
    if not chosen:
        return []
    settings = {"tars": [streams[name] for name in chosen], "test": corpus.settings["test"]}
    tars = [named[name] for name in chosen]
    return [duplicates_stage(shop, tars, lambda: [film.path for film in films()], needs=(), settings=settings)]


def _streams(regime: str) -> tuple[str, ...]:
    return () if regime == UNTRAINED else REGIMES[regime].streams


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hold the corpus, where its videos lie, and by whom they are encoded; `weights` is the encoder's identity."""

    corpus: Corpus
    videos: VideoFolder
    encoder: str
    weights: str

    def there(self, *splits: str) -> list[tuple[str, int]]:
        """List the files of the rows that have one, with their sizes: another file of that name is another video."""
        found = ((row, self.videos.find(row)) for row in self.corpus.rows if row.split in splits)
        return sorted((str(row.id), path.stat().st_size) for row, path in found if path is not None)


def _stages(
    shop: Workshop, seen: _Seen, films: Callable[[], list[HeldOut]], workers: int, limit: tuple[str, ...]
) -> list[Stage]:
    """Make the corpus, and the memories of what is learned from and of what is tested on: each is made anew where its
    own videos have changed."""

    def encode(folder: Path, report: Progress) -> Mapping[str, Any]:
        shop.verb(
            *("encode", "corpus/tuning.jsonl", "--videos", str(seen.videos.root), "--encoder", seen.encoder),
            *("--out", "memories-tuning/store", "--workers", str(workers), *limit),
            accepted=(0, 1),  # 1 reports videos that are not there, whose number the verb itself limits
        )
        return {}

    def encode_views(folder: Path, report: Progress) -> Mapping[str, Any]:
        device = pick_device("auto")
        encoder = load_encoder(seen.encoder).to(device)
        files = [film.path for film in films()]
        return write_views(folder, files, encoder.preprocess, lambda frames: encoder.encode(frames.to(device)))

    content = {"code": CODE, "content": seen.corpus.content_hash}
    learned, test = seen.there("train", "val"), seen.there("test")
    by = content | {"encoder": seen.weights}
    return [
        Stage(name="corpus", settings=content | {"learned": learned, "test": test}, make=partial(_read, seen, workers)),
        Stage(name="memories-tuning", settings=by | {"learned": learned}, make=encode),
        Stage(name="views", settings=by | {"test": test}, make=encode_views),
    ]


def _read(seen: _Seen, workers: int, folder: Path, report: Progress) -> Mapping[str, Any]:
    """Write rows to learn from, to be encoded; those that are there, to fine-tune on; which test videos there are."""
    corpus, videos = seen.corpus, seen.videos
    rows = [row for row in corpus.rows if row.split in ("train", "val")]
    present = [row for row in rows if videos.find(row) is not None]
    test = corpus.split("test")
    for name, kept in (("captions", [*present, *test.rows]), ("tuning", rows)):
        listed = ({"video": row.video, "caption": list(row.captions), "split": row.split} for row in kept)
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in listed), encoding="utf-8")
    (found,) = verify(test, videos, workers=max(1, workers), progress=report)
    if not found.present:
        whose = found.missing[0] if found.missing else next(iter(found.undecodable))
        raise DataError(
            f"none of the {found.videos:,} test videos of {corpus.name} can be decoded below {videos.root} "
            f"({whose}, ..); put them there ({VIDEOS[corpus.name]}), or name another folder (--videos)"
        )
    return {
        "provenance": corpus.provenance(),
        "coverage": {
            "test videos": found.videos,
            "present": found.present,
            "missing": len(found.missing),
            "undecodable": dict(found.undecodable),
        },
        "to learn from": {"videos": len(rows), "present": len(present)},
    }
