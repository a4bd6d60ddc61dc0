"""Drawing people with replacement, and the variance and interval that the replicates show.

Pairs of one person are not independent, so people are what is drawn. In a replicate a comparison weighs as often as
its identity was drawn, and one of two identities the product of both. Products vary more than they should: what is
peculiar to a couple of people varies three times as much in such replicates as in truth (Owen 2007, "The pigeonhole
bootstrap"). A second set of replicates, which draws couples instead of people, measures that part, and twice its
variance is taken off. Where the statistic is not smooth, that could take off too much, so a third of the variance
is always kept, which is as much as can be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import IntArray, ScoreArray, group_numbers
from mien.evaluation.intervals import Interval, student_quantile, wilson

__all__ = [
    "Progress",
    "Resampling",
    "Scale",
    "checked_replicates",
    "drawn_replicates",
    "replicate_interval",
    "variance_of",
]

Progress = Callable[[int, int], None]
"""Told after each replicate how many are done, and of how many."""

Scale = Literal["rate", "real"]
"""``"rate"``: the statistic is within 0..1 (FNMR, EER, AUC). ``"real"``: any number (a threshold, a ratio)."""


class Resampling:
    """Random weights of comparisons: of people drawn with replacement, or of couples of people.

    Args:
        left: ``(n,)`` the identity of each comparison's left sample.
        right: ``(n,)`` that of its right one.

    Attributes:
        identities: how many different ones there are.
    """

    __slots__ = ("_couple", "_couples", "_left", "_right", "_two", "identities")

    def __init__(self, left: IntArray, right: IntArray) -> None:
        numbers = group_numbers(np.concatenate([left, right]))
        self._left, self._right = numbers[: len(left)], numbers[len(left) :]
        self.identities = int(numbers.max()) + 1 if len(numbers) else 0
        self._two = self._left != self._right
        low, high = np.minimum(self._left, self._right), np.maximum(self._left, self._right)
        self._couple = group_numbers((low * self.identities + high)[self._two])
        self._couples = int(self._couple.max()) + 1 if len(self._couple) else 0

    def of_people(self, random: np.random.Generator) -> ScoreArray:
        """``(n,)`` weights with as many people drawn as there are."""
        drawn = random.integers(0, self.identities, self.identities)
        times = np.bincount(drawn, minlength=self.identities).astype(np.float64)
        weights = times[self._left]
        if self._two.all():
            weights *= times[self._right]
        else:
            weights[self._two] *= times[self._right[self._two]]
        return weights

    def of_couples(self, random: np.random.Generator) -> ScoreArray:
        """``(n,)`` weights with each couple of two people counted twice or not at all, by a coin; others once."""
        raw = np.frombuffer(random.bytes(self._couples // 8 + 1), dtype=np.uint8)
        coins = 2.0 * np.unpackbits(raw)[: self._couples]
        if self._two.all():
            return np.asarray(coins[self._couple], dtype=np.float64)
        weights = np.ones(len(self._left))
        weights[self._two] = coins[self._couple]
        return weights


def drawn_replicates(
    resampling: Resampling,
    comparisons: int,
    measure: Callable[[ScoreArray], ScoreArray | None],
    replicates: int,
    seed: int,
    progress: Progress | None,
) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
    """The statistics of the data, ``(r, k)`` with people drawn, and ``(r, k)`` with couples drawn.

    A replicate that lacks a kind of comparison has no statistics and is left out; too many of them are an error.
    """
    checked_replicates(replicates)
    random = np.random.default_rng(seed)
    sets = []
    for number, draw in enumerate((resampling.of_people, resampling.of_couples)):
        found = []
        for k in range(replicates):
            values = measure(draw(random))
            if values is not None:
                found.append(values)
            if progress is not None:
                progress(number * replicates + k + 1, 2 * replicates)
        if 2 * len(found) < replicates or len(found) < 2:
            raise BadInput(
                f"expected identities enough to draw from, got {resampling.identities}: of {replicates} draws "
                f"{replicates - len(found)} held no mated or no non-mated comparison"
            )
        sets.append(np.stack(found))
    points = measure(np.ones(comparisons))
    if points is None:
        raise BadInput("expected mated and non-mated comparisons that were made")
    return points, sets[0], sets[1]


def variance_of(people: ScoreArray, couples: ScoreArray, identities: int) -> tuple[float, float]:
    """The variance that replicates show, and its degrees of freedom: they are but so many, and so are people."""
    drawn, of_couples = float(np.var(people, ddof=1)), float(np.var(couples, ddof=1))
    # n drawn of n vary by (n - 1) / n too little.
    variance = max(drawn - 2 * of_couples, drawn / 3) * identities / max(identities - 1, 1)
    spread = 1 / max(identities - 1, 1)
    if variance > 0:
        # Each variance of r replicates has 2 / (r - 1) of its square for its own (Satterthwaite 1946).
        spread += (drawn**2 / (len(people) - 1) + 4 * of_couples**2 / (len(couples) - 1)) / variance**2
    return variance, max(1 / spread, 2.0)


def replicate_interval(
    point: float, people: ScoreArray, couples: ScoreArray, level: float, scale: Scale, identities: int
) -> Interval:
    """The interval of a statistic from its replicates.

    Args:
        point: the statistic of the data as they are.
        people: ``(r,)``, of replicates that drew people.
        couples: ``(r,)``, of replicates that drew couples.
        level: confidence level, between 0 and 1.
        scale: what kind of number the statistic is.
        identities: how many people there are.

    Raises:
        BadInput: a rate is outside 0..1.
    """
    variance, freedom = variance_of(people, couples, identities)
    if scale == "rate":
        if not 0 <= point <= 1:
            raise BadInput(f"expected a rate within 0..1, got {point}; give scale 'real' for other statistics")
        trials = point * (1 - point) / variance if variance > 0 and 0 < point < 1 else float(identities)
        found = wilson(point * trials, trials, level, freedom=freedom if variance > 0 else math.inf)
        return Interval(found.low, found.high, level, "bootstrap-wilson")
    raw = float(np.var(people, ddof=1))
    shrink = math.sqrt(variance / raw) if raw > 0 else 1.0
    shrink *= student_quantile(level, freedom) / student_quantile(level)
    low, high = np.quantile(people, [(1 - level) / 2, (1 + level) / 2])
    # Drawn in towards the point itself, which stays inside even where the replicates are biased to one side.
    low, high = point + shrink * min(low - point, 0.0), point + shrink * max(high - point, 0.0)
    return Interval(float(low), float(high), level, "bootstrap")


def checked_replicates(replicates: int) -> int:
    """The number itself.

    Raises:
        BadInput: it is less than 2, of which no variance can be made.
    """
    if replicates < 2:
        raise BadInput(f"expected at least 2 replicates, got {replicates}")
    return replicates
