"""Share among data modules the rank, the checkpoint's preprocessing, and exact resuming."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import lightning.pytorch as lightning
from torch import distributed

from pseudocap.data.stream.batches import TrainingBatches
from pseudocap.data.stream.loaders import Account, EvaluationLoader, Loading, TrainingLoader
from pseudocap.data.stream.sources import RowSource
from pseudocap.errors import ConfigError
from pseudocap.tolerance import Tolerance
from pseudocap.types import Preprocess, SoundPreprocess

T = TypeVar("T")
_log = logging.getLogger(__name__)


def of_all_ranks(value: T) -> list[T]:
    """Return what each rank has, in the order of the ranks. Every rank calls it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


class ResumableData(lightning.LightningDataModule):
    """Resume training at the batch after the last one that was trained on.

    Lightning saves the state with every checkpoint, from rank 0, and loads it before it requests the loader.
    """

    def __init__(self, loading: Loading) -> None:
        super().__init__()
        self._loading = loading
        self._training: TrainingLoader | None = None
        self._evaluations: list[EvaluationLoader] = []  # whose workers end with this module's
        self._state: dict[str, Any] | None = None

    @property
    def rank_and_ranks(self) -> tuple[int, int]:
        """Return the rank of this process and the number of ranks, as the trainer's strategy counts them for data."""
        given = self.trainer.distributed_sampler_kwargs if self.trainer is not None else None
        return (given["rank"], given["num_replicas"]) if given else (0, 1)

    @property
    def _model(self) -> Any:
        """Return the `model` of the module that the trainer fits or tests, None without one."""
        return getattr(self.trainer.lightning_module, "model", None) if self.trainer is not None else None

    def preprocess_or(self, given: Preprocess | None) -> Preprocess:
        """Return what was given, else `model.config.preprocess` of the module that the trainer fits or tests."""
        if given is not None:
            return given
        config = getattr(self._model, "config", None)
        if isinstance(found := getattr(config, "preprocess", None), Preprocess):
            return found
        raise ConfigError(
            f"{type(self).__name__} does not know the size and number of frames: give preprocess=, or fit a module "
            "whose `model` is a PseudoCap (its config.preprocess is taken)"
        )

    def accept(self, source: RowSource, max_failure_rate: float, *, among: RowSource | None = None) -> RowSource:
        """Log the rows without a file, once over all ranks; DataError where they are too many `among` all that belong
        together, by default these."""
        for missing in source.missing if self.rank_and_ranks[0] == 0 else ():
            _log.warning("no video file for %s", missing)
        (source if among is None else among).refuse_missing(Tolerance(max_failure_rate))
        return source

    @property
    def encoder_fingerprint(self) -> str | None:
        """Return that of the model in training, None where it is no PseudoCap: memories must be of the same weights."""
        config = getattr(self._model, "config", None)
        return getattr(getattr(config, "encoder", None), "fingerprint", None)

    @property
    def audio_fingerprint(self) -> str | None:
        """Return that of the encoder of sound of the model in training, None where it has none."""
        encoders = getattr(getattr(self._model, "config", None), "encoders", {})
        return getattr(encoders.get("audio"), "fingerprint", None)

    @property
    def sound_preprocess(self) -> SoundPreprocess | None:
        """Return the sound that the model in training takes, None where it does not hear."""
        found = getattr(getattr(self._model, "config", None), "sound_preprocess", None)
        return found if isinstance(found, SoundPreprocess) else None

    @property
    def needs_patches(self) -> bool:
        """Return whether the attention of the model that the trainer fits reads every patch."""
        return bool(getattr(getattr(self._model, "config", None), "needs_patches", False))

    def provenance(self) -> dict[str, Any]:
        """Describe the data of a result, for JSON."""
        raise NotImplementedError

    def gather_coverage(self) -> object:
        """Gather from all ranks what cannot be decoded. Every rank calls it."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        if self._training is not None:
            return self._training.state_dict()
        return self._state or {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the state until training starts: an evaluation of the same checkpoint has no use for it."""
        self._state = state_dict

    def begin(self, preprocess: Preprocess | None) -> None:
        """Begin a new run, at step 0 unless a state is loaded after this.

        A preprocessing that was given becomes the model's own: it learns from the input that it will get.
        """
        adopt = getattr(self._model, "set_preprocess", None)
        if preprocess is not None and adopt is not None:
            adopt(preprocess)
        self.end()
        self._state = None
        if self.trainer is not None and self.trainer.overfit_batches:
            raise ConfigError("overfit_batches would get other batches in every epoch; give a smaller corpus instead")

    def resumed(
        self, batches: TrainingBatches, *, length: int, run: Mapping[str, Any], account: Account
    ) -> TrainingLoader:
        """Return the training loader at the step of the one before, or at the state that was loaded."""
        loader = TrainingLoader(
            batches, length=length, run=run, account=account, loading=self._loading, in_flight=self.in_flight
        )
        state = self._training.state_dict() if self._training is not None else self._state
        if state:
            loader.load_state_dict(state)
        if self._training is not None:
            self._training.close()
        self._training = loader
        return loader

    def in_flight(self) -> int:
        """Count the batches that the trainer has taken and not finished: one while a step is being interrupted."""
        if self.trainer is None:
            return 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return max(0, progress.ready - progress.processed)

    def end(self) -> None:
        if self._training is not None:
            self._state = self._training.state_dict()
        self._close()
        self._training, self._evaluations = None, []

    def teardown(self, stage: str) -> None:
        self.end()

    def on_exception(self, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._training is not None:
            self._training.close()
        for loader in self._evaluations:
            loader.close()
