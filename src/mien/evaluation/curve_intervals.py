"""Intervals of what is computed from all scores: EER and AUC."""

from __future__ import annotations

import math

import numpy as np

from mien.evaluation.clustering import shares_of_people
from mien.evaluation.comparisons import Comparisons, ScoreArray
from mien.evaluation.intervals import Interval, wilson
from mien.evaluation.rates import ErrorRates

__all__ = ["auc_interval", "eer_interval"]

_WINDOW = 1.5


def auc_interval(comparisons: Comparisons, level: float = 0.95) -> Interval:
    """The interval of AUC.

    A comparison's part in it is the share of the other kind that it is on the right side of (DeLong and others 1988).

    Raises:
        BadInput: all comparisons that were made are of one kind, or the level is not between 0 and 1.
    """
    made = comparisons.compared
    rates = ErrorRates.of(made)
    parts = np.empty(len(made))
    for mated in (True, False):
        chosen = made.mated == mated
        others, own = np.sort(made.scores[~chosen]), made.scores[chosen]
        lower = (np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")) / 2 / len(others)
        parts[chosen] = _centered(lower if mated else 1 - lower)
    return _interval(rates.auc(), parts, made, level)


def eer_interval(comparisons: Comparisons, level: float = 0.95) -> Interval:
    """The interval of EER.

    Where FMR is a little too high, the two curves meet at a higher threshold and so at a lower FMR: of an excess of
    one rate, EER takes the share that the other's slope has in both slopes. These are measured between two thirds and
    one and a half times the EER.

    Raises:
        BadInput: all comparisons that were made are of one kind, or the level is not between 0 and 1.
    """
    made = comparisons.compared
    rates = ErrorRates.of(made)
    found, threshold = rates.eer(), rates.eer_threshold()
    low, high = (rates.threshold_at_fmr(min(found * by, 1.0)) for by in (_WINDOW, 1 / _WINDOW))
    falls, rises = rates.fmr(low) - rates.fmr(high), rates.fnmr(high) - rates.fnmr(low)
    share = falls / (falls + rises) if falls + rises > 0 else 0.5
    parts = np.empty(len(made))
    parts[made.mated] = share * _centered(made.mated_scores < threshold)
    parts[~made.mated] = (1 - share) * _centered(made.non_mated_scores >= threshold)
    return _interval(found, parts, made, level)


def _centered(values: ScoreArray | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> ScoreArray:
    """What each of one kind adds to a mean, less the mean."""
    return np.asarray((values - values.mean()) / len(values), dtype=np.float64)


def _interval(point: float, parts: ScoreArray, comparisons: Comparisons, level: float) -> Interval:
    """Wilson's, with as many trials as give a sum of these parts its variance over people.

    Where nothing varies (no error was seen) each person counts as one trial.
    """
    together, _ = shares_of_people(parts, comparisons.left_identities, comparisons.right_identities)
    people = len(together)
    variance = float(together.sum())
    trials, freedom = float(people), math.inf
    least = float(parts @ parts)
    if max(variance, least) > 0 and 0 < point < 1:
        # Satterthwaite's, of a sum of as many squares as there are people.
        spread = float(together @ together) / variance**2 - 1 / people if variance > 0 else 0.0
        freedom = 2 / spread if spread > 0 else math.inf
        trials = point * (1 - point) / max(variance, least)
    found = wilson(point * trials, trials, level, freedom=freedom)
    return Interval(found.low, found.high, level, "clustered-wilson")
