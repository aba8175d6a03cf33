"""What draws attention at every word alike is known for a sink, and is not drawn as where a word looked."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from pseudocap import PseudoCap
from pseudocap.cli.registry import DEFAULT_CAPTIONER
from pseudocap.explain.arrays import heat
from pseudocap.explain.sinks import find_sinks, without_sinks

SINK = 3


def attention(words: int = 6, positions: int = 25) -> np.ndarray:
    """Every word gives about 0.4 to one position, 0.3 to one of its own, and what is left to all."""
    generator = np.random.default_rng(0)
    shares = np.zeros((words, positions))
    shares[:, SINK] = generator.uniform(0.36, 0.44, words)
    shares[np.arange(words), 10 + np.arange(words)] = 0.3
    return shares + (1 - shares.sum(axis=1, keepdims=True)) / positions


def test_a_position_that_every_word_gives_the_same_is_a_sink_and_no_other() -> None:
    shares = attention()
    sinks = find_sinks(shares)
    assert np.flatnonzero(sinks).tolist() == [SINK]
    assert sinks[SINK] == shares[:, SINK].mean()
    assert (shares.argmax(axis=1) == SINK).all()
    for word, weights in enumerate(shares):
        drawn = heat(without_sinks(weights, sinks))
        assert drawn.argmax() == 10 + word
        assert drawn[SINK] < 0.1


def test_of_a_sink_a_word_that_gives_it_more_than_the_others_still_shows() -> None:
    shares = attention()
    shares[0] = 0.01
    shares[0, SINK] = 0.76
    assert without_sinks(shares[0], find_sinks(shares)).argmax() == SINK


def test_what_one_word_leaves_alone_is_no_sink() -> None:
    shares = attention()
    shares[2] = np.roll(shares[2], 1)
    assert not find_sinks(shares).any()


def test_attention_that_is_even_and_captions_of_two_words_have_none() -> None:
    assert not find_sinks(np.full((6, 8), 1 / 8)).any()
    assert not find_sinks(np.ones((6, 1))).any()  # a picture's only frame
    assert not find_sinks(attention(words=2)).any()
    assert find_sinks(np.zeros((0, 9))).shape == (9,)


@pytest.mark.slow
def test_the_real_captioner_has_sinks_that_chance_would_not_make(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "flickr8k" / "00000.tar") as tar:
        members = [member for member in tar if member.name.endswith(".jpg")][:96:8]
        tar.extractall(tmp_path, members, filter="data")
    model = PseudoCap.from_pretrained(DEFAULT_CAPTIONER, device="cpu")
    generator, found, by_chance = np.random.default_rng(0), 0, 0
    for path in sorted(tmp_path.rglob("*.jpg")):
        explained = model.explain(path)
        shares, sinks = explained.space.mean(axis=1), explained.sinks()[1].ravel()
        marked = sinks > 0
        assert marked.sum() <= sinks.size / 10
        assert (shares[:, marked] >= 1 / sinks.size).all()
        found += int(marked.sum())
        by_chance += int((find_sinks(generator.permuted(shares, axis=1)) > 0).sum())  # the same shares, anywhere
    assert found > 3 * (1 + by_chance)
