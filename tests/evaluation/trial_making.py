"""Comparisons for the tests: of plain lists, and simulated ones whose true rates are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.evaluation import Comparisons

SEPARATION = 3.5


def comparisons_of(
    scores: ArrayLike,
    mated: ArrayLike,
    left_people: ArrayLike,
    right_people: ArrayLike,
    folds: ArrayLike | None = None,
    left_groups: ArrayLike | None = None,
    right_groups: ArrayLike | None = None,
) -> Comparisons:
    """Comparisons of samples of their own, 0, 1, 2 … on the left and n, n + 1 … on the right."""
    values = np.asarray(scores, dtype=np.float64)
    numbers = np.arange(len(values))
    optional = [None if v is None else np.asarray(v) for v in (folds, left_groups, right_groups)]
    people = np.asarray(left_people), np.asarray(right_people)
    return Comparisons(values, np.asarray(mated, dtype=bool), numbers, numbers + len(values), *people, *optional)


def simulated(
    seed: int, people: int, samples: int, pairs: int | None = None, *, by_person: float = 0.3, by_sample: float = 0.2
) -> Comparisons:
    """Clustered comparisons as faces give them: all mated pairs, and all non-mated ones or ``pairs`` drawn of them.

    Non-mated scores are standard normal and mated ones normal around ``SEPARATION`` with variance 1, of which
    ``by_person`` comes from who is compared (some people look like many, some vary much) and ``by_sample`` from which
    samples are.
    """
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), samples)
    likeness = random.normal(0, np.sqrt(by_person / 2), people)
    steadiness = random.normal(0, np.sqrt(by_person), people)
    quality = random.normal(0, np.sqrt(by_sample / 2), people * samples)
    left, right = (np.concatenate(ends) for ends in zip(*_pairs(random, people, samples, pairs), strict=True))
    a, b = person[left], person[right]
    shared = np.where(a == b, SEPARATION + steadiness[a], likeness[a] + likeness[b])
    rest = random.normal(0, np.sqrt(1 - by_person - by_sample), len(left))
    return Comparisons(shared + quality[left] + quality[right] + rest, a == b, left, right, a, b)


def _pairs(
    random: np.random.Generator, people: int, samples: int, pairs: int | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Sample numbers of the mated pairs and of the non-mated ones."""
    total = people * samples
    first, second = np.triu_indices(samples, 1)
    starts = samples * np.arange(people)[:, None]
    mated = (starts + first).reshape(-1), (starts + second).reshape(-1)
    if pairs is None:
        left, right = np.triu_indices(total, 1)
        apart = left // samples != right // samples
        return [mated, (left[apart], right[apart])]
    # Twice as many are drawn as are asked for, for some are of one person or are drawn twice.
    left, right = random.integers(0, total, (2, 2 * pairs + 100))
    low, high = np.minimum(left, right), np.maximum(left, right)
    drawn = random.permutation(np.unique((low * total + high)[low // samples != high // samples]))[:pairs]
    assert len(drawn) == pairs, "too few different pairs"
    return [mated, (drawn // total, drawn % total)]
