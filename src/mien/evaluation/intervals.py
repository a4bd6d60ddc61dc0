"""Confidence intervals, and Wilson's for a proportion, which stays honest near 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import BoolArray, Comparisons, IntArray, group_numbers
from mien.evaluation.rates import ErrorRates

__all__ = [
    "Interval",
    "IntervalMethod",
    "checked_level",
    "clustered_interval",
    "fmr_interval",
    "fnmr_interval",
    "normal_quantile",
    "threshold_interval",
    "wilson",
]

IntervalMethod = Literal["wilson", "clustered-wilson", "bootstrap", "bootstrap-wilson"]

_FEWEST_ERRORS = 30


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end.
        level: how often such an interval covers the true value, 0..1.
        method: ``"wilson"`` (trials taken as independent), ``"clustered-wilson"`` (Wilson's, with as many trials as
            the data are worth, for comparisons that share people are alike), ``"bootstrap"`` (identities resampled)
            or ``"bootstrap-wilson"`` (Wilson's, with as many trials as the bootstrap says).
    """

    low: float
    high: float
    level: float
    method: IntervalMethod

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(errors: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of ``errors / trials`` (Wilson 1927, without continuity correction).

    Args:
        errors: how many of the trials were errors, 0..trials; may be a fraction, of an effective number of trials.
        trials: how many trials, more than 0.
        level: confidence level, between 0 and 1.

    Raises:
        BadInput: there are no trials, more errors than trials, or the level is not between 0 and 1.
    """
    checked_level(level)
    if not (math.isfinite(trials) and trials > 0 and 0 <= errors <= trials):
        raise BadInput(f"expected 0 <= errors <= trials and at least one trial, got {errors:g} of {trials:g}")
    z2 = normal_quantile(level) ** 2
    share = errors / trials
    center = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials) / (1 + z2 / trials)
    # At 0 and 1 the end is exactly there; arithmetic would leave it a rounding error away.
    low = 0.0 if errors == 0 else max(0.0, center - half)
    high = 1.0 if errors == trials else min(1.0, center + half)
    return Interval(float(low), float(high), level, "wilson")


def fmr_interval(comparisons: Comparisons, threshold: float, level: float = 0.95) -> Interval:
    """The interval of FMR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: no non-mated comparison was made, or the level is not between 0 and 1.
    """
    chosen = ~comparisons.mated & ~np.isnan(comparisons.scores)
    return _at_threshold(comparisons.subset(chosen), threshold, 1.0, level)


def fnmr_interval(comparisons: Comparisons, threshold: float, level: float = 0.95) -> Interval:
    """The interval of FNMR at a fixed threshold; see ``clustered_interval``.

    Raises:
        BadInput: no mated comparison was made, or the level is not between 0 and 1.
    """
    chosen = comparisons.mated & ~np.isnan(comparisons.scores)
    return _at_threshold(comparisons.subset(chosen), threshold, -1.0, level)


def threshold_interval(comparisons: Comparisons, fmr: float, level: float = 0.95) -> Interval:
    """The interval of the threshold at a false match rate: the thresholds whose own rate might be that one.

    Woodruff's (1952) for a quantile: the interval of FMR at the threshold found, read off the same curve backwards.

    Args:
        comparisons: the trials; the non-mated ones that were made are used.
        fmr: the false match rate that the threshold is for.
        level: confidence level, between 0 and 1.

    Raises:
        BadInput: no non-mated comparison was made, or the rate or the level is out of range.
    """
    scores = comparisons.non_mated_scores
    # The mated ones do not matter here, and one of them will do.
    rates = ErrorRates(scores[-1:], scores)
    rate = fmr_interval(comparisons, rates.threshold_at_fmr(fmr), level)
    # Where the rate found is much lower than that asked for (tied scores), the threshold still is that of the latter.
    low, high = rates.threshold_at_fmr(max(rate.high, fmr)), rates.threshold_at_fmr(min(rate.low, fmr))
    return Interval(low, high, level, "clustered-wilson")


def clustered_interval(
    errors: BoolArray, left: IntArray, right: IntArray, level: float = 0.95, *, likely: BoolArray | None = None
) -> Interval:
    """Wilson's interval of an error rate, with the number of trials that the data are worth.

    Comparisons that share a person are alike. The variance of the rate counts every couple of such comparisons
    (Fogliato, Patil and Perona 2024, "Confidence Intervals for Error Rates in 1:1 Matching Tasks"), and the number of
    trials is what would give independent ones that variance, at most as many as there are.

    Args:
        errors: ``(n,) bool``, which comparisons are errors.
        left: ``(n,)`` the identity of the left sample.
        right: ``(n,)`` that of the right one, the same where the comparison is mated.
        level: confidence level, between 0 and 1.
        likely: ``(n,) bool``, comparisons that would be errors at a laxer threshold. Of few errors nothing can be
            learned about how they cluster; then it is taken from these.

    Raises:
        BadInput: there is no comparison, lengths differ, or the level is not between 0 and 1.
    """
    checked_level(level)
    if not (errors.ndim == 1 and len(errors) and errors.shape == left.shape == right.shape):
        raise BadInput(f"expected comparisons of one shape (n,), got {errors.shape}, {left.shape}, {right.shape}")
    count, trials = int(errors.sum()), len(errors)
    effect = _design_effect(errors if likely is None or count >= _FEWEST_ERRORS else likely, left, right)
    worth = trials / max(effect, 1.0)
    found = wilson(count / trials * worth, worth, level)
    return Interval(found.low, found.high, level, "clustered-wilson")


def _at_threshold(comparisons: Comparisons, threshold: float, sign: float, level: float) -> Interval:
    """The share above (sign 1) or below (sign -1) the threshold, for comparisons of one kind."""
    if not len(comparisons):
        raise BadInput("expected comparisons of that kind that were made, got none")
    scores = sign * comparisons.scores
    errors = scores >= threshold if sign > 0 else scores > -threshold
    worst = np.partition(scores, -_FEWEST_ERRORS)[-_FEWEST_ERRORS] if len(scores) > _FEWEST_ERRORS else scores.min()
    return clustered_interval(
        errors, comparisons.left_identities, comparisons.right_identities, level, likely=scores >= worst
    )


def _design_effect(errors: BoolArray, left: IntArray, right: IntArray) -> float:
    """How many times the variance of the error rate is that of as many independent trials (1 where all are alike)."""
    rate, trials = float(errors.mean()), len(errors)
    if rate in (0.0, 1.0):
        return 1.0
    numbers = group_numbers(np.concatenate([left, right]))
    a, b = numbers[:trials], numbers[trials:]
    people = int(numbers.max()) + 1
    apart, off = a != b, errors - rate
    by_person = np.bincount(a, off, people) + np.bincount(b[apart], off[apart], people)
    # A couple's comparisons are counted with either person: once too often.
    low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
    by_couple = np.bincount(group_numbers(low * people + high), off[apart]) if apart.any() else np.zeros(1)
    total = float(by_person @ by_person - by_couple @ by_couple)
    return total / (trials * rate * (1 - rate)) * people / max(people - 1, 1)


def normal_quantile(level: float) -> float:
    """How many standard deviations to each side of the mean hold ``level`` of a normal distribution (0.95: 1.96)."""
    return NormalDist().inv_cdf((1 + level) / 2)


def checked_level(level: float) -> float:
    """The level itself.

    Raises:
        BadInput: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise BadInput(f"expected a confidence level between 0 and 1, got {level}")
    return level
