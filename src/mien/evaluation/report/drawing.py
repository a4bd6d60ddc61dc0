"""Drawings of lines, of histograms and of rates with their intervals, all in one manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from mien.evaluation.comparisons import ScoreArray
from mien.evaluation.report.curves import Band
from mien.evaluation.report.svg import FAINT, INK, SERIES, Plot, draw
from mien.evaluation.report.wording import short_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing

__all__ = ["Frame", "GroupDots", "Line", "Mark", "draw_dots", "draw_histogram", "draw_lines"]

_DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_BARS = ("-", (0, (4, 1)))
_BINS = 60
_WIDE_LABEL = 32


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line with its label.

    Attributes:
        label: in the legend; empty for none.
        x: ``(n,)``.
        y: ``(n,)``.
        kind: straight, by steps (the left point's value holds up to the next), or points by themselves.
        band: an interval around it, or None.
        faint: whether it is a reference only.
    """

    label: str
    x: ScoreArray
    y: ScoreArray
    kind: Literal["line", "steps", "points"] = "line"
    band: Band | None = None
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A place that is pointed out: an operating point, or where the data end.

    Attributes:
        label: in the legend.
        x: where.
        y: where; None for a line over the whole height.
    """

    label: str
    x: float
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What lines are drawn in.

    Attributes:
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        x_log: whether it is logarithmic.
        y_log: whether it is logarithmic.
        x_limits: of the axis, or None for what is drawn.
        y_limits: of the axis, or None for what is drawn.
        x_rate: whether its numbers are rates, to be shown in percent.
        y_rate: whether its numbers are rates, to be shown in percent.
        x_whole: whether its numbers are whole ones.
        marks: places pointed out.
        few_below: left of this the data hardly reach; None for no such part.
    """

    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    x_rate: bool = True
    y_rate: bool = True
    x_whole: bool = False
    marks: tuple[Mark, ...] = ()
    few_below: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GroupDots:
    """One rate of several groups: name, value and ends of the interval, each ``(g,)``; NaN where there is none."""

    x_label: str
    names: tuple[str, ...]
    values: ScoreArray
    low: ScoreArray
    high: ScoreArray


def draw_lines(
    name: str, title: str, frame: Frame, lines: Sequence[Line], *, description: str, caption: str = ""
) -> Plot:
    """Draw lines in a frame; those that are no references differ in color and in dashes."""

    def paint(drawing: Drawing) -> None:
        axes = drawing.add_subplot()
        _prepare(axes, frame)
        number = 0
        for line in lines:
            color, dash = (FAINT, ":") if line.faint else (SERIES[number % len(SERIES)], _DASHES[number % len(_DASHES)])
            number += not line.faint
            if line.band is not None:
                places, low, high = line.band
                axes.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)
            style = "steps-post" if line.kind == "steps" else "default"
            alone = line.kind == "points"
            axes.plot(
                line.x,
                line.y,
                color=color,
                linestyle="" if alone else dash,
                drawstyle=style,
                marker="o" if alone else "",
                markersize=5,
                label=line.label or "_",
            )
        _mark(axes, frame)
        if any(line.label for line in lines) or frame.marks:
            _label(drawing, axes)

    return draw(name, title, paint, description=description, caption=caption)


def draw_histogram(
    name: str,
    title: str,
    scores: Sequence[tuple[str, ArrayLike]],
    thresholds: Sequence[Mark],
    *,
    description: str,
    caption: str = "",
) -> Plot:
    """Draw how scores of several kinds are spread, each kind's shares summing to 1."""
    values = [(label, np.asarray(found, np.float64)) for label, found in scores]
    ends = np.concatenate([found for _, found in values])
    low, high = float(ends.min()), float(ends.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)

    def paint(drawing: Drawing) -> None:
        axes = drawing.add_subplot()
        frame = Frame("comparison score", "share of comparisons", x_rate=False, marks=tuple(thresholds))
        _prepare(axes, frame)
        for number, (label, found) in enumerate(values):
            heights = np.histogram(found, edges)[0] / max(len(found), 1)
            color = SERIES[number]
            axes.stairs(heights, edges, color=color, fill=True, alpha=0.25)
            axes.stairs(heights, edges, color=color, linestyle=_BARS[number], linewidth=1.4, label=label)
        axes.set_ylim(bottom=0)
        _mark(axes, frame)
        _label(drawing, axes)

    return draw(name, title, paint, description=description, caption=caption)


def draw_dots(name: str, title: str, panels: Sequence[GroupDots], *, description: str, caption: str = "") -> Plot:
    """Draw one panel a rate: a dot for each group, with its interval."""
    rows = len(panels[0].names)

    def paint(drawing: Drawing) -> None:
        for axes, panel in zip(np.ravel(drawing.subplots(1, len(panels), sharey=True)), panels, strict=True):
            places = np.arange(rows)[::-1]
            known = np.isfinite(panel.values)
            reach = np.stack([panel.values - panel.low, panel.high - panel.values])
            errors = np.clip(np.nan_to_num(reach), 0, None)
            axes.errorbar(
                panel.values[known],
                places[known],
                xerr=errors[:, known],
                fmt="o",
                color=SERIES[0],
                capsize=3,
                markersize=5,
            )
            axes.set_xlabel(panel.x_label)
            axes.set_yticks(places, panel.names)
            axes.set_ylim(-0.6, rows - 0.4)
            # A little beyond 0, so that a dot there is whole.
            axes.set_xlim(left=-0.04 * axes.get_xlim()[1])
            _in_percent(axes.xaxis)
            axes.locator_params(axis="x", nbins=4)

    size = (5.2, 1.3 + 0.28 * rows)
    return draw(name, title, paint, description=description, caption=caption, size_inches=size)


def _label(drawing: Drawing, axes: Axes) -> None:
    """The legend, above the drawing, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > _WIDE_LABEL else 2
    drawing.legend(handles, labels, loc="outside upper left", ncols=columns)


def _prepare(axes: Axes, frame: Frame) -> None:
    axes.set_xlabel(frame.x_label)
    axes.set_ylabel(frame.y_label)
    if frame.x_log:
        axes.set_xscale("log")
    if frame.y_log:
        axes.set_yscale("log")
    if frame.x_limits is not None:
        axes.set_xlim(*frame.x_limits)
    if frame.y_limits is not None:
        axes.set_ylim(*frame.y_limits)
    if frame.x_whole:
        axes.locator_params(axis="x", integer=True)
    if frame.x_rate:
        _in_percent(axes.xaxis, frame.x_log)
    if frame.y_rate:
        _in_percent(axes.yaxis, frame.y_log)


def _in_percent(axis: Axis, log: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if log:
        axis.set_major_locator(LogLocator(10, numticks=8))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _place: short_percent(round(value, 12))))


def _mark(axes: Axes, frame: Frame) -> None:
    if frame.few_below is not None:
        left, right = axes.get_xlim()
        if left < frame.few_below:
            axes.axvspan(left, min(frame.few_below, right), color=FAINT, alpha=0.18, linewidth=0)
            axes.set_xlim(left, right)
    for mark in frame.marks:
        if mark.y is None:
            axes.axvline(mark.x, color=INK, linewidth=1.2, linestyle="--", label=mark.label)
        else:
            axes.plot([mark.x], [mark.y], "D", color=INK, markersize=6, label=mark.label, linestyle="")
