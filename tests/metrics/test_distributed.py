"""Check the torchmetrics classes: batches and processes in any arrangement give the figure of one call of `score`."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
from torch import distributed

from pseudocap.errors import DataError
from pseudocap.metrics import References, score
from pseudocap.metrics.distributed import Bleu, CaptionMetric, CiderD, RougeL

Captions = dict[str, list[str]]
MadeUp = tuple[dict[str, str], Captions]
CLASSES = {"CIDEr-D": CiderD, "BLEU-4": Bleu, "ROUGE-L": RougeL}


def batches(predictions: dict[str, str], size: int) -> list[dict[str, str]]:
    videos = list(predictions)
    return [{video: predictions[video] for video in videos[at : at + size]} for at in range(0, len(videos), size)]


@pytest.mark.parametrize("name", CLASSES)
def test_batches_give_the_figure_of_one_call(name: str, made_up: MadeUp) -> None:
    predictions, references = made_up
    metric = CLASSES[name](references=references)
    for batch in batches(predictions, 7):
        metric.update(predictions=batch)
    assert metric.compute().item() == pytest.approx(
        score(predictions=predictions, references=references)[name], rel=1e-6
    )


def test_a_metric_starts_anew_after_reset(made_up: MadeUp) -> None:
    predictions, references = made_up
    metric = CiderD(references=References(references))
    metric.update(predictions=dict.fromkeys(predictions, "a man"))
    metric.reset()
    metric.update(predictions=predictions)
    expected = score(predictions=predictions, references=references)["CIDEr-D"]
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)


def test_missing_videos_are_an_error_unless_allowed(made_up: MadeUp) -> None:
    predictions, references = made_up
    part = batches(predictions, 40)[0]
    metric = CiderD(references=references)
    metric.update(predictions=part)
    with pytest.raises(DataError, match="20 of 60 videos have no prediction"):
        metric.compute()
    metric = CiderD(references=references, allow_missing=True)
    metric.update(predictions=part | {"stranger": "a cat"})
    metric.update(predictions={"stranger": "a cat"})
    expected = score(predictions=part, references=references, allow_missing=True)["CIDEr-D"]
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)


def test_a_metric_that_never_saw_a_caption_says_so(made_up: MadeUp) -> None:
    metric = RougeL(references=made_up[1], allow_missing=True)
    with pytest.raises(DataError, match="60 of 60"), pytest.warns(UserWarning, match="compute"):
        metric.compute()


def test_an_unknown_video_java_and_one_video_are_refused(made_up: MadeUp) -> None:
    with pytest.raises(DataError, match="'stranger'"):
        CiderD(references=made_up[1]).update(predictions={"stranger": "a cat"})
    with pytest.raises(DataError, match="Java"):
        CaptionMetric(references=made_up[1], metric="METEOR")
    with pytest.raises(DataError, match="one video"):
        CiderD(references={"v": ["a dog"]})


def _process(rank: int, port: int, made_up: MadeUp, folder: str) -> None:
    predictions, references = made_up
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    videos = list(predictions)[:-1]  # 59: the sampler gives the first video to the second process once more
    share = (videos + videos[:1])[rank::2]
    found = []
    for kind in CLASSES.values():
        metric = kind(references=references, allow_missing=True)
        for batch in batches({video: predictions[video] for video in share}, 8):
            metric.update(predictions=batch)
        found.append(metric.compute().item())
        metric.reset()
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_figure_of_one_and_no_video_counts_twice(made_up: MadeUp, tmp_path: Path) -> None:
    predictions, references = made_up
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(rank, port, made_up, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    part = {video: predictions[video] for video in list(predictions)[:-1]}
    expected = score(predictions=part, references=references, allow_missing=True)
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(list(expected.values()), rel=1e-6)
