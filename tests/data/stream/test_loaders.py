from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers.sources import Counting, batches, image_source
from helpers.tars import SMALL, image_tars

from pseudocap.data.collate import collate
from pseudocap.data.stream.batches import BrokenSample, Delivery, EvaluationBatches
from pseudocap.data.stream.loaders import Account, EvaluationLoader, Loading, TrainingLoader
from pseudocap.errors import ConfigError, DataError
from pseudocap.memory import Memory
from pseudocap.types import Batch, Sample


def loader(length: int = 3, *, workers: int = 0, start_method: str | None = None, broken: tuple[int, ...] = ()):
    return TrainingLoader(
        batches(Counting((5, 7, 4), broken=broken)),
        length=length,
        run={"seed": 0},
        account=Account(0.5),
        loading=Loading(workers=workers, start_method=start_method),
    )


def contents(batch: Batch) -> tuple[object, ...]:
    return batch.step, batch.keys, batch.captions, batch.frames.flatten().tolist()


def test_each_pass_goes_on_where_the_last_one_ended_also_if_it_was_left_early() -> None:
    uninterrupted = loader(20)
    straight = [contents(batch) for batch in uninterrupted]
    parts = loader(3)
    seen = []
    for stop in (3, 1, 2, 3):
        for number, batch in enumerate(parts, start=1):
            seen.append(contents(batch))
            if number == stop:
                break
    assert seen == straight[:9]


def test_what_counts_is_what_was_handed_out_not_what_workers_prepared() -> None:
    first = loader(8, workers=2)
    handed = iter(first)
    seen = [contents(next(handed)) for _ in range(3)]
    state = first.state_dict()
    assert state["step"] == 3
    second = loader(8)
    second.load_state_dict(state)
    assert seen + [contents(batch) for batch in second] == [contents(batch) for batch in loader(11)]
    del handed
    first.close()
    assert not multiprocessing.active_children()


class Deadly(Counting):
    """A source whose fifth sample ends the process that decodes it, as some files do with FFmpeg."""

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        if index == 4:
            time.sleep(0.2)  # the batch before is to arrive first
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(index, generator)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    source = EvaluationBatches(Deadly((6,)), batch_size=2)
    dying = EvaluationLoader(source, max_failure_rate=0.5, reasons={}, loading=Loading(workers=1))
    with pytest.raises(DataError, match=r"a process that reads the data died .* \(pseudocap data verify finds it\)"):
        list(dying)
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_workers_of_any_kind_give_the_same_batches(tmp_path: Path, start_method: str) -> None:
    source = image_source(image_tars(tmp_path, broken=(2,)))

    def run(workers: int, method: str | None) -> list[tuple[object, ...]]:
        loading = Loading(workers=workers, start_method=method)
        made = TrainingLoader(batches(source), length=6, run={}, account=Account(0.5), loading=loading)
        found = [contents(batch) for _ in range(2) for batch in made]
        made.close()
        return found

    assert run(1, start_method) == run(0, None)


def test_failures_are_counted_as_they_are_handed_out_and_judged_over_enough_samples() -> None:
    account = Account(0.2)
    batch = collate([Sample(key="a", modality="video", captions=("x",), frames=torch.zeros(1, 3, 1, 1))], ["x"])
    failure = BrokenSample("film", "no frames")
    for _ in range(24):
        account.add(Delivery(batch, (failure, failure, failure)))
    assert (account.seen, account.failed, account.reasons) == (96, 72, {"film": "no frames"})
    with pytest.raises(
        DataError, match=r"75 of 100 samples cannot be decoded, .* 0.2 allows, film first \(no frames\)"
    ):
        account.add(Delivery(batch, (failure, failure, failure)))


def test_an_evaluation_of_few_is_judged_at_its_end_and_each_pass_for_itself() -> None:
    def evaluation(rate: float) -> EvaluationLoader:
        source = EvaluationBatches(Counting((6,), broken=(0, 1, 4)), batch_size=2)
        return EvaluationLoader(source, max_failure_rate=rate, reasons={}, loading=Loading(workers=0))

    lenient = evaluation(0.5)
    for _ in range(3):
        assert [batch.keys for batch in lenient] == [("2", "3"), ("5",)]  # nothing of the first two can be decoded
    with pytest.raises(DataError, match="3 of 6 samples"):
        list(evaluation(0.4))


def test_memories_of_different_lengths_are_padded_to_one_batch() -> None:
    def memory(length: int) -> Memory:
        time, space = torch.ones(1, length, 2), torch.ones(1, 4, 2)
        return Memory.of_sight(time=time, space=space, time_mask=time[..., 0] > 0, space_mask=space[..., 0] > 0)

    samples = [Sample(key=str(n), modality="video", captions=("x",), memory=memory(n)) for n in (1, 3)]
    batch = collate(samples, ["x", "x"])
    assert batch.frames is None
    assert batch.memory.time.shape == (2, 3, 2)
    assert batch.memory.time_mask.tolist() == [[True, False, False], [True, True, True]]
    assert torch.equal(batch.memory.time[..., 0] > 0, batch.memory.time_mask)
    assert batch.memory.space_mask.all()
    frames = Sample(key="f", modality="video", captions=("x",), frames=torch.zeros(1, 3, 1, 1))
    for mixed in ([frames, samples[0]], [samples[0], frames]):
        with pytest.raises(DataError, match="frames or memories"):
            collate(mixed, ["x", "x"])


def test_clips_of_different_lengths_are_padded_and_masked() -> None:
    samples = [
        Sample(key=str(n), modality="video", captions=("x",), frames=torch.ones(n, 3, 1, 1)) for n in (1, SMALL.frames)
    ]
    batch = collate(samples, ["x", "x"])
    assert batch.frame_mask.tolist() == [[True, False], [True, True]]
    assert collate(samples[:1], ["x"]).frame_mask is None


def test_state_of_another_run_is_refused_with_what_differs() -> None:
    other = loader()
    with pytest.raises(ConfigError, match="the run to resume had seed 1 and this one has 0, so other samples"):
        other.load_state_dict({"step": 3, "run": {"seed": 1}})
    assert other.step == 0
