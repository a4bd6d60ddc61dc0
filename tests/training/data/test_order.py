"""Orders of images: each once an epoch, near to each other in the shards, the same wherever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import BadInput
from mien.training.data.order import ShuffledOrder, divided, epoch_order


@pytest.mark.parametrize("count", [0, 1, 7, 500])
@pytest.mark.parametrize("buffer_rows", [1, 16, 499, 500, 10_000])
def test_each_row_once(count: int, buffer_rows: int) -> None:
    shards = np.repeat(np.arange(10), 50)[:count]
    order = epoch_order(shards, 3, 2, buffer_rows)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_orders_differ_by_seed_and_epoch_and_are_repeated() -> None:
    shards = np.repeat(np.arange(4), 25)
    orders = [epoch_order(shards, seed, epoch, 30).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == epoch_order(shards, 0, 0, 30).tolist()
    assert orders[0] == epoch_order(shards, [0], 0, 30).tolist()


def test_only_as_many_shards_are_read_from_at_a_time_as_fill_the_buffer() -> None:
    shards = np.repeat(np.arange(40), 25)
    order = epoch_order(shards, 0, 0, 100)
    for start in range(0, 900, 50):
        assert len(set(shards[order[start : start + 50]].tolist())) <= 10
    assert len(set(shards[epoch_order(shards, 0, 0, 1000)[:50]].tolist())) > 20


def test_shards_and_images_within_the_buffer_are_shuffled() -> None:
    shards = np.repeat(np.arange(20), 10)
    firsts = {int(shards[epoch_order(shards, 0, epoch, 10)[0]]) for epoch in range(60)}
    assert len(firsts) > 10
    positions = np.array([np.flatnonzero(epoch_order(shards, 0, e, 200) == 5)[0] for e in range(200)])
    # Evenly over the epoch: a mean of about 100 and a standard deviation of about 58.
    assert 80 < positions.mean() < 120
    assert positions.std() > 45


def test_a_buffer_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="buffer_rows: expected 1 or more, got 0"):
        epoch_order(np.zeros(3, np.int64), 0, 0, 0)


@pytest.mark.parametrize(
    ("total", "weights", "least", "expected"),
    [
        (10, [1, 1], 0, [5, 5]),
        (10, [2, 1], 0, [7, 3]),
        (8, [1000, 1], 1, [7, 1]),
        (8, [1000, 1], 0, [8, 0]),
        (4, [1, 0, 1], 1, [2, 0, 2]),
        (3, [5, 1, 1], 1, [1, 1, 1]),
        (7, [0.2, 0.2, 0.2], 1, [3, 2, 2]),
    ],
)
def test_dividing(total: int, weights: list[float], least: int, expected: list[int]) -> None:
    assert divided(total, weights, least) == expected


def test_dividing_too_little() -> None:
    with pytest.raises(BadInput, match="expected 2 or more to divide, got 1"):
        divided(1, [1, 1], 1)


def shuffled(counts: list[int], sizes: list[int], seed: int = 0) -> ShuffledOrder:
    rows = [np.arange(size, dtype=np.int64) * 2 for size in sizes]
    return ShuffledOrder(rows, [np.zeros(size, np.int64) for size in sizes], counts, seed, 1000)


def test_every_image_once_before_any_again() -> None:
    order = shuffled([8], [37])
    line = np.concatenate([order.at(step).rows for step in range(14)])
    for epoch in range(3):
        part = line[37 * epoch : 37 * (epoch + 1)]
        assert sorted(part.tolist()) == list(range(0, 74, 2))
    assert line[:37].tolist() != line[37:74].tolist()


def test_a_step_does_not_depend_on_those_before() -> None:
    order, other = shuffled([5, 3], [37, 4]), shuffled([5, 3], [37, 4])
    ahead = [order.at(step) for step in range(30)]
    for step in (29, 3, 12, 0):
        drawn = other.at(step)
        for name in ("sets", "rows", "draws"):
            assert getattr(drawn, name).tolist() == getattr(ahead[step], name).tolist()


def test_no_two_images_of_a_set_share_a_seed() -> None:
    order = shuffled([5, 3], [7, 2])
    seen: set[tuple[int, int]] = set()
    for step in range(20):
        drawn = order.at(step)
        seen |= set(zip(drawn.sets.tolist(), drawn.draws.tolist(), strict=True))
        assert drawn.sets.tolist().count(0) == 5
    assert len(seen) == 20 * 8


def test_sets_are_mixed_within_a_batch() -> None:
    order = shuffled([32, 32], [100, 100])
    for world in (2, 4):
        own = order.at(3).part(0, world).sets
        assert 0 < own.sum() < len(own)
