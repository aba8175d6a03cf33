"""Stream tars, memories, or corpora with their videos, without end, for pre-training: StreamData."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

from pseudocap.data.caption_data import CaptionData
from pseudocap.data.corpora.base import Corpus
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MANIFEST
from pseudocap.data.stream.batches import Stream, TrainingBatches
from pseudocap.data.stream.loaders import Account, EvaluationLoader, Loading, TrainingLoader
from pseudocap.data.stream.mixture import IMAGE_BATCH_FACTOR, MODALITIES, PROBABILITIES, Drawn, Mixture, numbered
from pseudocap.data.stream.order import MIX, generator_fingerprint
from pseudocap.data.stream.resumable import ResumableData, of_all_ranks
from pseudocap.data.stream.sources import RowSource, Source, TarSource
from pseudocap.data.tars.index import Tars, index_tars
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError
from pseudocap.types import Preprocess

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class StreamData(ResumableData):
    """Batch images, videos, or a mixture of any streams, for as many steps as the trainer wants.

    What step s of a rank gets depends on (seed, rank, number of ranks, s) alone, not on workers.

    Args:
        images: tars of img2dataset, a folder of them, or a folder of memories
        videos: tars of video2dataset, a folder of them, a folder of memories, or a Corpus such as HowTo100M's
        streams: further ones by a name of your own, each what images or videos may be
        video_folder: the folder of the videos of a Corpus
        preprocess: size, colours and frames; by default those of the model that is trained
        batch_size: videos of a batch on each device
        image_batch_factor: how many times as large a batch of images is, also where there are no videos
        batch_factors: the same for streams by name
        probabilities: of a batch of each stream; of images and videos by default the papers' 0.95 and 0.05
        captions: of each image or video learned at once, at little cost since its memory is projected once
        synchronised: all ranks draw the same stream at each step; unstable in the papers
        epoch_steps: batches of an epoch, so between two validations: with gradients accumulated a multiple of that
            number, or the last step of each epoch is smaller
        seed: of the draws, the order, the crops and the moments
        workers: processes that decode
        start_method: of the workers: fork, forkserver or spawn; by default Python's own
        mix: samples among which the order is shuffled, entire tars at a time
        index: a folder for the index of the tars, where theirs cannot be written to
        max_failure_rate: a larger share of samples that cannot be decoded stops the run
        validation: a captioned corpus to be scored on after every epoch
    """

    def __init__(
        self,
        images: Tars | Source | None = None,
        videos: Tars | Corpus | Source | None = None,
        *,
        streams: Mapping[str, Tars | Corpus | Source] | None = None,
        video_folder: str | Path | None = None,
        preprocess: Preprocess | None = None,
        batch_size: int = 16,
        image_batch_factor: int = IMAGE_BATCH_FACTOR,
        batch_factors: Mapping[str, int] | None = None,
        probabilities: Mapping[str, float] | None = None,
        captions: int = 1,
        synchronised: bool = False,
        epoch_steps: int = 1000,
        seed: int = 0,
        workers: int = 2,
        start_method: str | None = None,
        mix: int = MIX,
        index: str | Path | None = None,
        max_failure_rate: float = 0.1,
        validation: CaptionData | None = None,
    ) -> None:
        super().__init__(Loading(workers=workers, start_method=start_method))
        if isinstance(epoch_steps, bool) or not isinstance(epoch_steps, int) or epoch_steps < 1:
            raise ConfigError(f"epoch_steps must be a whole number above 0, not {epoch_steps!r}")
        self._given = _given(images, videos, streams or {})
        for given in self._given.values():
            if isinstance(given, Corpus) and video_folder is None:
                raise ConfigError(f"video_folder= must name the folder of the videos of {given.name}")
        self._numbers = numbered(self._given)
        self._draws: dict[str, Any] = {
            "batch_size": batch_size,
            "image_batch_factor": image_batch_factor,
            "probabilities": _probabilities(probabilities, self._given),
            "synchronised": synchronised,
            "seed": seed,
        }
        if isinstance(captions, bool) or not isinstance(captions, int) or captions < 1:
            raise ConfigError(f"captions must be a whole number above 0, not {captions!r}")
        self._captions = captions
        if batch_factors:
            self._draws["batch_factors"] = dict(batch_factors)
        self.counts(0)
        Account(max_failure_rate)  # both of which check their arguments
        self._video_folder, self._preprocess, self._index = video_folder, preprocess, index
        self._epoch_steps, self._seed, self._mix = epoch_steps, seed, mix
        self._max_failure_rate = max_failure_rate
        self._sources: dict[str, Source] = {}
        self.validation = validation
        self.undecodable: dict[str, str] = {}

    def prepare_data(self) -> None:
        """Index the tars, once a machine, so that every rank finds the index."""
        for name, given in self._given.items():
            if _are_tars(given) and not _are_memories(given):
                tars = index_tars(given, folder=self._index)
                plural = f"{name}s" if name in MODALITIES else name
                rank_zero_info(f"{plural}: {sum(tar.samples for tar in tars):,} samples in {len(tars):,} tars")

    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit"):
            self.begin(self._preprocess)
        if self.validation is not None:
            self.validation.trainer = self.trainer
            if stage is not None:
                self.validation.setup("validate" if stage == "fit" else stage)
        if stage in (None, "fit"):
            preprocess = self.preprocess_or(self._preprocess)
            self._sources = {name: self._source(name, given, preprocess) for name, given in self._given.items()}

    def train_dataloader(self) -> TrainingLoader:
        rank, ranks = self.rank_and_ranks
        mixture = self.mixture
        streams = {
            name: Stream(
                source,
                seed=self._seed,
                number=self._numbers[name],
                rank=rank,
                ranks=ranks,
                mix=self._mix,
                captions=self._captions,
            )
            for name, source in self._sources.items()
        }
        run = {**self._draws, "ranks": ranks, "mix": self._mix, "numpy": generator_fingerprint()}
        run |= {f"samples ({name})": source.identity for name, source in self._sources.items()}
        if self._captions > 1:
            run["captions"] = self._captions
        if len(self._numbers) > len(MODALITIES):
            run["streams"] = list(self._numbers)  # whose order decides what is drawn
        return self.resumed(
            TrainingBatches(streams, mixture),
            length=self._epoch_steps,
            run=run,
            account=Account(self._max_failure_rate, self.undecodable),
        )

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        return self.validation.val_dataloader() if self.validation is not None else []

    def test_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        return self.validation.test_dataloader() if self.validation is not None else []

    def teardown(self, stage: str) -> None:
        super().teardown(stage)
        if self.validation is not None:
            self.validation.teardown(stage)

    @property
    def mixture(self) -> Mixture:
        return Mixture(tuple(self._numbers), **self._draws, rank=self.rank_and_ranks[0])

    def counts(self, steps: int | None = None) -> dict[str, Drawn]:
        """Return what this rank has drawn of each stream, or what its first `steps` steps draw: for the log."""
        if steps is None:
            steps = int(self.state_dict().get("step", 0))
        return self.mixture.counts(steps)

    @property
    def captions_by_key(self) -> dict[str, tuple[str, ...]]:
        """Return all captions that are learned, by the key of their sample; empty of tars, which are not read twice."""
        return {
            source.name(index): row.captions
            for source in self._sources.values()
            for index, row in enumerate(getattr(source, "rows", ()))
        }

    def provenance(self) -> dict[str, Any]:
        """Describe the data of a result, for JSON."""
        samples = {name: {"samples": sum(s.groups), "identity": s.identity} for name, s in self._sources.items()}
        drawn = {name: asdict(counts) for name, counts in self.counts().items()}
        validation = self.validation.provenance() if self.validation is not None else None
        return {
            "stream": self._draws,
            "sources": samples,
            "drawn": drawn,
            "unwatchable": len(self.undecodable),
            "validation": validation,
        }

    def gather_coverage(self) -> dict[str, str]:
        """Return what cannot be decoded, and why, over all ranks; gather the validation's coverage too."""
        for found in of_all_ranks(self.undecodable):
            self.undecodable |= found
        if self.validation is not None:
            self.validation.gather_coverage()
        return self.undecodable

    def _source(self, name: str, given: Tars | Corpus | Source, preprocess: Preprocess) -> Source:
        if _are_memories(given):
            given = MemorySource(
                given,
                encoder=self.encoder_fingerprint,
                preprocess=preprocess,
                patches=self.needs_patches,
                audio_encoder=self.audio_fingerprint,
                sound=self.sound_preprocess,
            )
        if _are_tars(given):
            modality = next((each for each in MODALITIES if each == name), None)
            tars = index_tars(given, folder=self._index)
            return TarSource(tars, preprocess, modality=modality, sound=self.sound_preprocess)
        if isinstance(given, Corpus):
            if name == "image":
                raise ConfigError(f"images cannot be the corpus {given.name}, which has videos; give it as videos=")
            assert self._video_folder is not None, "checked at birth"
            rows = given.split("train").rows
            source = RowSource(rows, VideoFolder(self._video_folder), preprocess, sound=self.sound_preprocess)
            return self.accept(source, self._max_failure_rate)
        if name in MODALITIES and given.modality != name:
            raise ConfigError(
                f"{name}s= was given a source of {given.modality}s; give it as {given.modality}s=, "
                f"and {name}s=None (null in a config)"
            )
        if isinstance(given, MemorySource):
            given.refuse_mismatches(self.encoder_fingerprint, preprocess, patches=self.needs_patches)
            given.refuse_other_sound(self.audio_fingerprint, self.sound_preprocess)
            if missing := [row.key for row in given.rows if not row.captions]:
                raise DataError(
                    f"{given.folder} has no captions of {len(missing):,} of its {len(given):,} samples "
                    f"({', '.join(missing[:3])}, ..): they were encoded without; encode a file of captions or tars, or "
                    "give the captions to CaptionData with memories="
                )
        return given


