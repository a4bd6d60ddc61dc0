"""Fitting a calibration, and finding out on people kept apart how good it is.

The log-likelihood ratio is a smooth curve of the score that never falls: its slope is linear between evenly spaced
knots and never negative. It is fitted by logistic regression at even odds (mated and non-mated comparisons weigh the
same in sum), with a penalty on changes of the slope that yields as people grow more: with few people it comes close to
a plain logistic. ``docs/calibration.md`` says how this shape was chosen.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._version import __version__
from mien.errors import BadInput, MissingExtra
from mien.matching.calibration import Calibration, CalibrationFacts, HeldOut
from mien.matching.calibration_pairs import BIN_CENTERS, PairCounts, PairSource
from mien.matching.calibration_thresholds import fmr_interval, measured_fmr, threshold_curve

__all__ = [
    "RELIABILITY_BINS",
    "cllr",
    "fit_calibration",
    "hold_out",
    "least_cllr",
    "reliability",
    "require_packages",
]

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

RELIABILITY_BINS = 10
"""Equal bins of claimed probability, 0 to 1."""

_KNOTS = 10
_STIFFNESS = 0.05
# Keeps the curve finite where scores tell mated from non-mated without an error.
_SHRINKAGE = 1e-5
_POINTS_KEPT = 97
_FEWEST_PEOPLE, _FEWEST_PAIRS = 10, 100
_NOMINAL_FMR = 1e-3
_METHOD = f"monotone quadratic spline of {_KNOTS} knots, logistic likelihood at even odds"


def fit_calibration(
    pairs: PairSource,
    space: str,
    *,
    data: str,
    seed: int = 0,
    replicates: int = 500,
    held_out: bool = True,
) -> Calibration:
    """Fit a calibration on all people, after testing the method on a half of them that it was not fitted on.

    Args:
        pairs: ``TemplatePairs`` or ``ListedPairs``.
        space: the embedding space of their scores.
        data: the sets in words, to stand in the calibration.
        seed: of the halves and the resampling.
        replicates: how often people are drawn anew for the intervals.
        held_out: whether to test it first; without enough people in each half there is no test.

    Raises:
        BadInput: fewer than 10 people with mated comparisons, or fewer than 100 comparisons of either kind.
        MissingExtra: scikit-learn is not installed.
    """
    counts = pairs.counts()
    scores, llrs = _fit_curve(counts)
    rates, thresholds, tail, points = threshold_curve(counts, seed=seed, replicates=replicates)
    tested = None
    if held_out:
        try:
            tested = hold_out(pairs, seed=seed, replicates=min(replicates, 200))[0]
        except BadInput:
            tested = None  # too few people for two halves: the calibration says that it was not tested
    curve = np.interp(BIN_CENTERS, scores, llrs)
    facts = CalibrationFacts(
        data=data,
        people=counts.people,
        images=counts.images,
        mated=counts.mated_total,
        non_mated=counts.non_mated_total,
        cllr=round(cllr(curve, counts), 5),
        cllr_min=round(least_cllr(counts), 5),
        method=_METHOD,
        date=datetime.now(timezone.utc).date().isoformat(),
        versions={"mien": __version__, **{n: metadata.version(n) for n in ("numpy", "scikit-learn", "scipy")}},
        held_out=tested,
    )
    return Calibration(space, scores, llrs, rates, thresholds, tail, points, facts)


def hold_out(pairs: PairSource, *, seed: int = 0, replicates: int = 200) -> tuple[HeldOut, HeldOut]:
    """Split the people in two at random; fit on each half, test on the other.

    Returns:
        The test of the second half with what was fitted on the first, and the other way around.

    Raises:
        BadInput: a half has too few people or comparisons.
    """
    order = np.random.default_rng(seed).permutation(pairs.people)
    first = np.zeros(pairs.people, np.bool_)
    first[order[: pairs.people // 2]] = True
    halves = [pairs.counts(first), pairs.counts(~first)]
    tested = [_tested(halves[k], halves[1 - k], seed=seed, replicates=replicates) for k in range(2)]
    return tested[0], tested[1]


def _tested(fitted: PairCounts, other: PairCounts, *, seed: int, replicates: int) -> HeldOut:
    scores, llrs = _fit_curve(fitted)
    _require_enough(other)
    curve = np.interp(BIN_CENTERS, scores, llrs)
    _, _, _, points = threshold_curve(fitted, seed=seed, replicates=20)
    at = next(point.threshold for point in points if point.fmr == _NOMINAL_FMR)
    low, high = fmr_interval(other, at, seed=seed, replicates=replicates)
    rows = reliability(curve, other)
    worst = max((abs(claimed - measured) for _, claimed, measured, _ in rows), default=None)
    return HeldOut(
        other.people,
        round(cllr(curve, other), 5),
        round(least_cllr(other), 5),
        None if worst is None else round(worst, 5),
        measured_fmr(other, at),
        low,
        high,
        _NOMINAL_FMR,
    )


def cllr(llrs: Numbers, counts: PairCounts) -> float:
    """Cost of log-likelihood ratios in bits (Brummer and du Preez 2006); 0 is perfect, 1 is to say nothing.

    Half the mean of log2(1 + 1/LR) over mated comparisons plus half that of log2(1 + LR) over non-mated ones.

    Args:
        llrs: ``(40000,)``, that of each bin of scores.
        counts: the comparisons.
    """
    mated, non_mated = _weights(counts)
    return float(mated @ np.logaddexp(0, -llrs) + non_mated @ np.logaddexp(0, llrs)) / math.log(2)


def least_cllr(counts: PairCounts) -> float:
    """The least Cllr that any likelihood ratio that never falls with the score can have: isotonic regression (PAV)."""
    mated, non_mated = _weights(counts)
    weight = mated + non_mated
    used = weight > 0
    isotonic = _sklearn().IsotonicRegression(y_min=0, y_max=1)
    share = isotonic.fit_transform(BIN_CENTERS[used], mated[used] / weight[used], sample_weight=weight[used])
    share = np.clip(share, 1e-15, 1 - 1e-15)
    return float(-(mated[used] @ np.log2(share)) - non_mated[used] @ np.log2(1 - share))


def reliability(llrs: Numbers, counts: PairCounts, *, fewest: int = 50) -> list[tuple[int, float, float, int]]:
    """Claimed against measured probability at even odds, in ten equal bins of what is claimed.

    Args:
        llrs: ``(40000,)``, that of each bin of scores.
        counts: the comparisons.
        fewest: bins of fewer comparisons are left out.

    Returns:
        The bin's number, mean claimed probability, measured share of mated comparisons, number of comparisons.
    """
    mated, non_mated = _weights(counts)
    claimed = _probabilities(llrs)
    places = np.minimum((claimed * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    rows = []
    for place in range(RELIABILITY_BINS):
        inside = places == place
        count = int(counts.mated[inside].sum() + counts.non_mated[inside].sum())
        weight = (mated + non_mated)[inside]
        if count >= fewest:
            total = float(weight.sum())
            rows.append((place, float(weight @ claimed[inside]) / total, float(mated[inside].sum()) / total, count))
    return rows


def _probabilities(llrs: Numbers) -> Numbers:
    """At even odds; the greatest likelihood ratios overflow nothing."""
    return np.asarray(np.exp(-np.logaddexp(0, -llrs)))


def _weights(counts: PairCounts) -> tuple[Numbers, Numbers]:
    """What each bin's comparisons weigh; mated and non-mated ones one half each in sum."""
    return counts.mated / (2 * counts.mated_total), counts.non_mated / (2 * counts.non_mated_total)


