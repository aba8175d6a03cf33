"""Batch a corpus and its videos for fine-tuning and evaluation: CaptionData."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

from pseudocap.data.corpora.base import Corpus, Mismatch, split_name
from pseudocap.data.corpora.hub_datasets import is_dataset, read_dataset
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.data.corpora.splits import hold_out, refuse_leak
from pseudocap.data.memories.source import MemoryRows, MemorySource
from pseudocap.data.stream.batches import EvaluationBatches, Stream, TrainingBatches
from pseudocap.data.stream.loaders import Account, EvaluationLoader, Loading, TrainingLoader
from pseudocap.data.stream.mixture import Mixture, numbered
from pseudocap.data.stream.order import generator_fingerprint
from pseudocap.data.stream.resumable import ResumableData, of_all_ranks
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError
from pseudocap.types import CaptionedVideo, Preprocess, SplitCoverage

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

# The splits that a stage of the trainer needs, and those that it takes where they exist; None is no trainer.
NEEDED: dict[str | None, tuple[str, ...]] = {
    "fit": ("train",),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}
WELCOME: dict[str | None, tuple[str, ...]] = {"fit": ("val",), None: ("train", "val", "test")}


class CaptionData(ResumableData):
    """Batch a corpus: `Trainer().fit(module, CaptionData("captions.jsonl"))`.

    In training each video comes with one of its captions, drawn anew every epoch; each epoch has every video once,
    and what a step gets depends on (seed, rank, number of ranks, step) alone, not on workers. In evaluation every video
    comes exactly once over all ranks, with all its references.

    Args:
        source: a file or folder of your own captions (rows without a split are for training), official annotations
            (`msrvtt:DIR`, `msvd:DIR`, `vatex:DIR`; of questions, `msrvtt-qa:DIR`, `questions:FILE`), a Corpus from a
            reader, or a dataset of Hugging Face `datasets` with a column of videos and one of captions
        videos: the folder of the videos; by default that of the captions
        memories: a folder of `pseudocap encode`, which is taken instead of the videos
        preprocess: size, colours and frames; by default those of the model that is trained
        batch_size: videos of a batch on each device
        workers: processes that decode
        start_method: of the workers: fork, forkserver or spawn; by default Python's own
        seed: of the order, the crops, the captions drawn and the videos held out
        train_split: the name of the split to learn from
        val_split: the name of the split to validate on
        test_split: the name of the split to test on
        val_share: of the training videos, held out for validation where there is no such split
        allow_leak: continue where test videos are trained on; every result then reports it
        max_failure_rate: a larger share of videos that are missing or cannot be decoded stops the run
        language_mix: how often a batch is in which language of a corpus of several, as {"en": 0.5, "es": 0.5}: each
            rank draws it for each step from the seed; by default batches mix all languages
        allow_partial: take official annotations of other counts, as the toy world's; every result reports it
    """

    def __init__(
        self,
        source: Corpus | Dataset | DatasetDict | str | Path,  # jsonargparse would read a PathLike's file as settings
        *,
        videos: str | Path | None = None,
        memories: str | Path | None = None,
        preprocess: Preprocess | None = None,
        batch_size: int = 16,
        workers: int = 2,
        start_method: str | None = None,
        seed: int = 0,
        train_split: str = "train",
        val_split: str = "val",
        test_split: str = "test",
        val_share: float = 0.1,
        allow_leak: bool = False,
        max_failure_rate: float = 0.1,
        allow_partial: bool = False,
        language_mix: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(Loading(workers=workers, start_method=start_method))
        if isinstance(source, Corpus) and videos is None and memories is None:
            raise ConfigError(f"videos= must name the folder of the videos of {source.name}")
        Account(max_failure_rate)  # which checks it
        self._source: Corpus | Dataset | DatasetDict | str | Path = source
        self._videos, self._memories, self._preprocess = videos, memories, preprocess
        self._seed, self._val_share = seed, val_share
        self.set_batch_size(batch_size)
        own = source.splits if isinstance(source, Corpus) else ()
        given = {"train": train_split, "val": val_split, "test": test_split}
        self._splits = {part: name if name in own else split_name(name) for part, name in given.items()}
        self._allow_leak, self._max_failure_rate, self._allow_partial = allow_leak, max_failure_rate, allow_partial
        self._language_mix = dict(sorted((language_mix or {}).items()))
        self._corpus: Corpus | None = None
        self._leaks: tuple[Mismatch, ...] = ()
        self._drawn: tuple[str, ...] = ()  # the two splits that were one until some of it was held out
        self._sources: dict[str, RowSource] = {}
        self._undecodable: dict[str, dict[str, str]] = {}

    @property
    def batch_size(self) -> int:
        return self._batch_size

    def set_batch_size(self, batch_size: int) -> None:
        """Change the batch size before training begins, for callers that must read the corpus first."""
        self._mixture = Mixture(batch_size=batch_size, probabilities={"video": 1.0}, seed=self._seed)
        self._batch_size = batch_size

    @property
    def learnable(self) -> int:
        """Count the videos, or stretches of them, that are present to learn from."""
        return sum(self._is_there(row) for row in self.corpus.rows if row.split == self._splits["train"])

    @property
    def corpus(self) -> Corpus:
        """Return the corpus with the splits that are used, read at the first access."""
        if self._corpus is None:
            self._corpus, self._leaks = self._read()
        return self._corpus

    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit"):
            self.begin(self._preprocess)
        for part in NEEDED.get(stage, ()):
            self._prepare(self._splits[part])
        for part in WELCOME.get(stage, ()):
            if self._splits[part] in self.corpus.splits:
                self._prepare(self._splits[part])

    def train_dataloader(self) -> TrainingLoader:
        source = self._sources[self._splits["train"]]
        rank, ranks = self.rank_and_ranks
        if self._language_mix:
            batches = self._by_language(source.rows, rank, ranks)
        else:
            stream = Stream(source, seed=self._seed, rank=rank, ranks=ranks, mix=len(source.rows))
            batches = TrainingBatches({"video": stream}, self._mixture)
        return self.resumed(
            batches,
            length=-(-len(source.rows) // (self._batch_size * ranks)),
            run={
                "batch_size": self._batch_size,
                "ranks": ranks,
                "seed": self._seed,
                "samples": source.identity,
                "numpy": generator_fingerprint(),
                **({"languages": self._language_mix} if self._language_mix else {}),
            },
            account=Account(self._max_failure_rate, self._undecodable[self._splits["train"]]),
        )

    def _by_language(self, rows: Sequence[CaptionedVideo], rank: int, ranks: int) -> TrainingBatches:
        """Return batches of one language each, drawn by the mix."""
        names = tuple(self._language_mix)
        if lacking := set(names) - {row.language for row in rows}:
            has = ", ".join(self.corpus.languages) or "none that is asked for: all its captions are in one"
            raise ConfigError(f"language_mix names {', '.join(sorted(lacking))}, and the captions' languages are {has}")
        mixture = Mixture(
            names, batch_size=self._batch_size, probabilities=self._language_mix, seed=self._seed, rank=rank
        )
        streams = {}
        for name in names:
            source = self.source_of([row for row in rows if row.language == name])
            options = {"rank": rank, "ranks": ranks, "mix": len(source.rows)}
            streams[name] = Stream(source, seed=self._seed, number=numbered(names)[name], **options)
        return TrainingBatches(streams, mixture)

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        name = self._splits["val"]
        return self._evaluation(name) if name in self._sources else []

    def test_dataloader(self) -> EvaluationLoader:
        return self._evaluation(self._splits["test"])

    predict_dataloader = test_dataloader

    @property
    def coverage(self) -> dict[str, SplitCoverage]:
        """Return by split that was set up what is missing, and what this rank found that cannot be decoded."""
        return {
            name: SplitCoverage(
                split=name,
                videos=len(source.rows) + len(source.missing),
                missing=source.missing,
                undecodable=dict(self._undecodable[name]),
            )
            for name in self._splits.values()
            if (source := self._sources.get(name)) is not None
        }

    def gather_coverage(self) -> dict[str, SplitCoverage]:
        """Return the coverage over all ranks. Every rank calls it, at the end of an evaluation for example."""
        for found in of_all_ranks(self.coverage):
            for name, coverage in found.items():
                self._undecodable[name] |= coverage.undecodable
        return self.coverage

    @property
    def captions_by_key(self) -> dict[str, tuple[str, ...]]:
        """Return all captions that are learned, by the key of their video."""
        return {row.id: row.captions for row in self._sources[self._splits["train"]].rows}

    def provenance(self) -> dict[str, Any]:
        """Describe the data of a result, for JSON: the corpus, its splits, and how much of it could be decoded."""
        corpus = self.corpus.provenance()
        return {
            **corpus,
            "mismatches": [*corpus["mismatches"], *(asdict(leak) for leak in self._leaks)],
            "coverage": {
                name: {**asdict(coverage), "present": coverage.present} for name, coverage in self.coverage.items()
            },
        }

    def _read(self) -> tuple[Corpus, tuple[Mismatch, ...]]:
        train, val, test = self._splits.values()
        corpus, _ = self._found
        leaks: list[Mismatch] = []
        for name in (val, test):
            if train in corpus.splits and name in corpus.splits:
                leaks += refuse_leak(corpus.split(train), corpus.split(name), allow_leak=self._allow_leak)
        if train in corpus.splits and val not in corpus.splits:
            corpus = hold_out(corpus, self._val_share, seed=self._seed, train=train, val=val, is_there=self._is_there)
            held = corpus.counts[val]["videos"] if val in corpus.splits else 0
            self._drawn = (train, val) if held else ()
            rank_zero_info(f"no split {val!r}: {held} of the videos of {train!r} are held out for it")
        return corpus, tuple(leaks)

    def source_of(self, rows: Sequence[CaptionedVideo]) -> RowSource:
        """Return the source of the rows of a split: their videos, or their stored memories."""
        preprocess = self.preprocess_or(self._preprocess)
        if self._memories is None:
            return RowSource(rows, self._folder, preprocess, sound=self.sound_preprocess)
        stored = MemorySource(
            self._memories,
            encoder=self.encoder_fingerprint,
            preprocess=preprocess,
            patches=self.needs_patches,
            audio_encoder=self.audio_fingerprint,
            sound=self.sound_preprocess,
        )
        return MemoryRows(rows, stored)

    def _is_there(self, row: CaptionedVideo) -> bool:
        if self._memories is None:
            return self._folder.find(row) is not None
        return self._stored.of_row(row) is not None

    @cached_property
    def _stored(self) -> MemorySource:
        """Open the memories before a model is known; `source_of` compares them with it."""
        assert self._memories is not None, "it is read where memories are given"
        return MemorySource(self._memories)

    def _prepare(self, name: str) -> None:
        """Set up the source of a split; DataError where too many of its videos are missing, or fewer than ranks."""
        corpus = self.corpus
        source, among = self.source_of(corpus.split(name).rows), None
        if name in self._drawn:  # what was held out is present, so a share of either part alone would mean little
            among = self.source_of([row for row in corpus.rows if row.split in self._drawn])
        self.accept(source, self._max_failure_rate, among=among)
        if len(source.rows) < (ranks := self.rank_and_ranks[1]):
            raise DataError(
                f"{name} has {len(source.rows)} videos for {ranks} ranks, and each needs one; use fewer devices"
            )
        self._sources[name] = source
        self._undecodable.setdefault(name, {})

    @cached_property
    def _found(self) -> tuple[Corpus, Path | None]:
        """Return the corpus as it is given, and the folder of its videos unless `videos` names it."""
        train, val = self._splits["train"], self._splits["val"]
        if isinstance(self._source, Corpus):
            return self._source, None
        if is_dataset(self._source):
            return read_dataset(self._source, train=train, val=val)
        named = NamedCorpus.of(os.fspath(self._source))
        return named.read(split=train, allow_partial=self._allow_partial), named.folder

    @cached_property
    def _folder(self) -> VideoFolder:
        videos = self._videos or self._found[1]
        assert videos is not None, "checked at birth"
        return VideoFolder(videos)

    def _evaluation(self, name: str) -> EvaluationLoader:
        rank, ranks = self.rank_and_ranks
        batches = EvaluationBatches(self._sources[name], batch_size=self._batch_size, rank=rank, ranks=ranks)
        loader = EvaluationLoader(
            batches, max_failure_rate=self._max_failure_rate, reasons=self._undecodable[name], loading=self._loading
        )
        self._evaluations.append(loader)
        return loader
