"""Label on many machines: Ray Data deals shards out to actors, each of which holds a teacher and decodes for it.

    shards -> [actor: plan, decode in processes of its own, batch, ask the teacher, filter] -> here: one file per shard

An actor labels a shard just as one machine does, so the rows are the same; captions are all that crosses the network.
Decoding in tasks of its own, with frames in Ray's object store, was built first and thrown away: when a node died, the
frames it held were wanted again from tasks that were held back for want of a reader, and the run stood still for ever
(ray-project/ray#64805). Here a dead node costs the shards it was at, which Ray gives to other actors. Needs the extra
`ray`: pip install 'pseudocap[ray]'.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from pseudocap.errors import ConfigError, DataError, PseudocapError, first_line
from pseudocap.label.engines import LocalEngine
from pseudocap.label.shard import LabelRecipe
from pseudocap.label.teachers.base import Answer, Teacher, View
from pseudocap.label.work import Done, Step, Work

Result = TypeVar("Result")
AT_ONCE = 2  # shards that an actor is at, so that its teacher is not idle while one begins and another ends


class RayEngine:
    """Label on a Ray cluster, joined while the `with` block lasts: that at `address`, or one of this machine alone.

    `gpus` may be a fraction, so that several teachers share a GPU; None is one where the cluster has any. Beside each
    teacher `workers` processes decode, for which CPUs are set aside. `teachers` is how many there are at least and at
    most (None: as many as fit); Ray starts and stops them.
    """

    noun = "teacher"  # what options call the actors

    def __init__(
        self,
        *,
        address: str | None = None,
        gpus: float | None = None,
        workers: int = 2,
        teachers: tuple[int, int | None] = (1, None),
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("--engine ray needs Ray: pip install 'pseudocap[ray]'; without it take --engine local")
        least, most = teachers
        if least < 1 or (most is not None and most < least):
            raise ConfigError(
                f"{self.noun}s are {least} to {most}: at least 1, and the first number is not above the second"
            )
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise ConfigError(
                f"gpus of each {self.noun} are {gpus:g} and must be 0 or more; above one, whole ones only"
            )
        if workers < 1:
            raise ConfigError(f"workers are {workers} and must be at least 1 beside each {self.noun}")
        self._address, self._gpus, self._workers, self._teachers = address, gpus, workers, teachers
        self._joined = False

    def __enter__(self) -> Self:
        import ray

        if not ray.is_initialized():
            try:
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"no Ray cluster can be joined at {self._address or 'this machine'}: {first_line(error)}"
                ) from error
            self._joined = True
        there = ray.cluster_resources()
        if self._gpus is None:
            self._gpus = 1.0 if there.get("GPU", 0) else 0.0
        if self._address is None and self._joined:
            self._require_room(there)
        return self

    def _require_room(self, there: dict[str, float]) -> None:
        """Refuse what does not fit on this machine, which cannot grow as a cluster may: it would wait for ever."""
        least = self._teachers[0]
        gpus = ("GPU", self._gpus or 0, f"gpus-per-{self.noun}")
        for name, each, option in (("CPU", self._workers, "workers"), gpus):
            if least * each > there.get(name, 0):
                self.__exit__()
                raise ConfigError(
                    f"{least} {self.noun}s with {each:g} {name}s each do not fit this machine, which has "
                    f"{there.get(name, 0):g}; lower --{self.noun}s or --{option}"
                )

    def __exit__(self, *exception: object) -> None:
        import ray

        if self._joined:
            ray.shutdown()
            self._joined = False

    def there(self, run: Callable[[], Result]) -> Result:
        """Run a function on a machine that has what a teacher gets: with a GPU, where teachers have one."""
        import ray

        with _ours():
            task = ray.remote(num_gpus=self._gpus, num_cpus=self._workers, max_retries=3)(lambda: run())
            result: Result = ray.get(task.remote())
            return result

    def label(
        self, works: Iterable[Work], teacher: Teacher, recipe: LabelRecipe, scratch: Path
    ) -> Generator[Done | Step]:
        """Give shards as they are done, in whatever order. What must be fetched lies where it is decoded, not here."""
        for done in self.dealt(works, _ShardWorker, (teacher, recipe)):
            yield Step(videos=done.videos, clips=done.clips, seconds=done.seconds)
            yield done

    def dealt(self, works: Iterable[Work], worker: type, shared: object) -> Generator[Any]:
        """Deal works out to actors and give what they make of each. An actor builds a `worker` of `shared`, which is
        sent once, and the processes that it may have; the worker takes rows of pickled works and returns such rows."""
        import ray

        rows = [{"content": pickle.dumps(work)} for work in works]
        if not rows:
            return
        least, most = self._teachers
        compute = ray.data.ActorPoolStrategy(
            min_size=least, max_size=most, max_concurrent_calls_per_actor=AT_ONCE, enable_true_multi_threading=True
        )
        with _ours(), _quiet_context(ray.data.DataContext):
            there = [ray.put(shared)]  # once, and not with every actor
            made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                worker,
                fn_constructor_args=(there, max(1, self._workers // AT_ONCE)),
                batch_size=1,
                compute=compute,
                num_gpus=self._gpus or None,
                num_cpus=self._workers,
            )
            for batch in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                for row in batch.to_pylist():
                    yield pickle.loads(row["content"])


class _ShardWorker:
    """Label the shards that Ray deals to this actor, with one teacher."""

    def __init__(self, there: list[Any], workers: int) -> None:
        import ray

        (teacher, self._recipe) = ray.get(there[0])
        self._teacher = _OneAtATime(teacher)
        self._engine = LocalEngine(workers)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[bytes]]:
        works = [pickle.loads(content) for content in rows["content"]]
        with tempfile.TemporaryDirectory(prefix="pseudocap-") as scratch:
            steps = self._engine.label(works, self._teacher, self._recipe, Path(scratch))
            return {"content": [pickle.dumps(step) for step in steps if isinstance(step, Done)]}


class _OneAtATime:
    """Share a teacher among several shards, one batch after the other."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher, self._turn = teacher, threading.Lock()
        self.name, self.revision = teacher.name, teacher.revision
        self.settings, self.short_side = teacher.settings, teacher.short_side

    def caption(self, views: Sequence[View]) -> list[Answer]:
        with self._turn:
            return self._teacher.caption(views)


@contextmanager
def _ours() -> Iterator[None]:
    """Unwrap what Ray wraps into errors of its own; a user's mistake is still a user's mistake."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while isinstance(cause, ray.exceptions.RayError) or not isinstance(cause, PseudocapError | None):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, PseudocapError):
            raise cause from None
        raise DataError(
            f"the Ray cluster could not go on: {first_line(error)}; what is finished is complete: run again to go on"
        ) from error


@contextmanager
def _quiet_context(context: Any) -> Iterator[None]:
    """Set Ray Data's options while we run: we report progress ourselves."""
    current = context.get_current()
    ours = {"enable_progress_bars": False, "print_on_execution_start": False}
    before = {name: getattr(current, name) for name in ours}
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        for name, value in ours.items():
            setattr(current, name, value)
        logger.setLevel(os.environ.get("PSEUDOCAP_RAY_LOG", "ERROR"))
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(current, name, value)
