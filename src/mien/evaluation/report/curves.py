"""The points of a report's curves: no more of them than can be seen, and a band of confidence."""

from __future__ import annotations

from functools import partial

import numpy as np

from mien.errors import BadInput
from mien.evaluation.bootstrap import bootstrap_many
from mien.evaluation.comparisons import Comparisons, ScoreArray
from mien.evaluation.rates import ErrorRates
from mien.evaluation.uncertainty import Uncertainty

__all__ = ["Band", "det_band", "det_points", "precision_points", "thinned"]

Band = tuple[ScoreArray, ScoreArray, ScoreArray]
"""Places along the horizontal axis, lower ends and upper ends."""

_STEPS = 500
_BAND_POINTS = 21


def thinned(x: ScoreArray, y: ScoreArray, *, log_x: bool = False, log_y: bool = False) -> tuple[ScoreArray, ScoreArray]:
    """The points of a curve that can be told apart on a drawing of 500 by 500 places.

    Args:
        x: ``(n,)`` in the order of the curve.
        y: ``(n,)``.
        log_x: whether the axis is logarithmic; then points at or below 0 are left out.
        log_y: likewise.
    """
    seen = np.ones(len(x), np.bool_)
    if log_x:
        seen &= x > 0
    if log_y:
        seen &= y > 0
    x, y = x[seen], y[seen]
    if len(x) < 3:
        return x, y
    places = np.stack([_places(x, log_x), _places(y, log_y)])
    moved = np.any(np.diff(places, axis=1) != 0, axis=0)
    # The point before a move is kept as well: between the two the curve may have stood still for long.
    kept = np.concatenate([[True], moved]) | np.concatenate([moved, [True]])
    return x[kept], y[kept]


def det_points(rates: ErrorRates) -> tuple[ScoreArray, ScoreArray]:
    """``(fmr, fnmr)`` by ascending FMR, where FMR is above 0; between two points the FNMR is the left one's."""
    fmr, fnmr, _ = rates.det()
    order = slice(None, None, -1)
    fmr, fnmr = fmr[order], fnmr[order]
    # Of all points of one FMR the last is that of the lowest threshold.
    last = np.concatenate([fmr[1:] != fmr[:-1], [True]]) & (fmr > 0)
    return fmr[last], fnmr[last]


def precision_points(rates: ErrorRates) -> tuple[ScoreArray, ScoreArray]:
    """``(recall, precision)`` by ascending recall, from the first match on."""
    precision, recall, _ = rates.pr()
    found = recall > 0
    return thinned(recall[found][::-1], precision[found][::-1])


def det_band(comparisons: Comparisons, uncertainty: Uncertainty) -> Band | None:
    """FNMR's interval at false match rates from one false match on, by the bootstrap over people.

    Args:
        comparisons: the trials.
        uncertainty: how intervals are made; fewer than 2 replicates give no band.

    Returns:
        The band, or None where people are too few to draw from.
    """
    if uncertainty.replicates < 2:
        return None
    rates = ErrorRates.of(comparisons)
    asked = np.logspace(-np.log10(rates.non_mated), 0, _BAND_POINTS)
    statistics = {f"{k}": partial(ErrorRates.fnmr_at_fmr, rate=min(float(r), 1.0)) for k, r in enumerate(asked)}
    try:
        found = bootstrap_many(
            comparisons,
            statistics,
            replicates=uncertainty.replicates,
            seed=uncertainty.seed,
            level=uncertainty.level,
            progress=uncertainty.told,
        )
    except BadInput:
        return None
    ends = [found[f"{k}"] for k in range(len(asked))]
    return asked, np.array([end.low for end in ends]), np.array([end.high for end in ends])


def _places(values: ScoreArray, log: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    scaled = np.log(values) if log else values
    width = float(np.ptp(scaled))
    return (
        np.zeros(len(values), np.int64) if width == 0 else ((scaled - scaled.min()) / width * _STEPS).astype(np.int64)
    )
