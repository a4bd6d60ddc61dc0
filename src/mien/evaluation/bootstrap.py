"""The bootstrap over identities: how much a statistic would vary with other people, not with other pairs.

Pairs of one person are not independent, so people are what is drawn. In a replicate a comparison weighs as often as
its identity was drawn, and one of two identities the product of both. Products vary more than they should: what is
peculiar to a couple of people varies three times as much in such replicates as in truth (Owen 2007, "The pigeonhole
bootstrap"). A second set of replicates, which draws couples instead of people, measures that part, and twice its
variance is taken off. Where the statistic is not smooth, that could take off too much, so a third of the variance
is always kept, which is as much as can be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons, IntArray, ScoreArray, group_numbers
from mien.evaluation.intervals import Interval, checked_level, normal_quantile, wilson
from mien.evaluation.rates import ErrorRates

__all__ = [
    "PairedResult",
    "Progress",
    "Resampling",
    "Scale",
    "Statistic",
    "bootstrap",
    "bootstrap_many",
    "checked_replicates",
    "paired_bootstrap",
    "replicate_interval",
]

Statistic = Callable[[ErrorRates], float]
"""Anything computed from error rates: ``lambda rates: rates.tmr_at_fmr(1e-3)``, ``ErrorRates.eer``."""

Progress = Callable[[int, int], None]
"""Told after each replicate how many are done, and of how many."""

Scale = Literal["rate", "real"]
"""``"rate"``: the statistic is within 0..1 (FNMR, EER, AUC). ``"real"``: any number (a threshold, a ratio)."""


@dataclass(frozen=True, slots=True)
class PairedResult:
    """How two models differ on the same trials.

    Attributes:
        difference: the statistic of the first less that of the second.
        interval: of the difference.
        p: two-sided, the probability of a difference at least as large if there were none in truth.
    """

    difference: float
    interval: Interval
    p: float


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


class _Model:
    """One model's scores, sorted once, to be weighted again and again."""

    __slots__ = ("_mated", "_mated_rows", "_non_mated", "_non_mated_rows")

    def __init__(self, comparisons: Comparisons) -> None:
        made = ~np.isnan(comparisons.scores)
        rows = []
        for kind in (comparisons.mated & made, ~comparisons.mated & made):
            chosen = np.flatnonzero(kind)
            rows.append(chosen[np.argsort(comparisons.scores[chosen], kind="stable")])
        self._mated_rows, self._non_mated_rows = rows
        self._mated, self._non_mated = comparisons.scores[rows[0]], comparisons.scores[rows[1]]

    def rates(self, weights: ScoreArray) -> ErrorRates | None:
        return ErrorRates.presorted(
            self._mated, self._non_mated, weights[self._mated_rows], weights[self._non_mated_rows]
        )


def bootstrap(
    comparisons: Comparisons,
    statistic: Statistic,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    scale: Scale = "rate",
    progress: Progress | None = None,
) -> Interval:
    """The confidence interval of a statistic, identities resampled. The same seed gives the same interval.

    A rate's interval is Wilson's, with as many trials as give the bootstrap's variance; it stays within 0..1 and has
    a width even where no error was seen: then each identity counts as one trial. Any other statistic's is made of
    the replicates' percentiles, drawn in to the corrected variance.

    Args:
        comparisons: the trials; those without a score are left out.
        statistic: what to compute.
        replicates: how many times people are drawn; couples are drawn as many times.
        seed: of the random numbers.
        level: confidence level, between 0 and 1.
        scale: what kind of number the statistic is.
        progress: told after each replicate.

    Raises:
        BadInput: all scores are of one kind, identities are too few to draw from, or a rate is outside 0..1.
    """
    found = bootstrap_many(
        comparisons,
        {"statistic": (statistic, scale)},
        replicates=replicates,
        seed=seed,
        level=level,
        progress=progress,
    )
    return found["statistic"]


