"""Losses and captions of stored clips, and what a change of them is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_worlds import PREPROCESS, write_world

from pseudocap import PseudoCap
from pseudocap.data.corpora.own import read_own
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.learn.measure import caption_memories, loss_change, losses_of
from pseudocap.regimes.losses import Objective


@pytest.fixture
def model(build: Callable[..., PseudoCap]) -> PseudoCap:
    model = build()
    model.set_preprocess(PREPROCESS)
    return model


@pytest.fixture
def stored(model: PseudoCap, tmp_path: Path) -> MemorySource:
    world = write_world(tmp_path / "world")
    source = RowSource(read_own(world / "captions.jsonl").rows, VideoFolder(world), PREPROCESS)
    spec = MemorySpec(encoder=model.encoder.fingerprint, preprocess=PREPROCESS)
    encode(source, model.encoder, tmp_path / "store", spec)
    return MemorySource(tmp_path / "store")


def test_losses_and_captions_are_those_of_the_files(model: PseudoCap, stored: MemorySource, tmp_path: Path) -> None:
    losses, captions = losses_of(model, stored), caption_memories(model, stored, 5)
    assert len(losses) == len(stored) == 8
    assert list(captions) == [row.key for row in stored.rows[:5]]
    for key, caption in captions.items():
        assert caption == model.caption(tmp_path / "world" / key)
    row = stored.rows[0]
    tokens = model.tokenize(row.captions[:1])
    memory = stored.memory(0)
    found = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    total, count = losses[row.key]
    assert total / count == pytest.approx(found.item())
    assert count == int(tokens.attention_mask.sum()) - 1


def test_a_caption_that_training_cuts_is_cut_at_the_same_token(model: PseudoCap, stored: MemorySource) -> None:
    first, *others = stored.rows
    stored.rows = (replace(first, captions=(100 * "word ",)), *others)
    assert losses_of(model, stored)[first.key][1] == Objective().max_tokens - 1


def test_a_change_of_losses_is_certain_over_videos_and_not_over_clips() -> None:
    before = {f"{video}#{clip}.000-9.000": (12.0, 4) for video in range(6) for clip in range(4)}
    after = {key: (12.0 - 4 * (1.0 + 0.1 * int(key[0])), 4) for key in before}
    change = loss_change(before, after)
    assert (change.before, change.after) == (3.0, pytest.approx(1.75))
    assert change.interval is not None
    assert -1.5 <= change.interval[0] < change.interval[1] <= -1.0
    one = {key: value for key, value in before.items() if key.startswith("0#")}
    assert loss_change(one, one).interval is None
