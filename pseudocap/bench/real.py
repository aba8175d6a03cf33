"""`pseudocap bench regimes --data msrvtt` and `msvd`: the same cells on a real corpus, from files of the user's.

Pre-training comes from the user's tars or memories, or has been done elsewhere: `--pretrained mixed=DIR` names a
captioner by regime, with {seed} where there is one for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pseudocap.bench.cells import UNTRAINED, Ground
from pseudocap.bench.duplicates import duplicates_stage
from pseudocap.bench.regimes import Bench, planned
from pseudocap.captioner import pick_device
from pseudocap.data.corpora import Corpus
from pseudocap.data.msrvtt import LAYOUTS, read_msrvtt
from pseudocap.data.msvd import read_msvd
from pseudocap.data.verify import verify
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError
from pseudocap.hub.checkpoint import check_folder
from pseudocap.hub.fetch import CONFIG_FILE, fetch
from pseudocap.model.timesformer import TimeSformer
from pseudocap.places import find_file
from pseudocap.zoo.recipe import Recipe
from pseudocap.zoo.stages import Stage, Workshop
from pseudocap.zoo.yardsticks import HeldOut, watch_films

CODE = 2
ANNOTATIONS = {
    "msrvtt": "; or ".join(" with ".join(names) for names in LAYOUTS),
    "msvd": "the lists sents_{train,val,test}_lc_nopunc.txt with youtube_mapping.txt; or AllVideoDescriptions.txt",
}
VIDEOS = {"msrvtt": "video0.mp4 to video9999.mp4", "msvd": "1,970 files <youtube>_<start>_<end>.avi"}
# What each regime learns from: the option that names it, and what must lie there.
STREAMS: dict[str, tuple[tuple[str, str], ...]] = {
    "asr": (("asr", "tars of `pseudocap pack` after `pseudocap label --teacher asr`, or memories of them"),),
    "image-only": (("images", "tars of img2dataset, or memories of them"),),
    "video-only": (("clips", "tars of `pseudocap pack` after `pseudocap label`, or memories of them"),),
}
BOTH = (*STREAMS["image-only"], *STREAMS["video-only"])
STREAMS |= {"mixed": BOTH, "mixed-ext": BOTH, UNTRAINED: ()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What the user has, and where."""

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


def lacking(files: Files, regimes: Sequence[str]) -> list[str]:
    """Each thing that is not there, with the option that names it and what to place."""
    told = []
    for name, what in (("annotations", ANNOTATIONS[files.corpus]), ("videos", VIDEOS[files.corpus])):
        path: Path | None = getattr(files, name)
        if path is None or not path.exists():
            told.append(f"--{name} {path or 'DIR'} ({what})")
    for name, what in (("decoder", "facebook/opt-1.3b, or a directory"), ("encoder", "a TimeSformer's directory")):
        if getattr(files, name) is None:
            told.append(f"--{name} {name.upper()} ({what})")
    for regime in regimes:
        for name, what in () if regime in files.started else STREAMS[regime]:
            place: Path | None = getattr(files, name)
            line = f"--{name} {place or 'DIR'} ({what})"
            if (place is None or not place.exists()) and line not in told:
                told.append(line)
    return told


def real_bench(
    shop: Workshop,
    recipe: Recipe,
    files: Files,
    *,
    regimes: Sequence[str],
    seeds: Sequence[int],
    counts: Sequence[int],
    workers: int = 2,
) -> Bench:
    if told := lacking(files, regimes):
        raise DataError(
            f"--data {files.corpus} lacks {'; '.join(told)}; place and name them, or name a captioner that is "
            "pre-trained already (--pretrained mixed=DIR), or choose --regimes"
        )
    _require_networks(files, regimes, seeds)
    assert None not in (files.annotations, files.videos, files.decoder, files.encoder), "lacking() has told"
    read = {"msrvtt": read_msrvtt, "msvd": read_msvd}[files.corpus]
    corpus = read(Path(str(files.annotations)), allow_partial=files.allow_partial)
    videos = VideoFolder(Path(str(files.videos)).resolve())
    decoder, encoder = (_absolute(str(source)) for source in (files.decoder, files.encoder))
    films = cache(lambda: _test_films(shop, corpus, videos))
    stages = _stages(shop, corpus, videos, encoder, films, workers)
    named = {name: path.resolve() for name in ("images", "clips", "asr") if (path := getattr(files, name)) is not None}
    check = _duplicates(shop, named, films)
    ground = Ground(
        decoder=decoder,
        encoder=encoder,
        captions="corpus/captions.jsonl",
        memories="memories-tuning",
        views="views",
        films=films,
        streams={regime: _words(regime, named) for regime in regimes},
        needs=dict.fromkeys(regimes, ()),
        training=("--data.workers", str(workers)),
        tuning=("--videos", str(videos.root)),
        started=files.started,
    )
    return Bench(
        shop=shop,
        ground=ground,
        made_first=[*stages, *check],
        cells=planned(regimes, seeds, counts, recipe),
        corpus=files.corpus,
        duplicates=check[0].name if check else None,
    )