def _require_enough(counts: PairCounts) -> None:
    if counts.mated_people < _FEWEST_PEOPLE:
        raise BadInput(
            f"expected at least {_FEWEST_PEOPLE} people with two images that have a face, got {counts.mated_people}"
        )
    for kind, count in (("mated", counts.mated_total), ("non-mated", counts.non_mated_total)):
        if count < _FEWEST_PAIRS:
            raise BadInput(f"expected at least {_FEWEST_PAIRS} {kind} comparisons, got {count}")


def _fit_curve(counts: PairCounts) -> tuple[Numbers, Numbers]:
    """Scores and log-likelihood ratios of the fitted curve, bounded by what so many comparisons can bear out."""
    _require_enough(counts)
    used = np.flatnonzero(counts.mated + counts.non_mated)
    mated, non_mated = (weights[used] for weights in _weights(counts))
    low, high = (_median(kind) for kind in (counts.non_mated, counts.mated))
    if high <= low:
        raise BadInput(f"expected mated scores above non-mated ones, got medians {high:.3f} and {low:.3f}")
    knots: Numbers = np.asarray(np.linspace(low, high, _KNOTS), np.float64)
    basis = _ramps(BIN_CENTERS[used], knots)
    stiffness = _STIFFNESS / counts.mated_people

    def cost(values: Numbers) -> tuple[float, Numbers]:
        slopes = values[1:]
        llrs = values[0] + basis @ slopes
        change = np.diff(slopes)
        total = float(mated @ np.logaddexp(0, -llrs) + non_mated @ np.logaddexp(0, llrs))
        total += float(stiffness * change @ change + _SHRINKAGE * slopes @ slopes)
        error = (mated + non_mated) * _probabilities(llrs) - mated
        bend = np.concatenate([[0], change]) - np.concatenate([change, [0]])
        slope_part = basis.T @ error + 2 * stiffness * bend + 2 * _SHRINKAGE * slopes
        return total, np.concatenate([[error.sum()], slope_part])

    start = np.concatenate([[-4.0], np.ones(_KNOTS)])
    bounds = [(None, None), *[(0, None)] * _KNOTS]
    found = _optimize().minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000})
    offset, slopes = float(found.x[0]), np.asarray(found.x[1:], np.float64)
    # No likelihood ratio is claimed to be rarer than one in as many comparisons as there were.
    least, most = -math.log(counts.mated_total + 1), math.log(counts.non_mated_total + 1)
    reach = 2.0 + np.abs(knots).max()
    scores: Numbers = np.array([-reach, *np.linspace(low, high, _POINTS_KEPT).tolist(), reach], np.float64)
    llrs = np.asarray(offset + _ramps(scores, knots) @ slopes, np.float64)
    return _bounded(scores, llrs, least, most)


