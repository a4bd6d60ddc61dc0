"""Thresholds at false match rates, each with its interval; those past the data from a model of the tail."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching.calibration import OperatingPoint, Tail
from mien.matching.calibration_pairs import PairCounts

__all__ = ["POINT_RATES", "fmr_interval", "measured_fmr", "threshold_curve"]

Numbers = NDArray[np.float64]

POINT_RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The false match rates whose thresholds are given with intervals."""

_RATES_A_DECADE = 5
_ERRORS_NEEDED = 30  # the rule of 30 of ISO/IEC 19795-1
# Enough to fit two numbers, and near to where the tail is asked about.
_TAIL_SCORES, _TAIL_SHARE = 500, 0.1
_CENSORED = 0.1
_LEVEL = (2.5, 97.5)
# Draws before a draw whose thresholds it is asked about: each pair of draws is one more trial.
_DRAWS_COMPARED = 20
_Z = 1.959963984540054


def threshold_curve(
    counts: PairCounts, *, seed: int, replicates: int
) -> tuple[Numbers, Numbers, Tail, tuple[OperatingPoint, ...]]:
    """Rates from 0.1 down to 1e-6 with their thresholds, the tail's model, and the points with intervals.

    People are drawn anew, with replacement, ``replicates`` times; a comparison counts as often as both of its people
    were drawn, multiplied. The interval of a threshold is that of its values in these draws. That of the false match
    rate is a prediction: the rates that one draw has at the threshold of another one, so that it holds both what the
    threshold owes to the people it was fitted on and what as many other people differ.

    Raises:
        BadInput: there are too few non-mated comparisons.
    """
    total = counts.non_mated_total
    if len(counts.tail) < 100:
        raise BadInput(f"expected at least 100 non-mated comparisons, got {total}")
    scores = counts.tail.astype(np.float64)
    tail = _fit_tail(scores, np.ones(len(scores)), total)
    steps = np.arange(_RATES_A_DECADE * 5 + 1)
    rates = 10.0 ** -(1 + steps / _RATES_A_DECADE)
    rates[::_RATES_A_DECADE] = (0.1, *POINT_RATES)
    thresholds = np.array([_threshold(counts, tail, rate) for rate in rates])
    thresholds = np.minimum(np.maximum.accumulate(thresholds), 1.0)
    at = [float(thresholds[(k + 1) * _RATES_A_DECADE]) for k in range(len(POINT_RATES))]
    drawn, fmrs = _resampled_points(counts, seed, replicates)
    points = []
    for k, rate in enumerate(POINT_RATES):
        low, high = _percentiles(drawn[:, k])
        fmr_low, fmr_high = _widened(fmrs[k], int((scores >= at[k]).sum()), total)
        extrapolated = rate * total < _ERRORS_NEEDED * (1 - 1e-9)
        low, high = min(low, at[k]), max(high, at[k])
        points.append(OperatingPoint(rate, at[k], low, high, fmr_low, fmr_high, rate * total, extrapolated))
    return rates, thresholds, tail, tuple(points)


def _resampled_points(counts: PairCounts, seed: int, replicates: int) -> tuple[Numbers, list[Numbers]]:
    """``(b, k)`` thresholds for the ``POINT_RATES`` in each draw; and, for each rate, FMRs of draws at others'."""
    scores, total = counts.tail.astype(np.float64), counts.non_mated_total
    rising = -scores
    drawn: list[list[float]] = []
    fmrs: list[list[Numbers]] = [[] for _ in POINT_RATES]
    for weights, weight in _resampled(counts, seed, replicates):
        sums = np.cumsum(weights)
        shares = np.concatenate([[0.0], sums / weight])
        earlier = np.array(drawn[-_DRAWS_COMPARED:]).reshape(-1, len(POINT_RATES))
        for k, column in enumerate(earlier.T):
            fmrs[k].append(shares[np.searchsorted(rising, -column, side="right")])
        tail = _fit_tail(scores, weights, weight)
        row = []
        for rate in POINT_RATES:
            if rate * total < _ERRORS_NEEDED * (1 - 1e-9):
                row.append(min(1.0, tail.threshold(min(rate, tail.rate))))
            else:
                place = int(np.searchsorted(sums, rate * weight, side="right"))
                # Above the first score that would be one too many, as ``_threshold`` has it.
                row.append(float(np.nextafter(counts.tail[min(place, len(scores) - 1)], np.float32(2))))
        drawn.append(row)
    return np.array(drawn), [np.concatenate(values) for values in fmrs]


