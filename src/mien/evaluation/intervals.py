"""Confidence intervals, and Wilson's for a proportion, which stays honest near 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from mien.errors import BadInput

__all__ = ["Interval", "IntervalMethod", "checked_level", "student_quantile", "wilson"]

IntervalMethod = Literal["wilson", "clustered-wilson", "combined", "bootstrap", "bootstrap-wilson", "paired-t"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end; infinite for a threshold that the trials do not bound.
        level: how often such an interval covers the true value, 0..1.
        method: ``"wilson"`` (trials taken as independent), ``"clustered-wilson"`` (Wilson's, with as many trials as
            the data are worth, for comparisons that share people are alike), ``"combined"`` (of a rate and of the
            threshold that it is at), ``"bootstrap"`` (identities resampled), ``"bootstrap-wilson"`` (Wilson's, with
            as many trials as the bootstrap says) or ``"paired-t"`` (Student's t over folds).
    """

    low: float
    high: float
    level: float
    method: IntervalMethod

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(errors: float, trials: float, level: float = 0.95, *, freedom: float = math.inf) -> Interval:
    """Wilson's score interval of ``errors / trials`` (Wilson 1927, without continuity correction).

    Args:
        errors: how many of the trials were errors, 0..trials; may be a fraction, of an effective number of trials.
        trials: how many trials, more than 0.
        level: confidence level, between 0 and 1.
        freedom: degrees of freedom of an effective number of trials, which is itself an estimate.

    Raises:
        BadInput: there are no trials, more errors than trials, or the level is not between 0 and 1.
    """
    checked_level(level)
    if not (math.isfinite(trials) and trials > 0 and 0 <= errors <= trials):
        raise BadInput(f"expected 0 <= errors <= trials and at least one trial, got {errors:g} of {trials:g}")
    z2 = student_quantile(level, freedom) ** 2
    share = errors / trials
    center = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials) / (1 + z2 / trials)
    # At 0 and 1 the end is exactly there; arithmetic would leave it a rounding error away.
    low = 0.0 if errors == 0 else max(0.0, center - half)
    high = 1.0 if errors == trials else min(1.0, center + half)
    return Interval(float(low), float(high), level, "wilson")


def student_quantile(level: float, freedom: float = math.inf) -> float:
    """How many standard errors to each side of the mean hold ``level`` of Student's distribution.

    Of infinite freedom it is the normal one (0.95: 1.96). The expansion (Abramowitz and Stegun 26.7.5) is right to
    4 % from 2 degrees of freedom on, and to 0.2 % from 5 on, at a level of 0.95; fewer than 2 are taken as 2.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    n = max(freedom, 2.0)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def checked_level(level: float) -> float:
    """The level itself.

    Raises:
        BadInput: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise BadInput(f"expected a confidence level between 0 and 1, got {level}")
    return level
