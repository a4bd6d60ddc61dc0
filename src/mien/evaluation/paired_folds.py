"""Whether one run's accuracy over folds is better than another's: the folds are the pairs of a paired t-test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons, IntArray, ScoreArray
from mien.evaluation.folds import k_fold_accuracy
from mien.evaluation.intervals import Interval, checked_level

__all__ = ["PairedFolds", "compare_folds", "t_quantile", "two_sided_p"]


@dataclass(frozen=True, slots=True, eq=False)
class PairedFolds:
    """The accuracies of two runs over the same folds.

    Attributes:
        folds: ``(k,) int64``, the folds' numbers, ascending.
        a: ``(k,) float64``, the first run's accuracy on each.
        b: ``(k,) float64``, the second's.
    """

    folds: IntArray
    a: ScoreArray
    b: ScoreArray

    @property
    def differences(self) -> ScoreArray:
        """``(k,) float64``: a less b."""
        return self.a - self.b

    @property
    def mean(self) -> float:
        """The mean difference, each fold counted once."""
        return float(self.a.mean() - self.b.mean())

    @property
    def standard_error(self) -> float:
        """The sample standard deviation of the folds' differences over the root of their number."""
        return float(self.differences.std(ddof=1) / math.sqrt(len(self.folds)))

    @property
    def p(self) -> float:
        """Two-sided p of the paired t-test over folds; 1 where no fold differs."""
        error = self.standard_error
        if error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return two_sided_p(self.mean / error, len(self.folds) - 1)

    def interval(self, level: float = 0.95) -> Interval:
        """The interval of the mean difference, by Student's t with k - 1 degrees of freedom."""
        half = t_quantile(checked_level(level), len(self.folds) - 1) * self.standard_error
        return Interval(self.mean - half, self.mean + half, level, "paired-t")


def compare_folds(a: Comparisons, b: Comparisons) -> PairedFolds:
    """The k-fold accuracies of two runs over the same trials, fold by fold; see ``k_fold_accuracy``.

    Raises:
        BadInput: the folds are not the same, or as ``k_fold_accuracy``.
    """
    if a.folds is None or b.folds is None or not np.array_equal(a.folds, b.folds):
        raise BadInput("expected two runs over the same folds, got others or none")
    first, second = k_fold_accuracy(a), k_fold_accuracy(b)
    return PairedFolds(first.folds, first.accuracies, second.accuracies)


def two_sided_p(t: float, freedom: int) -> float:
    """The probability that Student's t is at least so far from 0 (Abramowitz and Stegun, 26.7.3 and 26.7.4).

    Args:
        t: the statistic.
        freedom: its degrees of freedom, a whole number of at least 1.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term, total = (cosine, cosine if freedom > 1 else 0.0) if odd else (1.0, 1.0)
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * ((k - 1) / k)
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(1.0, max(0.0, 1 - inside))


def t_quantile(level: float, freedom: int) -> float:
    """How far from 0 Student's t stays with the probability ``level``."""
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > 1 - level else (low, middle)
    return (low + high) / 2
