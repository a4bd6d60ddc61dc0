"""In which order images are trained on: pure functions of the seed, the epoch and the step.

Nothing here depends on the number of processes or workers, and any step's batch can be told without those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput

__all__ = ["Drawn", "ShuffledOrder", "divided", "epoch_order"]

Rows = NDArray[np.int64]

# What random numbers are for is part of their seed, so that no two purposes draw the same.
_SHARDS, _BUFFERS, _PLACES = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The images of a batch, before they are read.

    Attributes:
        sets: ``(n,) int64`` the data set.
        rows: ``(n,) int64`` the row in its index.
        draws: ``(n,) int64`` a number that no other image of the same data set has, in any batch: its seed.
    """

    sets: Rows
    rows: Rows
    draws: Rows

    def part(self, rank: int, world: int) -> Drawn:
        """What one of several processes reads: every ``world``-th image."""
        return Drawn(self.sets[rank::world], self.rows[rank::world], self.draws[rank::world])


def epoch_order(shard_of_row: NDArray[np.integer], seed: int | Sequence[int], epoch: int, buffer_rows: int) -> Rows:
    """The order of one epoch: shards at random, and within about ``buffer_rows`` images, images at random.

    Reading stays close to sequential on large packs, since only some shards are read from at a time.

    Args:
        shard_of_row: ``(n,)`` the shard that each row is in.
        seed: one number or more.
        epoch: 0 or more; each has an order of its own.
        buffer_rows: images among which the order is random; as many as there are, or more, for any order at all.

    Returns:
        ``(n,) int64``: each row once.

    Raises:
        BadInput: ``buffer_rows`` is no positive number.
    """
    if buffer_rows < 1:
        raise BadInput(f"buffer_rows: expected 1 or more, got {buffer_rows}")
    seeds = [seed] if isinstance(seed, int) else list(seed)
    count = len(shard_of_row)
    if count == 0:
        return np.empty(0, np.int64)
    shards, numbers = np.unique(shard_of_row, return_inverse=True)
    places = np.random.default_rng([*seeds, epoch, _SHARDS]).permutation(len(shards))
    rows = np.argsort(places[numbers], kind="stable").astype(np.int64)
    random = np.random.default_rng([*seeds, epoch, _BUFFERS])
    # The first buffer's end is drawn too, or images near a border would never meet those beyond it.
    first = int(random.integers(1, buffer_rows + 1)) if count > buffer_rows else count
    for start, stop in _ranges(first, buffer_rows, count):
        random.shuffle(rows[start:stop])
    return rows


def divided(total: int, weights: Sequence[float], least: int = 0) -> list[int]:
    """A whole number divided by weights, by the largest remainders; a weight above 0 gets ``least`` or more.

    Args:
        total: what is divided.
        weights: 0 or more each, not all 0.
        least: for each that has a weight at all.

    Raises:
        BadInput: there is not enough for all.
    """
    given = np.asarray(weights, np.float64)
    taking = given > 0
    if total < least * taking.sum():
        raise BadInput(f"expected {least * int(taking.sum())} or more to divide, got {total}")
    exact = total * given / given.sum()
    parts = np.where(taking, np.maximum(np.floor(exact), least), 0).astype(np.int64)
    while parts.sum() < total:
        parts[np.argmax(np.where(taking, exact - parts, -np.inf))] += 1
    while parts.sum() > total:
        parts[np.argmin(np.where(parts > least, exact - parts, np.inf))] -= 1
    return [int(part) for part in parts]


class ShuffledOrder:
    """Every image once, then every image once again in another order, and so on; each data set by itself.

    Args:
        usable: the rows of each data set that take part, in rising order.
        shards: the shard of each of them.
        counts: images of each data set in a batch.
        seed: of all orders.
        buffer_rows: see ``epoch_order``.
    """

    def __init__(
        self,
        usable: Sequence[Rows],
        shards: Sequence[NDArray[np.integer]],
        counts: Sequence[int],
        seed: int,
        buffer_rows: int,
    ) -> None:
        self._usable, self._shards, self._counts = list(usable), list(shards), list(counts)
        self._seed, self._buffer_rows = seed, buffer_rows
        self._kept: dict[int, tuple[int, Rows]] = {}
        self._sets = np.repeat(np.arange(len(self._counts)), self._counts).astype(np.int64)

    def at(self, step: int) -> Drawn:
        """The images of a step's batch."""
        parts = [self._stretch(number, step * count, count) for number, count in enumerate(self._counts)]
        draws = [np.arange(step * count, (step + 1) * count, dtype=np.int64) for count in self._counts]
        drawn = Drawn(self._sets, np.concatenate(parts), np.concatenate(draws))
        if len(self._counts) == 1:
            return drawn
        # Mixed, so that each process and each part of a batch has some of every data set.
        places = np.random.default_rng([self._seed, step, _PLACES]).permutation(len(self._sets))
        return Drawn(drawn.sets[places], drawn.rows[places], drawn.draws[places])

    def _stretch(self, number: int, start: int, count: int) -> Rows:
        """A stretch of the endless line of a data set's epochs."""
        size = len(self._usable[number])
        parts = []
        while count:
            epoch, place = divmod(start, size)
            part = self._epoch(number, epoch)[place : place + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _epoch(self, number: int, epoch: int) -> Rows:
        kept = self._kept.get(number)
        if kept is None or kept[0] != epoch:
            order = epoch_order(self._shards[number], [self._seed, number], epoch, self._buffer_rows)
            kept = self._kept[number] = (epoch, self._usable[number][order])
        return kept[1]


def _ranges(first: int, size: int, count: int) -> list[tuple[int, int]]:
    borders = [0, *range(min(first, count), count, size), count]
    return list(pairwise(borders))