def measured_fmr(counts: PairCounts, threshold: float) -> float:
    """Share of the non-mated comparisons that reach a threshold, which has to be in the tail."""
    return float((counts.tail >= threshold).sum()) / counts.non_mated_total


def fmr_interval(counts: PairCounts, threshold: float, *, seed: int, replicates: int) -> tuple[float, float]:
    """95 % interval of the false match rate at a threshold, by resampling people; Wilson's where that is wider."""
    scores = counts.tail.astype(np.float64)
    fmrs = [_share_from(scores, np.cumsum(w), threshold) / all_ for w, all_ in _resampled(counts, seed, replicates)]
    return _widened(fmrs, int((scores >= threshold).sum()), counts.non_mated_total)


def _resampled(counts: PairCounts, seed: int, replicates: int) -> Iterator[tuple[Numbers, float]]:
    """The tail's weights and the weight of all non-mated comparisons, for each replicate."""
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = random.integers(counts.people, size=counts.people)
        multiplicity = np.bincount(drawn, minlength=counts.people).astype(np.int64)
        weight = counts.weigh(multiplicity)
        weights = (multiplicity[counts.tail_left] * multiplicity[counts.tail_right]).astype(np.float64)
        # With few people, all comparisons may be of people who were not drawn.
        if np.count_nonzero(weights) > 1:
            yield weights, weight


def _threshold(counts: PairCounts, tail: Tail, rate: float) -> float:
    """The lowest score at which a rate is not exceeded."""
    total = counts.non_mated_total
    if rate * total < _ERRORS_NEEDED * (1 - 1e-9):
        return tail.threshold(min(rate, tail.rate))
    allowed = math.floor(rate * total * (1 + 1e-12))
    if allowed < len(counts.tail):
        return float(np.nextafter(counts.tail[allowed], np.float32(2)))
    # Rates above the tail are read from the bins, to half of one.
    above = np.cumsum(counts.non_mated[::-1])[::-1]
    place = int(np.flatnonzero(above > allowed)[-1]) + 1
    return -1 + place * (2 / len(above))


def _fit_tail(scores: Numbers, weights: Numbers, total: float) -> Tail:
    """An exponential tail by maximum likelihood, its highest tenth known only to be high (Epstein and Sobel 1953).

    Among the very highest scores of "two people" are one person's under two names; how high they are must not count.
    """
    sums = np.cumsum(weights)
    wanted = min(_TAIL_SCORES, _TAIL_SHARE * total, sums[-1])
    last = min(int(np.searchsorted(sums, wanted)), len(scores) - 1)
    first = min(int(np.searchsorted(sums, _CENSORED * float(sums[last]))), last)
    start, mass = float(scores[last]), float(sums[last])
    known = weights[first : last + 1]
    hidden = mass - float(known.sum())
    excess = float((known * (scores[first : last + 1] - start)).sum()) + hidden * float(scores[first] - start)
    return Tail(start, mass / total, max(excess / (mass - hidden), 1e-6))


def _share_from(falling: Numbers, sums: Numbers, threshold: float) -> float:
    count = int(np.searchsorted(-falling, -threshold, side="right"))
    return float(sums[count - 1]) if count else 0.0


def _percentiles(values: Sequence[float] | Numbers) -> tuple[float, float]:
    low, high = np.percentile(values, _LEVEL)
    return float(low), float(high)


def _widened(shares: Sequence[float] | Numbers, errors: int, trials: int) -> tuple[float, float]:
    low, high = _percentiles(shares)
    # Wilson 1927: what resampling cannot tell where there are hardly any errors.
    share = errors / trials
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return min(low, max(0.0, middle - half)), max(high, middle + half)
