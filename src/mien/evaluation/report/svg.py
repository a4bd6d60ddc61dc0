"""Drawings as SVG that stands inside a page: takes its colors from the page's style, and needs nothing from outside.

Matplotlib knows fixed colors alone, so drawings are made in stand-ins, which become the style's variables; these have
other values in the light, in the dark and on paper.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtra

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure as Drawing

__all__ = ["FAINT", "INK", "SERIES", "Plot", "draw", "require_packages"]

INK = "#010101"
"""Stand-in for the color of text and axes."""

FAINT = "#010102"
"""Stand-in for the color of grids and reference lines."""

SERIES = ("#010111", "#010112", "#010113", "#010114", "#010115", "#010116")
"""Stand-ins for the colors of lines, after Okabe and Ito's palette for all kinds of color vision."""

_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES, 1)},
}
# Small, so that on a phone, where a drawing is as wide as the screen, its letters are not too small to read.
_SIZE_INCHES = (5.2, 3.7)
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "text.color": INK,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}
# Matplotlib's settings belong to the whole process.
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing for the page.

    Attributes:
        name: unique in the page.
        title: in a few words.
        description: what it shows, in numbers, for those who cannot see it.
        caption: what a reader has to know.
        svg: the drawing.
    """

    name: str
    title: str
    description: str
    caption: str
    svg: Markup


def require_packages() -> None:
    """Check that what reports are made with is installed.

    Raises:
        MissingExtra: it is not.
    """
    # Looked for only: to import them takes seconds.
    missing = [name for name in ("jinja2", "matplotlib", "sklearn") if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"reports need {', '.join(missing)}: pip install 'mien[evaluate]'")


def draw(
    name: str,
    title: str,
    paint: Callable[[Drawing], None],
    *,
    description: str,
    caption: str = "",
    size_inches: tuple[float, float] = _SIZE_INCHES,
) -> Plot:
    """Have something painted, and make it fit to stand in a page.

    Args:
        name: unique in the page; letters, digits and hyphens.
        title: in a few words.
        paint: paints on an empty drawing, in ``INK``, ``FAINT`` and ``SERIES`` alone.
        description: for those who cannot see it.
        caption: below it.
        size_inches: width and height.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    require_packages()
    from markupsafe import Markup
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    with _LOCK, rc_context(_STYLE):
        drawing = Drawing(figsize=size_inches, layout="constrained", facecolor="none")
        paint(drawing)
        text = io.StringIO()
        drawing.savefig(text, format="svg", metadata={"Date": None})
    label = f"{title}. {description}"
    return Plot(name, title, description, caption, Markup(_inlined(text.getvalue(), name, label)))


def _inlined(svg: str, name: str, label: str) -> str:
    """A whole SVG file as an element of a page: no prologue, names of its own, the page's colors and letters."""
    body = svg[svg.index("<svg") :]
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    shape = "" if box is None else box.group()
    rest = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", rest, flags=re.DOTALL)
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = rest.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    rest = re.sub(r"font: (?:\w+ )*?([\d.]+px) [^;\"]*", r"font-size: \1", rest)
    for color, variable in _VARIABLES.items():
        rest = rest.replace(color, variable)
    return f'<svg role="img" aria-label="{escape(label)}" {shape}>{rest.strip()}'