def _are_memories(given: Tars | Corpus | Source) -> TypeIs[str | Path]:
    return isinstance(given, str | os.PathLike) and (Path(given) / MANIFEST).is_file()


def _are_tars(given: Tars | Corpus | Source) -> TypeIs[Tars]:
    return isinstance(given, str | os.PathLike | Sequence)


def _given(
    images: Tars | Source | None, videos: Tars | Corpus | Source | None, streams: Mapping[str, Tars | Corpus | Source]
) -> dict[str, Tars | Corpus | Source]:
    """Return every stream by its name, images and videos first."""
    given: dict[str, Tars | Corpus | Source] = {}
    for name, one in (("image", images), ("video", videos)):
        if one is not None and name in streams:
            raise ConfigError(f"the stream {name!r} is given twice, as {name}s= and in streams=; leave one out")
        if (found := streams.get(name, one)) is not None:
            given[name] = found
    return given | {name: one for name, one in streams.items() if name not in MODALITIES}


def _probabilities(given: Mapping[str, float] | None, sources: Mapping[str, object]) -> dict[str, float]:
    """Return the probability of every stream; the papers' for images and videos, 1 for a single one."""
    if not sources:
        raise ConfigError("there is nothing to stream: give images=, videos= or both, or streams=")
    if given is None:
        if len(sources) == 1:
            return dict.fromkeys(sources, 1.0)
        if sources.keys() != PROBABILITIES.keys():
            raise ConfigError(f"probabilities= must say how often each of {', '.join(sources)} is drawn")
        return dict(PROBABILITIES)
    for name, probability in given.items():
        if probability and name in MODALITIES and name not in sources:
            raise ConfigError(f"probabilities give {name} {probability:g}, and there are no {name}s; give {name}s=")
    return dict(given)
