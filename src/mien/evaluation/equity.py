"""How far groups are apart: ratios of their error rates and the fairness discrepancy rate, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluation.comparisons import ScoreArray
from mien.evaluation.intervals import Interval

__all__ = ["Equity", "discrepancy", "ratios"]

IntervalAt = Callable[[float], Interval]
"""The interval of a group's rate at a confidence level."""


@dataclass(frozen=True, slots=True)
class Equity:
    """One number about how far groups are apart.

    Attributes:
        value: NaN with fewer than two groups; infinite where a group's rate is 0 and another's is not.
        interval: its interval, or None where the value is not finite.
    """

    value: float
    interval: Interval | None


def ratios(rates: Sequence[float], intervals: Sequence[IntervalAt], level: float) -> tuple[Equity, Equity]:
    """The highest of the groups' rates over the lowest, and over the geometric mean of all.

    Args:
        rates: of each group.
        intervals: of each group's rate.
        level: confidence level, between 0 and 1.
    """
    groups = len(rates)
    if groups < 2:
        return Equity(math.nan, None), Equity(math.nan, None)
    lowest, highest = _ends(rates)
    if rates[highest] == 0:
        # With no error in any group all are treated alike.
        alike = Equity(1.0, Interval(1.0, math.inf, level, "combined"))
        return alike, alike
    if rates[lowest] == 0:
        return Equity(math.inf, None), Equity(math.inf, None)
    of_lowest, of_mean = np.zeros(groups), np.full(groups, -1 / groups)
    of_lowest[highest], of_lowest[lowest] = 1.0, -1.0
    of_mean[highest] += 1.0
    ahead, behind = _candidates(rates, intervals, level)
    logs = np.log(np.asarray(rates))
    return (
        _ratio(of_lowest, logs, intervals, level, _ways(ahead, behind) / 2),
        _ratio(of_mean, logs, intervals, level, len(ahead) / 2),
    )


def discrepancy(
    rates: Sequence[Sequence[float]], intervals: Sequence[Sequence[IntervalAt]], weights: Sequence[float], level: float
) -> Equity:
    """FDR: 1 less the weighted largest differences between two groups' rates, of each kind of rate.

    Args:
        rates: by kind, of each group.
        intervals: by kind, of each group's rate.
        weights: by kind.
        level: confidence level, between 0 and 1.
    """
    if any(len(of_kind) < 2 for of_kind in rates):
        return Equity(math.nan, None)
    parts, ways = [], 1
    for of_kind, of_kind_at, weight in zip(rates, intervals, weights, strict=True):
        part = np.zeros(len(of_kind))
        lowest, highest = _ends(of_kind)
        part[lowest], part[highest] = -weight, weight
        parts.append(part)
        if weight > 0:
            # The kinds add up, so that of neither half of the ways is the other's mirror image.
            ways = max(ways, _ways(*_candidates(of_kind, of_kind_at, level)))
    points = np.concatenate([np.asarray(of_kind, dtype=np.float64) for of_kind in rates])
    flat = [at for of_kind in intervals for at in of_kind]
    value, low, high = _combined(np.concatenate(parts), points, _plain, flat, level, ways)
    span = Interval(max(1 - high, 0.0), min(1 - low, 1.0), level, "combined")
    return Equity(1 - value, span)


def _ratio(
    weights: ScoreArray, logs: ScoreArray, intervals: Sequence[IntervalAt], level: float, choices: float
) -> Equity:
    value, low, high = _combined(weights, logs, _log, intervals, level, choices)
    return Equity(math.exp(value), Interval(math.exp(max(low, 0.0)), math.exp(high), level, "combined"))


def _combined(
    weights: ScoreArray,
    points: ScoreArray,
    scale: Callable[[float], float],
    intervals: Sequence[IntervalAt],
    level: float,
    choices: float,
) -> tuple[float, float, float]:
    """A weighted sum of rates of different people, and the ends of its interval.

    Each end is as far away as the rates' own ends together, by Pythagoras (Zou and Donner 2008, the method of
    variance estimates recovery). The sum is the largest of several, and the largest of groups alike in truth is large
    by chance: the lower end allows for as many ``choices`` (Bonferroni).
    """
    value = float(weights @ points)
    stricter = 1 - (1 - level) / max(choices, 1.0)
    ends = []
    for sign, at_level in ((-1.0, stricter), (1.0, level)):
        squares = 0.0
        for weight, point, at in zip(weights, points, intervals, strict=True):
            if weight == 0:
                continue
            found = at(at_level)
            end = scale(found.high if weight * sign > 0 else found.low)
            squares += (weight * (end - point)) ** 2
        ends.append(value + sign * math.sqrt(squares))
    return value, ends[0], ends[1]


def _ends(rates: Sequence[float]) -> tuple[int, int]:
    """The group of the lowest rate and another, of the highest."""
    order = np.argsort(rates, kind="stable")
    return int(order[0]), int(order[-1])


def _candidates(rates: Sequence[float], intervals: Sequence[IntervalAt], level: float) -> tuple[list[int], list[int]]:
    """Which groups may in truth be the highest, and which the lowest: whose intervals reach those of the ones found."""
    lowest, highest = _ends(rates)
    spans = [at(level) for at in intervals]
    ahead = [k for k, span in enumerate(spans) if span.high >= spans[highest].low]
    return ahead, [k for k, span in enumerate(spans) if span.low <= spans[lowest].high]


def _ways(ahead: Sequence[int], behind: Sequence[int]) -> int:
    """How many choices of a highest and of another, lowest group there are."""
    return sum(a != b for a in ahead for b in behind)


def _plain(rate: float) -> float:
    return rate


def _log(rate: float) -> float:
    return math.log(rate) if rate > 0 else -math.inf
