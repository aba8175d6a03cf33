from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudocap.data.stream.order import Order
from pseudocap.errors import ConfigError, DataError

GROUPS = (3, 0, 5, 1, 4)


def epoch_of(order: Order, number: int) -> list[int]:
    positions = [order.at(number * order.total + offset) for offset in range(order.total)]
    assert {epoch for epoch, _ in positions} == {number}
    return [index for _, index in positions]


@pytest.mark.parametrize(("groups", "mix"), [(GROUPS, 1), (GROUPS, 4), (GROUPS, 100), ((13,), 100), ((1,) * 13, 1)])
def test_every_epoch_has_every_sample_once_in_an_order_of_its_own(groups: tuple[int, ...], mix: int) -> None:
    order = Order(groups, seed=0, mix=mix)
    epochs = [epoch_of(order, number) for number in range(3)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_what_stands_at_a_position_does_not_depend_on_what_was_asked_before() -> None:
    fresh = [Order(GROUPS, seed=0, mix=4).at(position) for position in range(40)]
    jumping = Order(GROUPS, seed=0, mix=4)
    jumps = np.random.default_rng(0).permutation(40)
    assert [jumping.at(int(position)) for position in jumps] == [fresh[position] for position in jumps]


def test_samples_mix_within_blocks_of_whole_groups() -> None:
    groups = (10,) * 8
    order = epoch_of(Order(groups, seed=0, mix=20), 0)
    tars = [index // 10 for index in order]
    blocks = [tars[start : start + 20] for start in range(0, 80, 20)]
    assert all(len(set(block)) == 2 for block in blocks)
    assert any(len(set(block[:10])) == 2 for block in blocks)  # mixed, not one after the other
    assert [sorted(set(block)) for block in blocks] != [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_another_seed_gives_another_order() -> None:
    assert epoch_of(Order((50,), seed=0), 0) != epoch_of(Order((50,), seed=1), 0)


def test_what_cannot_be_an_order_is_refused() -> None:
    with pytest.raises(DataError, match="its source has none"):
        Order((0, 0), seed=0)
    with pytest.raises(ConfigError, match="mix is 0"):
        Order((1,), seed=0, mix=0)


@given(
    groups=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
    seed=st.integers(0, 2**40),
    mix=st.integers(1, 30),
    at=st.integers(0, 200),
)
def test_any_epoch_has_every_sample_once_and_any_position_can_be_gone_on_from(
    groups: list[int], seed: int, mix: int, at: int
) -> None:
    order, total = Order(groups, seed=seed, mix=mix), sum(groups)
    found = [order.at(position) for position in range(at, at + 2 * total)]
    again = Order(groups, seed=seed, mix=mix)
    assert [again.at(position) for position in reversed(range(at, at + 2 * total))] == found[::-1]
    for epoch in {number for number, _ in found}:
        indices = [index for number, index in found if number == epoch]
        assert len(set(indices)) == len(indices)
        assert set(indices) <= set(range(total))
    first = -(-at // total) * total  # of the epoch that lies within
    assert sorted(index for _, index in found[first - at : first - at + total]) == list(range(total))
