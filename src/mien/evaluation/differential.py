"""Differential performance: error rates of groups of people at one threshold, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import BoolArray, Comparisons, IntArray, ScoreArray
from mien.evaluation.equity import Equity, discrepancy, ratios
from mien.evaluation.intervals import Interval, checked_level
from mien.evaluation.rate_intervals import fmr_interval, fnmr_interval
from mien.evaluation.rates import checked_rate

__all__ = ["Differentials", "Equity", "GroupRate", "differentials"]

_FEWEST_ERRORS = 30
_FEWEST_PEOPLE = 30


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
    level: float = 0.95,
) -> Differentials:
    """Error rates by group at one threshold for all, and what sums them up, each with its interval.

    Ratios are NIST's (IR 8429: highest over lowest, highest over geometric mean). FDR is that of de Freitas Pereira
    and Marcel ("Fairness in biometrics", 2021), one of the measures of ISO/IEC 19795-10: ``1 - alpha * A - (1 - alpha)
    * B``, where A and B are the largest differences between two groups' FMR and FNMR. They take in every group that
    has comparisons, the small ones too, which the remarks name; of small groups the highest over the lowest is
    large by chance alone, which the intervals allow for.

    Args:
        comparisons: trials with groups; those without a score, or of a group that is not known (-1), are left out.
        threshold: the score at or above which a comparison matches.
        names: of the groups by number, 0 first; None to call them by number.
        alpha: 0..1, the weight of FMR in FDR.
        level: confidence level, between 0 and 1.

    Raises:
        BadInput: there are no groups, a group has no name, or alpha or the level is out of range.
    """
    checked_rate(alpha)
    checked_level(level)
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
    trials, wrong = _counts(np.minimum(a, b), np.maximum(a, b), used.mated, errors, len(numbers))
    parts = [
        [used.subset((a == k) & (b == k) & (used.mated == mated)) for k in range(len(numbers))]
        for mated in (False, True)
    ]
    at_level = [[_interval(part, threshold, bool(kind)) for part in parts[kind]] for kind in (0, 1)]
    found = [
        tuple(
            _group_rate(part, int(wrong[kind, k, k]), at_level[kind][k](level) if len(part) else None)
            for k, part in enumerate(parts[kind])
        )
        for kind in (0, 1)
    ]
    had = [[k for k, part in enumerate(parts[kind]) if len(part)] for kind in (0, 1)]
    rates = [[found[kind][k].rate for k in had[kind]] for kind in (0, 1)]
    spans = [[at_level[kind][k] for k in had[kind]] for kind in (0, 1)]
    fmr_ratios, fnmr_ratios = (ratios(rates[kind], spans[kind], level) for kind in (0, 1))
    shares = np.divide(wrong, trials, out=np.full(wrong.shape, np.nan), where=trials > 0)
    return Differentials(
        threshold=threshold,
        numbers=numbers.astype(np.int64),
        names=tuple(str(g) if names is None else names[g] for g in numbers),
        fmr=found[0],
        fnmr=found[1],
        cross_fmr=shares[0],
        cross_fnmr=shares[1],
        cross_non_mated=trials[0].astype(np.int64),
        cross_mated=trials[1].astype(np.int64),
        fmr_max_min=fmr_ratios[0],
        fmr_max_mean=fmr_ratios[1],
        fnmr_max_min=fnmr_ratios[0],
        fnmr_max_mean=fnmr_ratios[1],
        fdr=discrepancy(rates, spans, (alpha, 1 - alpha), level),
        alpha=alpha,
        left_out=int((~known).sum()),
    )


def _counts(low: IntArray, high: IntArray, mated: BoolArray, errors: BoolArray, groups: int) -> tuple[IntArray, ...]:
    """``(2, g, g)`` comparisons and errors, by kind (0 non-mated, 1 mated) and by the two groups, symmetric."""
    cells = (mated * groups + low) * groups + high
    squares = []
    for chosen in (cells, cells[errors]):
        upper = np.bincount(chosen, minlength=2 * groups**2).reshape(2, groups, groups)
        squares.append(np.maximum(upper, upper.transpose(0, 2, 1)))
    return tuple(squares)


def _interval(part: Comparisons, threshold: float, mated: bool) -> Callable[[float], Interval]:
    """The interval of the rate of comparisons that are all of one kind, by confidence level."""
    return cache(partial(fnmr_interval if mated else fmr_interval, part, threshold))


def _group_rate(part: Comparisons, errors: int, interval: Interval | None) -> GroupRate:
    """The rate of comparisons that are all of one kind and of one group."""
    if interval is None:
        return GroupRate(math.nan, None, 0, 0, 0, "no comparisons")
    people = len(np.unique(np.concatenate([part.left_identities, part.right_identities])))
    remarks = []
    if errors < _FEWEST_ERRORS:
        remarks.append(f"{errors} errors, fewer than {_FEWEST_ERRORS}")
    if people < _FEWEST_PEOPLE:
        remarks.append(f"{people} people, fewer than {_FEWEST_PEOPLE}")
    return GroupRate(errors / len(part), interval, errors, len(part), people, "; ".join(remarks) or None)