def _bounded(scores: Numbers, llrs: Numbers, least: float, most: float) -> tuple[Numbers, Numbers]:
    """A rising polyline cut off below and above; where it is cut, it gets a corner."""
    first, last = float(llrs[0]), float(llrs[-1])
    corners = [level for level in (least, most) if first < level < last]
    rising = np.concatenate([[True], np.diff(llrs) > 0])
    places = [float(np.interp(level, llrs[rising], scores[rising])) for level in corners]
    everywhere = np.unique(np.concatenate([scores, places]))
    bounded = np.clip(np.interp(everywhere, scores, llrs), least, most)
    inside = (everywhere >= -1) & (everywhere <= 1)
    ends = np.array([-1.0, 1.0])
    kept = np.unique(np.concatenate([everywhere[inside], ends]))
    return kept, np.maximum.accumulate(np.interp(kept, everywhere, bounded))


def _ramps(scores: Numbers, knots: Numbers) -> Numbers:
    """``(n, k)``: for each knot the integral of the hat function that is 1 there and 0 at the others.

    The first and the last hat stay at 1 outside, so that the curve goes on as a straight line.
    """
    place = (scores[:, None] - knots) / (knots[1] - knots[0])
    below, above = np.clip(place, -1, 0), np.clip(place, 0, 1)
    ramps = (below + 1) ** 2 / 2 + above - above**2 / 2
    ramps[:, 0] = 0.5 + np.minimum(place[:, 0], 0) + above[:, 0] - above[:, 0] ** 2 / 2
    ramps[:, -1] = (below[:, -1] + 1) ** 2 / 2 + np.maximum(place[:, -1], 0)
    return np.asarray(ramps)


def _median(bins: Counts) -> float:
    return float(BIN_CENTERS[np.searchsorted(np.cumsum(bins), bins.sum() / 2)])


def require_packages() -> None:
    """Check that what fitting needs is installed, before any work is done.

    Raises:
        MissingExtra: it is not.
    """
    _sklearn()
    _optimize()


def _sklearn() -> Any:
    try:
        from sklearn import isotonic
    except ImportError as error:
        raise MissingExtra("fitting a calibration needs scikit-learn: pip install 'mien[evaluate]'") from error
    return isotonic


def _optimize() -> Any:
    try:
        from scipy import optimize
    except ImportError as error:
        raise MissingExtra("fitting a calibration needs SciPy: pip install 'mien[evaluate]'") from error
    return optimize