def bootstrap_many(
    comparisons: Comparisons,
    statistics: Mapping[str, Statistic | tuple[Statistic, Scale]],
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    progress: Progress | None = None,
) -> dict[str, Interval]:
    """The intervals of several statistics from the same replicates, each equal to what ``bootstrap`` alone gives.

    Args:
        comparisons: as for ``bootstrap``.
        statistics: by name, a statistic, which is a rate, or a statistic and its scale.
        replicates: as for ``bootstrap``.
        seed: as for ``bootstrap``.
        level: as for ``bootstrap``.
        progress: as for ``bootstrap``.

    Raises:
        BadInput: as ``bootstrap``.
    """
    checked_level(level)
    made = comparisons.compared
    ErrorRates.of(made)
    made = made.subset(np.lexsort((made.scores, ~made.mated)))
    asked = {name: s if isinstance(s, tuple) else (s, "rate") for name, s in statistics.items()}

    def measure(weights: ScoreArray) -> ScoreArray | None:
        rates = model.rates(weights)
        return None if rates is None else np.array([float(s(rates)) for s, _ in asked.values()])

    model = _Model(made)
    resampling = Resampling(made.left_identities, made.right_identities)
    points, people, couples = _replicates(resampling, len(made), measure, replicates, seed, progress)
    return {
        name: replicate_interval(float(points[k]), people[:, k], couples[:, k], level, scale, resampling.identities)
        for k, (name, (_, scale)) in enumerate(asked.items())
    }


def paired_bootstrap(
    a: Comparisons,
    b: Comparisons,
    statistic: Statistic,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    progress: Progress | None = None,
) -> PairedResult:
    """How a statistic of two models differs on the same trials: both are weighted alike in each replicate.

    What both have in common (an easy set of people) then cancels out. The interval and p take the difference as
    normally distributed with the bootstrap's variance. Each model's own failures are left out; give
    ``as_transactions()`` of both to count them as errors.

    Args:
        a: the trials scored by one model.
        b: the same trials in the same order, scored by the other.
        statistic: what to compare.
        replicates: as for ``bootstrap``.
        seed: as for ``bootstrap``.
        level: as for ``bootstrap``.
        progress: as for ``bootstrap``.

    Raises:
        BadInput: the trials are not the same, or as ``bootstrap``.
    """
    checked_level(level)
    for name in ("mated", "left", "right", "left_identities", "right_identities"):
        if not np.array_equal(getattr(a, name), getattr(b, name)):
            raise BadInput(
                f"expected the same trials in the same order, got {len(a)} and {len(b)} that differ in {name}"
            )
    ErrorRates.of(a)
    ErrorRates.of(b)
    models = _Model(a), _Model(b)

    def measure(weights: ScoreArray) -> ScoreArray | None:
        first, second = (model.rates(weights) for model in models)
        return None if first is None or second is None else np.array([float(statistic(first) - statistic(second))])

    resampling = Resampling(a.left_identities, a.right_identities)
    points, people, couples = _replicates(resampling, len(a), measure, replicates, seed, progress)
    error = math.sqrt(_variance(people[:, 0], couples[:, 0], resampling.identities))
    difference = float(points[0])
    half = normal_quantile(level) * error
    deviations = abs(difference) / error if error > 0 else 0.0 if difference == 0 else math.inf
    p = math.erfc(deviations / math.sqrt(2))
    return PairedResult(difference, Interval(difference - half, difference + half, level, "bootstrap"), p)


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
    variance = _variance(people, couples, identities)
    if scale == "rate":
        if not 0 <= point <= 1:
            raise BadInput(f"expected a rate within 0..1, got {point}; give scale 'real' for other statistics")
        trials = point * (1 - point) / variance if variance > 0 and 0 < point < 1 else float(identities)
        found = wilson(point * trials, trials, level)
        return Interval(found.low, found.high, level, "bootstrap-wilson")
    raw = float(np.var(people, ddof=1))
    shrink = math.sqrt(variance / raw) if raw > 0 else 1.0
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


def _replicates(
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


def _variance(people: ScoreArray, couples: ScoreArray, identities: int) -> float:
    drawn, of_couples = float(np.var(people, ddof=1)), float(np.var(couples, ddof=1))
    # n drawn of n vary by (n - 1) / n too little.
    return max(drawn - 2 * of_couples, drawn / 3) * identities / max(identities - 1, 1)
