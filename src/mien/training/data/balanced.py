"""Batches of some people with some images each, as losses over pairs and triplets need them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.training.data.order import Drawn, Rows

__all__ = ["BalancedOrder", "Members", "members_by_label"]

_PEOPLE, _IMAGES = 11, 12
_LEAST_IMAGES = 2


class Members:
    """Which rows are whose.

    Args:
        labels: ``(n,)`` of each row; negative ones count as nobody's.
    """

    def __init__(self, labels: NDArray[np.integer]) -> None:
        order = np.argsort(labels, kind="stable").astype(np.int64)
        self._rows = order[np.searchsorted(labels[order], 0) :]
        self.people, starts, counts = np.unique(labels[self._rows], return_index=True, return_counts=True)
        self._starts, self.counts = starts.astype(np.int64), counts.astype(np.int64)

    def of(self, person: int) -> Rows:
        """The rows of the person at a place in ``people``, in rising order."""
        start = self._starts[person]
        return self._rows[start : start + self.counts[person]]


def members_by_label(labels: NDArray[np.integer]) -> Members:
    """Which rows are whose, of an index's labels."""
    return Members(labels)


class BalancedOrder:
    """Batches of ``classes`` people with ``images`` images each, the images of a person side by side.

    People come by turns: all of them in an order drawn at random, then all again in another; the few that do not fill a
    batch at the end of a turn are left for the next. At each of their turns a person shows other images until all have
    been shown. A person with fewer than ``images`` shows all and some of them again; one with a single image makes no
    pair, and is left out.

    Args:
        labels: of each data set.
        counts: people of each data set in a batch.
        images: of a person in a batch.
        seed: of everything that is drawn.

    Attributes:
        left_out: people with a single image.

    Raises:
        BadInput: a data set has fewer people with two images or more than a batch takes.
    """

    def __init__(self, labels: Sequence[NDArray[np.integer]], counts: Sequence[int], images: int, seed: int) -> None:
        self._counts, self._images, self._seed = list(counts), images, seed
        self._members = [Members(of_set) for of_set in labels]
        self._people = [np.flatnonzero(members.counts >= _LEAST_IMAGES) for members in self._members]
        self._kept: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self.left_out = 0
        for number, (members, people, count) in enumerate(zip(self._members, self._people, self._counts, strict=True)):
            if len(people) < count:
                raise BadInput(
                    f"data set {number}: expected {count} people or more with {_LEAST_IMAGES} images or more, as a "
                    f"balanced batch takes, got {len(people)} of {len(members.people)}"
                )
            self.left_out += len(members.people) - len(people) if count else 0

    def at(self, step: int) -> Drawn:
        """The images of a step's batch."""
        sets, rows = [], []
        for number, count in enumerate(self._counts):
            if not count:
                continue
            turn, place = divmod(step, len(self._people[number]) // count)
            people = self._turn(number, turn)[place * count : (place + 1) * count]
            rows += [self._shown(number, int(person), turn) for person in people]
            sets += [number] * (count * self._images)
        size = sum(self._counts) * self._images
        draws = np.arange(step * size, (step + 1) * size, dtype=np.int64)
        return Drawn(np.asarray(sets, np.int64), np.concatenate(rows), draws)

    def _turn(self, number: int, turn: int) -> NDArray[np.int64]:
        kept = self._kept.get(number)
        if kept is None or kept[0] != turn:
            random = np.random.default_rng([self._seed, number, turn, _PEOPLE])
            kept = self._kept[number] = (turn, random.permutation(self._people[number]))
        return kept[1]

    def _shown(self, number: int, person: int, turn: int) -> Rows:
        rows = self._members[number].of(person)
        # A cycle is as many turns as it takes to show all images but a rest too small for another turn.
        cycle, place = divmod(turn, max(1, len(rows) // self._images))
        order = np.random.default_rng([self._seed, number, person, cycle, _IMAGES]).permutation(rows)
        return np.resize(order[place * self._images :], self._images)
