"""How much less comparisons that share people are worth than independent ones, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.evaluation.comparisons import BoolArray, IntArray, ScoreArray, group_numbers

__all__ = ["FEWEST_ERRORS", "Clustering", "correlation", "shares_of_people"]

FEWEST_ERRORS = 30
"""Of fewer errors nothing can be learned about how they cluster."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """How errors cluster in people.

    Attributes:
        effect: the design effect, at least 1: the variance of the error rate over that of independent trials.
        error: its standard error.
    """

    effect: float
    error: float

    @classmethod
    def of(cls, errors: BoolArray, left: IntArray, right: IntArray) -> Clustering:
        """What some comparisons show.

        The variance of the rate counts every couple of comparisons that share a person (Fogliato, Patil and Perona
        2024, "Confidence Intervals for Error Rates in 1:1 Matching Tasks"). It is a sum over people, and so is that
        of independent trials; how much their ratio varies from person to person is its standard error.

        Args:
            errors: ``(n,) bool``, n > 0, which comparisons are errors.
            left: ``(n,)`` the identity of the left sample.
            right: ``(n,)`` that of the right one.
        """
        rate = float(errors.mean())
        if rate in (0.0, 1.0):
            return cls(1.0, 0.0)
        together, alone = shares_of_people(np.asarray(errors - rate, dtype=np.float64), left, right)
        effect = float(together.sum() / alone.sum())
        error = math.sqrt(float(np.sum((together - effect * alone) ** 2))) / float(alone.sum())
        return cls(max(effect, 1.0), error)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the design effect, for Student's distribution (Satterthwaite 1946)."""
        return 2 * (self.effect / self.error) ** 2 if self.error > 0 else math.inf

    def at(self, share: float) -> Clustering:
        """That of a rate which is only ``share`` of the one it was learned at.

        The rarer the errors, the seldomer a person has two. Where scores are normal, what is above 1 falls by
        about the power 2/3 of the rate; the root is the more careful.
        """
        part = math.sqrt(min(max(share, 0.0), 1.0))
        return Clustering(1 + (self.effect - 1) * part, self.error * part)


def shares_of_people(parts: ScoreArray, left: IntArray, right: IntArray) -> tuple[ScoreArray, ScoreArray]:
    """What each person adds to the variance of a sum of comparisons' parts.

    It is the jackknife's: as the sum would vary were one person after the other left out, with all their comparisons.

    Args:
        parts: ``(n,)``, their mean 0.
        left: ``(n,)`` the identity of the left sample.
        right: ``(n,)`` that of the right one.

    Returns:
        ``(p,)`` by person, all couples of comparisons counted that share one, and ``(p,)`` were comparisons
        independent.
    """
    numbers = group_numbers(np.concatenate([left, right]))
    a, b = numbers[: len(left)], numbers[len(left) :]
    people = int(numbers.max()) + 1
    sums, alone = _sums(a, parts, people), _sums(a, parts**2, people)
    apart = a != b
    # Left out is, on average, this share of all comparisons: twice as much where they are of two people.
    left_out = (1 + float(apart.mean())) / people
    factor = (1 - 1 / people) / max(1 - left_out, 1 / people) ** 2
    if not apart.any():
        return factor * sums**2, alone
    a, b, parts = a[apart], b[apart], parts[apart]
    sums += _sums(b, parts, people)
    # Of a comparison of two people each has a half.
    alone += (_sums(b, parts**2, people) - _sums(a, parts**2, people)) / 2
    # A couple's comparisons are counted with either person: once too often.
    couples, which = np.unique(np.minimum(a, b) * people + np.maximum(a, b), return_inverse=True)
    twice = _sums(which.reshape(-1), parts, len(couples)) ** 2 / 2
    once_too_often = _sums(couples // people, twice, people) + _sums(couples % people, twice, people)
    return factor * (sums**2 - once_too_often), alone


def correlation(
    first: ScoreArray, people: tuple[IntArray, IntArray], second: ScoreArray, others: tuple[IntArray, IntArray]
) -> float:
    """How two sums over comparisons of one kind each go together, as they are of the same people: -1..1.

    Args:
        first: ``(n,)`` parts of one sum, their mean 0.
        people: ``(n,)`` the identities of the left and of the right samples.
        second: ``(m,)`` those of the other sum.
        others: ``(m,)`` whose samples these are.
    """
    numbers = group_numbers(np.concatenate([*people, *others]))
    most, n, m = int(numbers.max()) + 1, len(first), len(second)
    ends = numbers[:n], numbers[n : 2 * n], numbers[2 * n : 2 * n + m], numbers[2 * n + m :]
    together, variances = np.ones(most), 1.0
    for parts, left, right in ((first, *ends[:2]), (second, *ends[2:])):
        apart = left != right
        together *= _sums(left, parts, most) + _sums(right[apart], parts[apart], most)
        variances *= max(float(shares_of_people(parts, left, right)[0].sum()), float(parts @ parts))
    return min(max(float(together.sum()) / math.sqrt(variances), -1.0), 1.0) if variances > 0 else 0.0


def _sums(numbers: IntArray, parts: ScoreArray, most: int) -> ScoreArray:
    return np.asarray(np.bincount(numbers, parts, most), dtype=np.float64)
