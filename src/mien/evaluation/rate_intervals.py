"""Intervals of error rates at a threshold, of the threshold at a rate, and of the one rate at the other's threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.evaluation.clustering import FEWEST_ERRORS, Clustering, correlation
from mien.evaluation.comparisons import BoolArray, Comparisons, IntArray, ScoreArray
from mien.evaluation.intervals import Interval, checked_level, student_quantile, wilson
from mien.evaluation.rates import checked_rate

__all__ = [
    "OneKind",
    "clustered_interval",
    "fmr_interval",
    "fnmr_interval",
    "hits_at_rate",
    "threshold_interval",
    "tmr_at_fmr_interval",
]

# A rate times a number may be a hair less than the whole number it stands for.
_SLACK = 1e-9


def fmr_interval(comparisons: Comparisons, threshold: float, level: float = 0.95) -> Interval:
    """The interval of FMR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: no non-mated comparison was made, or the level is not between 0 and 1.
    """
    return OneKind.of(comparisons, mated=False).above(threshold, level)


def fnmr_interval(comparisons: Comparisons, threshold: float, level: float = 0.95) -> Interval:
    """The interval of FNMR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: no mated comparison was made, or the level is not between 0 and 1.
    """
    hits = OneKind.of(comparisons, mated=True).above(threshold, level)
    return Interval(1 - hits.high, 1 - hits.low, level, hits.method)


def threshold_interval(comparisons: Comparisons, fmr: float, level: float = 0.95) -> Interval:
    """The interval of the threshold at a false match rate; see ``OneKind.threshold``.

    Args:
        comparisons: the trials; the non-mated ones that were made are used.
        fmr: the false match rate that the threshold is for.
        level: confidence level, between 0 and 1.

    Raises:
        BadInput: no non-mated comparison was made, or the rate or the level is out of range.
    """
    return OneKind.of(comparisons, mated=False).threshold(fmr, level)


def tmr_at_fmr_interval(comparisons: Comparisons, fmr: float, level: float = 0.95) -> Interval:
    """The interval of TMR at the threshold of a false match rate; see ``hits_at_rate``.

    That of FNMR at the same threshold is one less the ends of it.

    Args:
        comparisons: the trials; those that were made are used.
        fmr: the false match rate.
        level: confidence level, between 0 and 1.

    Raises:
        BadInput: all that were made are of one kind, or the rate or the level is out of range.
    """
    return hits_at_rate(OneKind.of(comparisons, mated=True), OneKind.of(comparisons, mated=False), fmr, level)


def clustered_interval(
    errors: BoolArray, left: IntArray, right: IntArray, level: float = 0.95, *, likely: BoolArray | None = None
) -> Interval:
    """Wilson's interval of an error rate, with the number of trials that the data are worth.

    Comparisons that share a person are alike; see ``Clustering``. The number of trials is what would give independent
    ones the variance found, at most as many as there are, and Student's quantile allows for how sure that number is.

    Args:
        errors: ``(n,) bool``, which comparisons are errors.
        left: ``(n,)`` the identity of the left sample.
        right: ``(n,)`` that of the right one, the same where the comparison is mated.
        level: confidence level, between 0 and 1.
        likely: ``(n,) bool``, comparisons that would be errors at a laxer threshold. Of few errors nothing can be
            learned about how they cluster; then it is taken from these, and scaled to as few.

    Raises:
        BadInput: there is no comparison, lengths differ, or the level is not between 0 and 1.
    """
    checked_level(level)
    if not (errors.ndim == 1 and len(errors) and errors.shape == left.shape == right.shape):
        raise BadInput(f"expected comparisons of one shape (n,), got {errors.shape}, {left.shape}, {right.shape}")
    shown = errors if likely is None else likely
    clustering = _scaled(Clustering.of(shown, left, right), _rarer(int(errors.sum()), len(errors)), shown)
    worth = len(errors) / clustering.effect
    found = wilson(errors.mean() * worth, worth, level, freedom=clustering.freedom)
    return Interval(found.low, found.high, level, "clustered-wilson")


@dataclass(frozen=True, slots=True, eq=False)
class OneKind:
    """Trials of one kind, all mated or all non-mated, and whom each is of.

    Attributes:
        scores: ``(n,) float64``, n > 0, not NaN; negative infinity where a trial is below any threshold.
        left: ``(n,)`` the identity of one sample.
        right: ``(n,)`` that of the other, the same where there is but one.

    Raises:
        BadInput: there are no trials.
    """

    scores: ScoreArray
    left: IntArray
    right: IntArray

    def __post_init__(self) -> None:
        if not len(self.scores):
            raise BadInput("expected comparisons of that kind that were made, got none")

    @classmethod
    def of(cls, comparisons: Comparisons, *, mated: bool) -> OneKind:
        """The comparisons of one kind that were made.

        Raises:
            BadInput: there are none.
        """
        chosen = (comparisons.mated == mated) & ~np.isnan(comparisons.scores)
        return cls(
            comparisons.scores[chosen], comparisons.left_identities[chosen], comparisons.right_identities[chosen]
        )

    def share(self, threshold: float) -> float:
        """The share of trials at or above a threshold."""
        return float((self.scores >= threshold).mean())

    def above(self, threshold: float, level: float) -> Interval:
        """The interval of the share of trials at or above a fixed threshold; see ``clustered_interval``."""
        found = self.scores >= threshold
        return clustered_interval(found, self.left, self.right, level, likely=self._highest(int(found.sum())))

    def threshold(self, rate: float, level: float) -> Interval:
        """The thresholds at which the share of trials at or above may be ``rate``.

        At the true one the share found differs from ``rate`` by no more than its standard error at that very rate
        allows (Woodruff 1952, with the score test's variance). Where none at all is within that, the trials do not
        bound the threshold, and the upper end is infinite.

        Raises:
            BadInput: the rate or the level is not within 0..1, or no trial has a finite score.
        """
        checked_rate(rate)
        checked_level(level)
        trials, expected = len(self.scores), rate * len(self.scores)
        ordered = np.sort(self.scores)[::-1]
        if not math.isfinite(ordered[0]):
            raise BadInput(f"expected trials with a score, got none of {trials}")
        highest = self._highest(math.ceil(expected))
        clustering = _scaled(Clustering.of(highest, self.left, self.right), min(expected, trials - expected), highest)
        half = student_quantile(level, clustering.freedom) * math.sqrt(rate * (1 - rate) * clustering.effect / trials)
        most, least = math.floor((rate + half) * trials + _SLACK), math.ceil((rate - half) * trials - _SLACK)
        point = _above(ordered, math.floor(expected + _SLACK))
        low = min(_above(ordered, most), point)
        high = max(float(ordered[least - 1]), point) if least > 0 else math.inf
        return Interval(low, high, level, "clustered-wilson")

    def _highest(self, count: int) -> BoolArray:
        """The ``count`` trials of highest score; more or fewer, that there are errors and others to learn from."""
        trials = len(self.scores)
        wanted = max(min(count, trials - FEWEST_ERRORS), FEWEST_ERRORS)
        if wanted >= trials:
            return np.ones(trials, dtype=np.bool_)
        return np.asarray(self.scores >= np.partition(self.scores, trials - wanted)[trials - wanted])


def hits_at_rate(mated: OneKind, non_mated: OneKind, rate: float, level: float = 0.95) -> Interval:
    """The interval of the share of mated trials above the threshold that lets ``rate`` of the non-mated ones pass.

    The share is as uncertain as that at a fixed threshold, and as the threshold. Each end is as far away as both
    distances together, by Pythagoras and how the errors of both kinds go together: the method of variance estimates
    recovery (Zou and Donner 2008, "Construction of confidence limits about effect measures: a general approach").
    Where the non-mated trials do not bound the threshold, the lower end is 0.

    Raises:
        BadInput: the rate or the level is out of range.
    """
    limits = non_mated.threshold(rate, level)
    point = _above(np.sort(non_mated.scores)[::-1], math.floor(rate * len(non_mated.scores) + _SLACK))
    share, fixed = mated.share(point), mated.above(point, level)
    hits, alarms = (
        np.asarray((kind.scores >= point) - kind.share(point), dtype=np.float64) for kind in (mated, non_mated)
    )
    # People with more false matches raise the threshold, so if they also have more hits the two distances make up.
    like = correlation(hits, (mated.left, mated.right), alarms, (non_mated.left, non_mated.right))
    low = 0.0
    if math.isfinite(limits.high):
        low = share - _joined(share - fixed.low, share - mated.share(limits.high), like)
    high = share + _joined(fixed.high - share, mated.share(limits.low) - share, like)
    return Interval(max(low, 0.0), min(high, 1.0), level, "combined")


def _joined(a: float, b: float, like: float) -> float:
    return math.sqrt(max(a * a + b * b - 2 * like * a * b, 0.0))


def _above(ordered: ScoreArray, count: int) -> float:
    """The lowest threshold that no more than ``count`` of the scores, in descending order, reach."""
    made = int(np.isfinite(ordered).sum())
    return float(np.nextafter(ordered[count], np.inf) if count < made else ordered[made - 1])


def _rarer(errors: int, trials: int) -> int:
    """How many there are of errors or of others, whichever are fewer, but at least 1."""
    return max(min(errors, trials - errors), 1)


def _scaled(clustering: Clustering, errors: float, shown: BoolArray) -> Clustering:
    """What was learned from the errors shown, for as many as ``errors``."""
    return clustering.at(errors / _rarer(int(shown.sum()), len(shown)))
