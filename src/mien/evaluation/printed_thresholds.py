"""Thresholds in few digits that decide alike, so that what is printed gives the rates that are printed beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from mien.evaluation.comparisons import ScoreArray
from mien.evaluation.figures import Figure

__all__ = ["rounded_figure", "rounded_threshold"]

_FEWEST_DECIMALS = 4
_MOST_DECIMALS = 17


def rounded_threshold(threshold: float, *scores: ScoreArray, least: float = -math.inf, most: float = math.inf) -> float:
    """A threshold of the fewest decimals, at least 4, at which the same scores match as at ``threshold``.

    Args:
        threshold: what is to be rounded, up where that does, else down.
        scores: ``(n,)`` each; NaN matches nothing.
        least: the result is no lower, as the lower end of an interval.
        most: the result is no higher.

    Returns:
        The rounded threshold, or ``threshold`` itself where no decimal of up to 17 digits will do.
    """
    low, high = -math.inf, most
    for part in scores:
        matching = part >= threshold
        low = max(low, float(np.max(part[part < threshold], initial=-math.inf)))
        high = min(high, float(np.min(part[matching], initial=math.inf)))
    for decimals in range(_FEWEST_DECIMALS, _MOST_DECIMALS + 1):
        for rounding in (ROUND_CEILING, ROUND_FLOOR):
            found = float(Decimal(threshold).quantize(Decimal(1).scaleb(-decimals), rounding))
            if low < found <= high and found >= least:
                return found
    return threshold


def rounded_figure(figure: Figure, *scores: ScoreArray) -> Figure:
    """A threshold at a rate in as few decimals as decide alike and lie within its interval; others as they are.

    Args:
        figure: with its interval, if it has one.
        scores: what it decides, as for ``rounded_threshold``.
    """
    if not figure.name.startswith("threshold_at_") or figure.value is None:
        return figure
    ends = {} if figure.interval is None else {"least": figure.interval.low, "most": figure.interval.high}
    return replace(figure, value=rounded_threshold(figure.value, *scores, **ends))
