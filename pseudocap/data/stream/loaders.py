"""Load batches by number, computed by workers, in order; and count what failed.

They are iterables with a length and no DataLoader, so Lightning leaves them as they are: it puts a sampler of its own
into every DataLoader of a distributed run, and that one repeats samples until all ranks have equally many.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from pseudocap.data.stream.batches import Delivery, EvaluationBatches, TrainingBatches
from pseudocap.errors import ConfigError, DataError, first_line
from pseudocap.tolerance import Tolerance
from pseudocap.types import Batch

# Over fewer samples than this, a rate of failures says little.
MINIMUM = 100
_REMEMBERED = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """Set how batches are computed. `start_method` is that of the workers, None for Python's own on the platform.

    No setting here changes any batch.
    """

    workers: int = 2
    start_method: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 0:
            raise ConfigError(f"workers must be a whole number from 0 on (0: in this process), not {self.workers!r}")
        if self.start_method not in (None, "fork", "forkserver", "spawn"):
            raise ConfigError(f"start_method must be fork, forkserver, spawn or None, not {self.start_method!r}")


class Account:
    """Count the samples that could not be decoded, log each once, and stop a run with too many."""

    def __init__(self, max_failure_rate: float, reasons: dict[str, str] | None = None) -> None:
        self.seen = self.failed = 0
        self.reasons = {} if reasons is None else reasons  # by name, the first ten thousand
        self._tolerance = Tolerance(max_failure_rate)

    def add(self, delivery: Delivery) -> None:
        """Count a delivery; DataError where it is fatal or once too much failed."""
        self.seen += len(delivery.failures) + (len(delivery.batch) if delivery.batch is not None else 0)
        self.failed += len(delivery.failures)
        for failure in delivery.failures:
            if failure.name not in self.reasons and len(self.reasons) < _REMEMBERED:
                self.reasons[failure.name] = failure.reason
                _log.warning("cannot be decoded: %s: %s", failure.name, failure.reason)
        if delivery.fatal:
            raise DataError(delivery.fatal)
        if self.seen >= MINIMUM:
            self.judge()

    def judge(self) -> None:
        """Raise DataError if the share of failures is above what is allowed."""
        if objection := self._tolerance.objection(self.failed, self.seen, "samples cannot be decoded"):
            name, reason = next(iter(self.reasons.items()))
            raise DataError(
                f"{objection}, {name} first ({reason}); fix the files (pseudocap data verify lists them) or allow more"
            )


class _Loader:
    """Run a DataLoader of deliveries, in order, whose workers stay from pass to pass."""

    def __init__(self, batches: Dataset[Delivery], loading: Loading) -> None:
        self._batches, self._loading = batches, loading
        self._numbers: list[int] = []  # of the batches of a pass
        self._loader: DataLoader[Delivery] | None = None

    def deliver(self, first: int, last: int) -> Iterator[Delivery]:
        """Yield batches first to last - 1."""
        self._numbers[:] = range(first, last)
        if self._loader is None:
            self._loader = DataLoader(
                self._batches,
                batch_size=None,
                sampler=self._numbers,
                num_workers=self._loading.workers,
                collate_fn=_unchanged,
                worker_init_fn=_ignore_ctrl_c,
                persistent_workers=self._loading.workers > 0,
                multiprocessing_context=self._loading.start_method if self._loading.workers else None,
                pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # its own: else every pass would draw from the training's random numbers
            )
        deliveries = iter(self._loader)
        while True:
            try:
                delivery = next(deliveries)
            except StopIteration:
                return
            except (RuntimeError, ConnectionError, EOFError) as error:
                if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                    raise
                died = first_line(error)
                break
            yield delivery
        # Outside of the except, whose error would hold the iterator, its other workers and PyTorch's monitor of them.
        self._loader = None
        del deliveries
        raise DataError(
            f"a process that reads the data died ({died}): by a file that crashes FFmpeg (pseudocap data verify finds "
            "it), or for want of memory (take fewer workers)"
        )

    def close(self) -> None:
        """End the workers; a new pass starts new ones."""
        self._loader = None


class TrainingLoader(_Loader):
    """Load the batches of training: each pass yields `len` of them and continues where the last one ended.

    What counts is what was yielded, not what workers have prepared. `run` is all that the order depends on: state
    of a run with another one is refused. `in_flight` counts yielded batches that the training has not finished.
    """

    def __init__(
        self,
        batches: TrainingBatches,
        *,
        length: int,
        run: Mapping[str, Any],
        account: Account,
        loading: Loading,
        in_flight: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(batches, loading)
        self.step = 0
        self.account = account
        self._length = length
        self._run = dict(run)
        self._in_flight = in_flight

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        for delivery in self.deliver(self.step, self.step + self._length):
            self.account.add(delivery)
            assert delivery.batch is not None, "a batch of training that is not fatal has samples"
            self.step += 1
            yield delivery.batch

    def state_dict(self) -> dict[str, Any]:
        """Return the step of training, the same on every rank."""
        return {"step": self.step - self._in_flight(), "run": self._run}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a state; refuse it, with what differs, where other samples would follow than without the stop."""
        for name, value in self._run.items():
            if (before := state["run"].get(name)) != value:
                raise ConfigError(
                    f"the run to resume had {name} {before!r} and this one has {value!r}, so other samples would "
                    f"follow: set {name} as it was, or start a new run from the weights alone"
                )
        self.step = int(state["step"])


class EvaluationLoader(_Loader):
    """Load all batches of an evaluation, anew at each pass; one without a decodable sample is left out."""

    def __init__(
        self, batches: EvaluationBatches, *, max_failure_rate: float, reasons: dict[str, str], loading: Loading
    ) -> None:
        super().__init__(batches, loading)
        self._length = len(batches)
        self._max_failure_rate, self._reasons = max_failure_rate, reasons

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        account = Account(self._max_failure_rate, self._reasons)
        for number, delivery in enumerate(self.deliver(0, self._length), start=1):
            account.add(delivery)
            if number == self._length:
                account.judge()  # here, since Lightning does not ask for more than the last batch
            if delivery.batch is not None:
                yield delivery.batch


def _ignore_ctrl_c(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to workers as well, to the process that they work for: it may want to end
    its step or its validation first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(delivery: Any) -> Any:
    return delivery
