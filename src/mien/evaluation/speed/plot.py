"""Latency against throughput, drawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from mien.errors import MissingExtra, OutputError
from mien.evaluation.speed.scaling import Way

__all__ = ["plot_scaling", "require_plot"]

_FORMATS = (".png", ".svg", ".pdf")
_SIZE_INCHES = (7.0, 4.6)
_LABELS = {"threads": "one instance of n threads", "instances": "n instances of one thread"}
_COLORS = {"threads": "#1f5fa8", "instances": "#c2571a"}


def require_plot(path: Path) -> None:
    """Check that a plot can be drawn into a file, before minutes are spent on its figures; makes nothing.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file's folder does not exist, or its name says no format that can be drawn.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("plots need matplotlib: pip install 'mien[evaluate]'")
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(_FORMATS)}, got {path.suffix!r}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: expected a file in a folder that exists")


def plot_scaling(ways: Sequence[Way], path: Path, *, title: str) -> None:
    """Draw each way as a point, latency against throughput, into a PNG, SVG or PDF.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    require_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    single = [way for way in ways if way.n == 1]
    for kind, label in _LABELS.items():
        # One thread is where both ways begin.
        line = sorted([*(w for w in ways if w.kind == kind and w.n > 1), *single], key=lambda w: w.n)
        x, y = [way.images_per_second for way in line], [way.times.median_ms for way in line]
        late = [way.times.p95_ms - way.times.median_ms for way in line]
        axes.errorbar(x, y, yerr=[[0.0] * len(y), late], fmt="o-", capsize=3, color=_COLORS[kind], label=label)
        for way in line:
            at = (way.images_per_second, way.times.median_ms)
            axes.annotate(f"n = {way.n}", at, xytext=(6, 6), textcoords="offset points", color=_COLORS[kind])
    axes.set_xlabel("images a second, all instances together")
    axes.set_ylabel("one call: median, up to the 95th percentile (ms)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1.15 * max(way.images_per_second for way in ways))
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error