def _require_networks(files: Files, regimes: Sequence[str], seeds: Sequence[int]) -> None:
    """What cannot be loaded is told before hours of encoding."""
    for source in (files.decoder, files.encoder):
        find_file(str(source), CONFIG_FILE)
    started = [files.started[regime] for regime in regimes if regime in files.started]
    for place in dict.fromkeys(source.format(seed=seed) for seed in seeds for source in started):
        check_folder(fetch(place).folder, {})


def _test_films(shop: Workshop, corpus: Corpus, videos: VideoFolder) -> list[HeldOut]:
    """Those that are there and can be decoded, which the stage `corpus` has found out."""
    broken = shop.told["corpus"]["coverage"]["undecodable"]
    found = ((row, videos.find(row)) for row in corpus.split("test").rows if row.id not in broken)
    return [
        HeldOut(key=row.id, path=path, references=row.captions, shots=()) for row, path in found if path is not None
    ]


def _duplicates(shop: Workshop, named: Mapping[str, Path], films: Callable[[], list[HeldOut]]) -> list[Stage]:
    """Tars can be held against the test films; memories no longer show what they were made of."""
    tars = [path for path in (named.get("images"), named.get("clips")) if path and any(path.glob("*.tar"))]
    if not tars:
        return []
    settings = {"tars": [str(path) for path in tars]}
    return [duplicates_stage(shop, tars, lambda: [film.path for film in films()], needs=("corpus",), settings=settings)]


def _words(regime: str, named: Mapping[str, Path]) -> tuple[str, ...]:
    options = {"asr": "--data.videos", "clips": "--data.videos", "images": "--data.images"}
    words = [word for name, _ in STREAMS[regime] if name in named for word in (options[name], str(named[name]))]
    return (*(("--data.transcripts", "null") if regime == "asr" else ()), *words)


def _absolute(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def _stages(
    shop: Workshop,
    corpus: Corpus,
    videos: VideoFolder,
    encoder: str,
    films: Callable[[], list[HeldOut]],
    workers: int,
) -> list[Stage]:
    def read(folder: Path, report: Callable[[int, int], None]) -> Mapping[str, Any]:
        """All rows for the record, those of training and validation to be encoded, and which test videos there are."""
        rows = [{"video": row.video, "caption": list(row.captions), "split": row.split} for row in corpus.rows]
        for name, kept in (("captions", ("train", "val", "test")), ("tuning", ("train", "val"))):
            lines = [json.dumps(row) + "\n" for row in rows if row["split"] in kept]
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        (found,) = verify(corpus.split("test"), videos, workers=max(1, workers), progress=report)
        if not found.present:
            whose = found.missing[0] if found.missing else next(iter(found.undecodable))
            raise DataError(
                f"none of the {found.videos:,} test videos of {corpus.name} can be watched below {videos.root} "
                f"({whose}, ..); place them there ({VIDEOS[corpus.name]}), or name another folder (--videos)"
            )
        return {
            "provenance": corpus.provenance(),
            "coverage": {
                "test videos": found.videos,
                "present": found.present,
                "missing": len(found.missing),
                "undecodable": dict(found.undecodable),
            },
        }

    def encode(folder: Path, report: Callable[[int, int], None]) -> Mapping[str, Any]:
        shop.verb(
            *("encode", "corpus/tuning.jsonl", "--videos", str(videos.root), "--encoder", encoder),
            *("--out", "memories-tuning/store", "--workers", str(workers)),
            accepted=(0, 1),  # 1 tells of videos that are not there, whose number the verb itself limits
        )
        return {}

    def watch(folder: Path, report: Callable[[int, int], None]) -> Mapping[str, Any]:
        return watch_films(folder, films(), TimeSformer.from_pretrained(encoder).to(pick_device("auto")))

    there = sorted(str(path.relative_to(videos.root)) for row in corpus.rows if (path := videos.find(row)) is not None)
    content = {"code": CODE, "content": corpus.content_hash, "videos": str(videos.root), "there": there}
    return [
        Stage(name="corpus", settings=content, make=read),
        Stage(name="memories-tuning", settings={"encoder": encoder}, make=encode, needs=("corpus",)),
        Stage(name="views", settings={"encoder": encoder}, make=watch, needs=("corpus",)),
    ]
