"""The drawings of 1:1 evaluations: one run, or several over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.evaluation.comparisons import Comparisons
from mien.evaluation.differential import Differentials
from mien.evaluation.discard import PARTIAL_AREAS, DiscardCurve
from mien.evaluation.rates import ErrorRates
from mien.evaluation.report.curves import det_band, det_points, precision_points, thinned
from mien.evaluation.report.drawing import Frame, GroupDots, Line, Mark, draw_dots, draw_histogram, draw_lines
from mien.evaluation.report.svg import Plot
from mien.evaluation.report.wording import percent, short_percent, shown
from mien.evaluation.uncertainty import Uncertainty

__all__ = ["det_plot", "discard_plot", "group_plot", "precision_plot", "roc_plot", "score_plot"]

MOST_GROUPS = 24
"""Groups that are drawn; more of them stand in the table alone."""

_BAND_REPLICATES = 200
# Of millions of comparisons fewer are drawn, so that a band takes no more than a minute.
_FEWEST_REPLICATES = 20
_MOST_WEIGHED = 10**8
_RATES_TOLD = (1e-1, 1e-2, 1e-3, 1e-4)
_RULE_OF_30 = 30
# Axes begin a little before one false match, so that what is there can be seen.
_ROOM = 0.7
_MOST_DISCARDED = 0.5
_PERFECT = 0.999
_LEAST_TOP = 1e-3


def det_plot(
    runs: Sequence[tuple[str, Comparisons]], uncertainty: Uncertainty, *, threshold: float | None = None
) -> Plot:
    """FNMR over FMR on logarithmic axes, with a band of confidence.

    Args:
        runs: a label and the trials of each.
        uncertainty: how a band is made; at most 200 replicates are drawn for it.
        threshold: the operating threshold, to be pointed out on the first run's curve.
    """
    most = max(_FEWEST_REPLICATES, _MOST_WEIGHED // max(1, len(runs[0][1])))
    drawn = min(uncertainty.replicates, _BAND_REPLICATES, most)
    lines, told, bands = [], [], 0
    made = [(label, trials.compared) for label, trials in runs]
    for label, trials in made:
        rates = ErrorRates.of(trials)
        band = det_band(trials, replace(uncertainty, replicates=drawn))
        bands += band is not None
        x, y = det_points(rates)
        # Drawn on to the right end, where FNMR is 0 and cannot stand on a logarithmic axis.
        x, y = thinned(x, y, log_x=True, log_y=True)
        lines.append(Line(label, x, y, "steps", band))
        told.append(_sentence(label, _told(rates)))
    first = ErrorRates.of(made[0][1])
    floor = min(1 / ErrorRates.of(trials).mated for _, trials in made) / 2
    marks: tuple[Mark, ...] = ()
    if threshold is not None and first.fmr(threshold) > 0 and first.fnmr(threshold) > 0:
        marks = (Mark(f"operating threshold {shown(threshold, 'score')}", first.fmr(threshold), first.fnmr(threshold)),)
    frame = Frame(
        "false match rate",
        "false non-match rate",
        x_log=True,
        y_log=True,
        x_limits=(_ROOM / first.non_mated, 1.0),
        y_limits=(floor, 1.0),
        marks=marks,
        few_below=_RULE_OF_30 / first.non_mated,
    )
    note = f"Band: {short_percent(uncertainty.level)} interval, {drawn} replicates over people. " if bands else ""
    return draw_lines(
        "det",
        "Detection error trade-off (DET)",
        frame,
        lines,
        description=" ".join(told),
        caption=f"{note}Lower is better. Shaded: fewer than 30 false matches to be expected (rule of 30).",
    )


def roc_plot(runs: Sequence[tuple[str, Comparisons]]) -> Plot:
    """True match rate over FMR on a logarithmic axis."""
    lines, told = [], []
    made = [(label, ErrorRates.of(trials.compared)) for label, trials in runs]
    for label, rates in made:
        x, fnmr = det_points(rates)
        lines.append(Line(label, *thinned(x, 1 - fnmr, log_x=True), kind="steps"))
        told.append(_sentence(label, f"area under the curve {percent(rates.auc())}."))
    count = max(rates.non_mated for _, rates in made)
    frame = Frame(
        "false match rate",
        "true match rate",
        x_log=True,
        x_limits=(_ROOM / count, 1.0),
        few_below=_RULE_OF_30 / count,
    )
    return draw_lines(
        "roc",
        "Receiver operating characteristic (ROC)",
        frame,
        lines,
        description=" ".join(told),
        caption="Higher is better; the vertical axis does not start at 0.",
    )


def precision_plot(runs: Sequence[tuple[str, Comparisons]]) -> Plot:
    """Precision over recall."""
    lines = [Line(label, *precision_points(ErrorRates.of(trials.compared))) for label, trials in runs]
    share = float(runs[0][1].compared.mated.mean())
    # Where nothing is wrong yet there is nothing to see.
    starts = [float(line.x[int(np.argmax(line.y < _PERFECT))]) if (line.y < _PERFECT).any() else 0.9 for line in lines]
    left = max(0.0, math.floor(20 * min(starts) - 1) / 20)
    seen = [line.y[line.x >= left] for line in lines]
    told = [
        _sentence(line.label, f"precision is below 99.9 % from recall {percent(start)} on.")
        for line, start in zip(lines, starts, strict=True)
    ]
    low = min(float(part.min()) for part in seen)
    return draw_lines(
        "precision",
        "Precision and recall",
        Frame("recall (true match rate)", "precision", x_limits=(left, 1.005), y_limits=(low - 0.02, 1.01)),
        lines,
        description=" ".join(told),
        caption=(
            f"Precision is of these trials, of which {percent(share)} are mated; with another share it is another. "
            "The axes do not start at 0."
        ),
    )


def score_plot(comparisons: Comparisons, thresholds: Sequence[Mark]) -> Plot:
    """How the scores of both kinds are spread, with thresholds."""
    mated, non_mated = comparisons.mated_scores, comparisons.non_mated_scores
    middle = [float(np.median(found)) for found in (mated, non_mated)]
    marks = ", ".join(f"{mark.label} {shown(mark.x, 'score')}" for mark in thresholds)
    return draw_histogram(
        "scores",
        "Scores",
        [("different people", non_mated), ("same person", mated)],
        thresholds,
        description=f"Median of mated scores {middle[0]:.3f}, of non-mated scores {middle[1]:.3f}; {marks}.",
        caption="Shares of mated and of non-mated comparisons, each kind summing to 100 %.",
    )


def discard_plot(curve: DiscardCurve) -> Plot:
    """Error versus discard, between the ideal and a quality that says nothing."""
    x, y = thinned(curve.fractions, curve.errors)
    places = np.linspace(0, _MOST_DISCARDED, 201)
    first = curve.false_non_matches / curve.comparisons
    lines = [
        Line("by unified quality", x, y, "steps"),
        Line("ideal: every discard an error", places, curve.ideal_at(places)),
        Line("quality says nothing", np.array([0.0, 1.0]), np.array([first, first]), faint=True),
    ]
    told = ", ".join(
        f"{percent(curve.error_at(share))} after {short_percent(share)} are discarded"
        for share in (0.0, *PARTIAL_AREAS)
    )
    top = max(float(y[x <= _MOST_DISCARDED].max()), first, _LEAST_TOP)
    frame = Frame(
        "share of mated comparisons discarded", "FNMR", x_limits=(0, _MOST_DISCARDED), y_limits=(0, 1.3 * top)
    )
    return draw_lines(
        "discard",
        "Error versus discard",
        frame,
        lines,
        description=f"FNMR {told}.",
        caption=f"Worst quality first, at the fixed threshold {shown(curve.threshold, 'score')}. Lower is better.",
    )


def group_plot(found: Differentials) -> Plot | None:
    """FMR and FNMR of each group; None for too many groups, or where none has a rate."""
    if not 0 < len(found.names) <= MOST_GROUPS:
        return None
    panels = []
    for label, rates in (("FMR", found.fmr), ("FNMR", found.fnmr)):
        ends = [(math.nan, math.nan) if r.interval is None else (r.interval.low, r.interval.high) for r in rates]
        values = np.array([rate.rate for rate in rates])
        if np.isfinite(values).any():
            low, high = (np.array([end[k] for end in ends]) for k in range(2))
            panels.append(GroupDots(label, found.names, values, low, high))
    if not panels:
        return None
    told = "; ".join(
        f"{name}: {', '.join(f'{panel.x_label} {percent(float(panel.values[k]))}' for panel in panels)}"
        for k, name in enumerate(found.names)
    )
    return draw_dots(
        "groups",
        "Error rates of groups",
        panels,
        description=f"{told}.",
        caption=f"Within each group at one threshold for all, {shown(found.threshold, 'score')}, with intervals.",
    )


def _told(rates: ErrorRates) -> str:
    points = []
    for rate in _RATES_TOLD:
        if rate * rates.non_mated >= 1:
            points.append(f"{percent(rates.fnmr_at_fmr(rate))} at FMR {short_percent(rate)}")
    if not points:
        return f"Only {rates.non_mated} non-mated comparisons: too few to state a rate."
    return f"FNMR {', '.join(points)}."


def _sentence(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text[:1].upper() + text[1:]
