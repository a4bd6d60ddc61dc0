"""The bootstrap over identities: how much a statistic would vary with other people, not with other pairs.

How people are drawn and what a statistic's variance is, is in ``resampling``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons, ScoreArray
from mien.evaluation.intervals import Interval, checked_level, student_quantile
from mien.evaluation.rates import ErrorRates
from mien.evaluation.resampling import (
    Progress,
    Resampling,
    Scale,
    drawn_replicates,
    replicate_interval,
    variance_of,
)

__all__ = ["PairedResult", "Statistic", "bootstrap", "bootstrap_many", "paired_bootstrap"]

Statistic = Callable[[ErrorRates], float]
"""Anything computed from error rates: ``lambda rates: rates.tmr_at_fmr(1e-3)``, ``ErrorRates.eer``."""


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
    points, people, couples = drawn_replicates(resampling, len(made), measure, replicates, seed, progress)
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

    What both have in common (an easy set of people) then cancels out. The interval and p are Student's, with the
    bootstrap's variance and its degrees of freedom. Each model's own failures are left out; give
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
    points, people, couples = drawn_replicates(resampling, len(a), measure, replicates, seed, progress)
    variance, freedom = variance_of(people[:, 0], couples[:, 0], resampling.identities)
    error, difference = math.sqrt(variance), float(points[0])
    half = student_quantile(level, freedom) * error
    deviations = abs(difference) / error if error > 0 else 0.0 if difference == 0 else math.inf
    p = math.erfc(_as_normal(deviations, freedom) / math.sqrt(2))
    return PairedResult(difference, Interval(difference - half, difference + half, level, "bootstrap"), p)


def _as_normal(deviations: float, freedom: float) -> float:
    """The deviations of a normal variable as unlikely as these of Student's (Abramowitz and Stegun 26.7.8)."""
    if not math.isfinite(deviations):
        return deviations
    return deviations * (1 - 1 / (4 * freedom)) / math.sqrt(1 + deviations**2 / (2 * freedom))
