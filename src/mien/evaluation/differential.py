"""Differential performance: error rates of groups of people at one threshold, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation.bootstrap import Progress, Resampling, checked_replicates, replicate_interval
from mien.evaluation.comparisons import BoolArray, Comparisons, IntArray, ScoreArray
from mien.evaluation.intervals import Interval, checked_level, fmr_interval, fnmr_interval
from mien.evaluation.rates import checked_rate

__all__ = ["Differentials", "Equity", "GroupRate", "differentials"]

_FEWEST_ERRORS = 30
_FEWEST_PEOPLE = 30
_MEASURES = ("fmr_max_min", "fmr_max_mean", "fnmr_max_min", "fnmr_max_mean", "fdr")


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One error rate of one group.

    Attributes:
        rate: the rate, 0..1, or NaN where there was no comparison.
        interval: its interval, or None where there was no comparison.
        errors: how many comparisons were errors.
        comparisons: how many comparisons there were.
        people: how many people were in them.
        remark: why the rate is not to be relied upon (too few errors, too few people), or None.
    """

    rate: float
    interval: Interval | None
    errors: int
    comparisons: int
    people: int
    remark: str | None


@dataclass(frozen=True, slots=True)
class Equity:
    """One number about how far groups are apart.

    Attributes:
        value: NaN with fewer than two groups; infinite where a group's rate is 0 and another's is not.
        interval: its interval, or None where the value is not finite.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class Differentials:
    """How one threshold treats g groups.

    Attributes:
        threshold: the score at or above which a comparison matches.
        numbers: ``(g,) int64``, the groups' numbers, ascending.
        names: what they are called.
        fmr: each group's FMR, non-mated comparisons within the group.
        fnmr: each group's FNMR, mated comparisons within the group.
        cross_fmr: ``(g, g) float64``, FMR of a sample of one group with one of another, whichever is on the left; NaN
            where there was no comparison.
        cross_fnmr: ``(g, g) float64``, the same for FNMR, where one person has samples in two groups (with and without
            a mask).
        cross_non_mated: ``(g, g) int64``, how many non-mated comparisons each has.
        cross_mated: ``(g, g) int64``, how many mated ones.
        fmr_max_min: the highest group's FMR over the lowest's.
        fmr_max_mean: the highest group's FMR over the geometric mean of all.
        fnmr_max_min: the same of FNMR.
        fnmr_max_mean: the same of FNMR.
        fdr: fairness discrepancy rate, 1 where groups are treated alike, lower where they are not.
        alpha: the weight of FMR in it; FNMR has the rest.
        left_out: how many comparisons were left out, as a sample's group is not known.
    """

    threshold: float
    numbers: IntArray
    names: tuple[str, ...]
    fmr: tuple[GroupRate, ...]
    fnmr: tuple[GroupRate, ...]
    cross_fmr: ScoreArray
    cross_fnmr: ScoreArray
    cross_non_mated: IntArray
    cross_mated: IntArray
    fmr_max_min: Equity
    fmr_max_mean: Equity
    fnmr_max_min: Equity
    fnmr_max_mean: Equity
    fdr: Equity
    alpha: float
    left_out: int


def differentials(
    comparisons: Comparisons,
    threshold: float,
    *,
    names: Sequence[str] | None = None,
    alpha: float = 0.5,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Differentials:
    """Error rates by group at one threshold for all, and what sums them up, each with its interval.

    Ratios are NIST's (IR 8429: highest over lowest, highest over geometric mean). FDR is that of de Freitas Pereira
    and Marcel ("Fairness in biometrics", 2021), one of the measures of ISO/IEC 19795-10: ``1 - alpha * A - (1 - alpha)
    * B``, where A and B are the largest differences between two groups' FMR and FNMR. They take in every group that
    has comparisons, the small ones too, which the remarks name; of small groups the highest over the lowest is
    large by chance alone, and its interval with it.

    Args:
        comparisons: trials with groups; those without a score, or of a group that is not known (-1), are left out.
        threshold: the score at or above which a comparison matches.
        names: of the groups by number, 0 first; None to call them by number.
        alpha: 0..1, the weight of FMR in FDR.
        replicates: how many times people are drawn for the intervals of what sums up.
        seed: of the random numbers.
        level: confidence level, between 0 and 1.
        progress: told after each replicate.

    Raises:
        BadInput: there are no groups, a group has no name, or alpha or the level is out of range.
    """
    checked_rate(alpha)
    checked_level(level)
    checked_replicates(replicates)
    made = comparisons.compared
    left, right = made.left_groups, made.right_groups
    if left is None or right is None:
        raise BadInput("expected comparisons with groups, got comparisons without")
    known = (left >= 0) & (right >= 0)
    used = made.subset(known)
    numbers, positions = np.unique(np.concatenate([left[known], right[known]]), return_inverse=True)
    if not len(numbers):
        raise BadInput(f"expected comparisons of known groups, got none of {len(comparisons)}")
    if names is not None and numbers[-1] >= len(names):
        raise BadInput(f"expected names of the groups 0..{numbers[-1]}, got {len(names)}")
    a, b = positions.reshape(-1)[: len(used)], positions.reshape(-1)[len(used) :]
    errors = (used.scores >= threshold) != used.mated
    table = _Table(np.minimum(a, b), np.maximum(a, b), used.mated, errors, len(numbers))
    trials, wrong = table.counts(np.ones(len(used)))

    def group_rate(kind: int, k: int) -> GroupRate:
        rows = (a == k) & (b == k) & (used.mated == bool(kind))
        return _group_rate(used.subset(rows), threshold, bool(kind), int(wrong[kind, k, k]), level)

    resampling = Resampling(used.left_identities, used.right_identities)
    point = _measures(trials, wrong, alpha)
    random = np.random.default_rng(seed)
    sets = []
    for number, draw in enumerate((resampling.of_people, resampling.of_couples)):
        values = np.empty((replicates, len(_MEASURES)))
        for k in range(replicates):
            values[k] = _measures(*table.counts(draw(random)), alpha)
            if progress is not None:
                progress(number * replicates + k + 1, 2 * replicates)
        sets.append(values)
    sums = {
        name: _equity(float(point[k]), sets[0][:, k], sets[1][:, k], level, name == "fdr", resampling.identities)
        for k, name in enumerate(_MEASURES)
    }
    shares = np.divide(wrong, trials, out=np.full(wrong.shape, np.nan), where=trials > 0)
    return Differentials(
        threshold=threshold,
        numbers=numbers.astype(np.int64),
        names=tuple(str(g) if names is None else names[g] for g in numbers),
        fmr=tuple(group_rate(0, k) for k in range(len(numbers))),
        fnmr=tuple(group_rate(1, k) for k in range(len(numbers))),
        cross_fmr=shares[0],
        cross_fnmr=shares[1],
        cross_non_mated=trials[0].astype(np.int64),
        cross_mated=trials[1].astype(np.int64),
        alpha=alpha,
        left_out=int((~known).sum()),
        **sums,
    )


class _Table:
    """Counts of comparisons and errors by kind (0 non-mated, 1 mated) and by the two groups, under any weights."""

    __slots__ = ("_cells", "_errors", "_groups")

    def __init__(self, low: IntArray, high: IntArray, mated: BoolArray, errors: BoolArray, groups: int) -> None:
        self._groups = groups
        self._cells = (mated * groups + low) * groups + high
        self._errors = np.flatnonzero(errors)

    def counts(self, weights: ScoreArray) -> tuple[ScoreArray, ScoreArray]:
        """``(2, g, g)`` comparisons and errors, symmetric."""
        return (
            self._square(np.bincount(self._cells, weights, 2 * self._groups**2)),
            self._square(np.bincount(self._cells[self._errors], weights[self._errors], 2 * self._groups**2)),
        )

    def _square(self, counts: NDArray[Any]) -> ScoreArray:
        upper = counts.reshape(2, self._groups, self._groups)
        return np.asarray(np.maximum(upper, upper.transpose(0, 2, 1)), dtype=np.float64)


def _measures(trials: ScoreArray, wrong: ScoreArray, alpha: float) -> ScoreArray:
    """The values of ``_MEASURES``: NaN of fewer than two groups, infinite where the least rate is 0."""
    values, gaps = [], []
    for kind in (0, 1):
        had = np.diagonal(trials[kind]) > 0
        rates = np.diagonal(wrong[kind])[had] / np.diagonal(trials[kind])[had]
        if len(rates) < 2:
            values += [math.nan, math.nan]
            gaps.append(math.nan)
            continue
        highest, lowest = float(rates.max()), float(rates.min())
        mean = float(np.exp(np.log(rates).mean())) if lowest > 0 else 0.0
        # With no error in any group all are treated alike.
        values += [1.0 if highest == 0 else highest / least if least > 0 else math.inf for least in (lowest, mean)]
        gaps.append(highest - lowest)
    return np.array([*values, 1 - alpha * gaps[0] - (1 - alpha) * gaps[1]])


def _equity(
    point: float, people: ScoreArray, couples: ScoreArray, level: float, is_rate: bool, identities: int
) -> Equity:
    people, couples = people[~np.isnan(people)], couples[~np.isnan(couples)]
    if not math.isfinite(point) or min(len(people), len(couples)) < 2:
        return Equity(point, None)
    if is_rate:
        return Equity(point, replicate_interval(point, people, couples, level, "rate", identities))
    # Ratios vary like their logarithms. One that was infinite counts as the highest that was not, times ten.
    bound = 10 * max(point, float(people[np.isfinite(people)].max(initial=point)))
    logs = [np.log(np.minimum(values, bound)) for values in (people, couples)]
    found = replicate_interval(math.log(point), logs[0], logs[1], level, "real", identities)
    high = math.inf if np.isinf(people).mean() > (1 - level) / 2 else math.exp(found.high)
    return Equity(point, Interval(math.exp(found.low), high, level, "bootstrap"))


def _group_rate(part: Comparisons, threshold: float, mated: bool, errors: int, level: float) -> GroupRate:
    """The rate of comparisons that are all of one kind and of one group."""
    people = len(np.unique(np.concatenate([part.left_identities, part.right_identities])))
    if not len(part):
        return GroupRate(math.nan, None, 0, 0, 0, "no comparisons")
    interval = (fnmr_interval if mated else fmr_interval)(part, threshold, level)
    remarks = []
    if errors < _FEWEST_ERRORS:
        remarks.append(f"{errors} errors, fewer than {_FEWEST_ERRORS}")
    if people < _FEWEST_PEOPLE:
        remarks.append(f"{people} people, fewer than {_FEWEST_PEOPLE}")
    return GroupRate(errors / len(part), interval, errors, len(part), people, "; ".join(remarks) or None)
