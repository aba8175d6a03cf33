"""Retrievers are measured by one protocol: all captions, all videos, and what is broken left out for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clip_models import write_image_text
from helpers.retrievers import build_retriever

from pseudocap.data.corpora.base import Corpus
from pseudocap.errors import DataError, InputError
from pseudocap.evaluate import retriever as module
from pseudocap.evaluate.retriever import CHANCE, RetrievalTask, find_retrieval_task, measure_retrievers
from pseudocap.external_retrieval import ImageTextRetriever, load_retriever
from pseudocap.metrics.retrieval import retrieval_scores
from pseudocap.types import CaptionedVideo


def row(video: str, *captions: str, **more: float) -> CaptionedVideo:
    return CaptionedVideo(id=f"{video}{more.get('start', '')}", video=video, captions=captions, split="test", **more)


CORPUS = Corpus(
    name="films",
    rows=(
        row("a", "a dog", "the dog runs"),
        row("b", "a cat"),
        row("broken", "x"),
        row("gone", "y"),
        row("d", "z", "w"),
    ),
    files=(),
)
TEXTS = ["a dog", "the dog runs", "a cat", "z", "w"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ImageTextRetriever:
    folder = tmp_path_factory.mktemp("clip")
    write_image_text(folder)
    retriever = load_retriever(folder, device="cpu")
    assert isinstance(retriever, ImageTextRetriever)
    return retriever


@pytest.fixture
def task(films: Path) -> RetrievalTask:
    return find_retrieval_task(CORPUS, films, split="test")


def test_scores_are_those_of_the_retrievers_similarities(
    clip: ImageTextRetriever, backbones: Path, films: Path, task: RetrievalTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.hearing_retriever.TEXTS", 2)
    fine = build_retriever(backbones, similarity="fine")
    assert (clip.compares_vectors, fine.compares_vectors) == (True, False)
    done: list[tuple[int, int]] = []
    scores, faults = measure_retrievers(
        {"clip": clip, "fine": fine}, task, batch_size=2, bootstrap=20, dual_softmax=0.001,
        progress=lambda *each: done.append(each),
    )  # fmt: skip
    assert list(scores) == ["clip", "clip, dual softmax 0.001", "fine", "fine, dual softmax 0.001", CHANCE]
    assert list(faults) == ["broken"]
    assert (task.missing, task.texts) == (("gone",), [*TEXTS[:3], "x", *TEXTS[3:]])
    files = [films / name for name in ("a.mp4", "b.mkv", "more/d.mp4")]
    for name, retriever in (("clip", clip), ("fine", fine)):
        similarity = retriever.similarity(TEXTS, files).numpy()
        assert scores[name].forward == retrieval_scores(similarity, [0, 0, 1, 2, 2])
        assert scores[name].backward == retrieval_scores(similarity.T, [{0, 1}, {2}, {3, 4}])
        assert scores[name].forward.intervals
        revised = retrieval_scores(similarity, [0, 0, 1, 2, 2], dual_softmax=0.001)
        assert scores[f"{name}, dual softmax 0.001"].forward.ranks.tolist() == revised.ranks.tolist()
        assert revised.ranks.tolist() != scores[name].forward.ranks.tolist()
    assert done[-1] == (8, 8)
    few = task.without(faults)
    found = module._similarity(fine, few, {}, num_frames=1, batch_size=2)
    assert np.array_equal(found, fine.similarity(TEXTS, files, num_frames=1, batch_size=2))
    assert np.abs(found - fine.similarity(TEXTS, files).numpy()).max() > 1e-4


def test_stretches_of_a_video_are_searched_by_their_own_frames(
    clip: ImageTextRetriever, backbones: Path, films: Path
) -> None:
    rows = (row("a", "a dog", start=0.0, end=2.0), row("a", "a cat", start=8.0, end=11.0))
    task = find_retrieval_task(Corpus(name="films", rows=rows, files=()), films, split="test")
    seen: list[torch.Tensor] = []

    class Watched(ImageTextRetriever):
        def __init__(self) -> None:
            self.__dict__ |= clip.__dict__

        def embed_clips(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
            seen.extend(clips)
            return super().embed_clips(clips)

    measure_retrievers({"clip": Watched()}, task, num_frames=3, bootstrap=0)
    for found, (start, end) in zip(seen, ((0, 2), (8, 11)), strict=True):
        torch.testing.assert_close(found, clip.decode(films / "a.mp4", num_frames=3, start=start, end=end))
    assert (seen[0] - seen[1]).abs().max() > 0.1
    with pytest.raises(DataError, match="some rows are stretches of a video, and this retriever compares files"):
        measure_retrievers({"fine": build_retriever(backbones, similarity="fine")}, task)


def test_chance_is_what_random_vectors_score() -> None:
    rows = tuple(row(f"v{number}", "x") for number in range(400))
    task = RetrievalTask(corpus=Corpus(name="n", rows=rows, files=()), paths={each.id: Path() for each in rows})
    ranks = retrieval_scores(module._random(task, 0), task.relevant)
    assert ranks["MnR"] == pytest.approx(200.5, abs=20)
    assert 1 <= ranks["R@10"] <= 5
    assert ranks != retrieval_scores(module._random(task, 1), task.relevant)
    np.testing.assert_array_equal(module._random(task, 0)[0:9], module._random(task, 0)[0:9])


def test_what_cannot_be_measured_is_refused(clip: ImageTextRetriever, films: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"none of the 5 videos of films test is below {tmp_path}; see --videos"):
        find_retrieval_task(CORPUS, tmp_path, split="test")
    broken = Corpus(name="films", rows=(row("broken", "x"),), files=())
    task = find_retrieval_task(broken, films, split="test")
    with pytest.raises(DataError, match=r"none of the videos can be decoded: .*broken"):
        measure_retrievers({"clip": clip}, task)
    assert len(find_retrieval_task(CORPUS, films, split="test", limit=2).rows) == 2

    class Mute(ImageTextRetriever):
        reads_text = False

    mute = Mute.__new__(Mute)
    with pytest.raises(InputError, match="mute has no text tower"):
        measure_retrievers({"mute": mute}, find_retrieval_task(CORPUS, films, split="test"))
