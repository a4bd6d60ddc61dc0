"""Face masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.training.augmentation.drawing_lots import between, one_of
from mien.training.augmentation.occlusion.head import Head, Points
from mien.training.augmentation.occlusion.painting import Color, Sheet, light_on, tinted
from mien.training.augmentation.settings import MaskSettings, MaskShape
from mien.types import ImageArray

__all__ = ["mask"]

_WHITE: Color = (236, 238, 240)
_PAPER: tuple[Color, ...] = (_WHITE, (150, 195, 225), (120, 180, 215), (160, 215, 205), (40, 42, 46), (235, 175, 190))
_CLOTH: tuple[Color, ...] = (
    (32, 33, 36),
    (60, 70, 100),
    (130, 40, 48),
    (90, 95, 90),
    (205, 190, 160),
    (45, 85, 70),
    (170, 175, 182),
    (190, 120, 140),
)
_ACROSS, _DOWN = 14, 9
_EAR = (2.1, 0.3, -2.3)
# From which side light comes, a little from above, in the camera's axes.
_TO_LIGHT = np.array((0.1, -0.45, 0.89))


@dataclass(frozen=True, slots=True)
class _Cut:
    """What one shape of mask is like, in the head's units (halves of the distance between the eyes).

    Attributes:
        top: y of the upper edge in the middle.
        cheek: y of the upper edge at the sides.
        jaw: y of the lower edge at the sides.
        bottom: y of the lower edge in the middle; chins end at about 3.4.
        wide: half its width above.
        narrow: half its width below.
        out: how far it stands off the face in the middle.
        pleats: how many.
        colors: of which one is taken.
    """

    top: float
    cheek: float
    jaw: float
    bottom: float
    wide: float
    narrow: float
    out: float
    pleats: int
    colors: tuple[Color, ...]


_CUTS: dict[MaskShape, _Cut] = {
    "surgical": _Cut(0.42, 1.0, 2.45, 3.5, 1.95, 1.35, 0.12, 3, _PAPER),
    "cup": _Cut(0.3, 1.3, 2.3, 3.55, 1.85, 1.0, 0.5, 0, (_WHITE, _WHITE, (40, 42, 46), (205, 205, 200))),
    "cloth": _Cut(0.5, 0.75, 2.75, 3.6, 2.1, 1.55, 0.08, 0, _CLOTH),
    "low": _Cut(1.42, 1.5, 2.6, 3.6, 1.9, 1.4, 0.1, 3, (*_PAPER, *_CLOTH[:3])),
}
# How far faces stand out along the middle line, by y: bridge and tip of the nose, lip, chin, throat.
_PROFILE_Y = np.array((0.0, 0.45, 0.95, 1.25, 1.9, 2.6, 3.1, 3.45, 3.8))
_PROFILE_Z = np.array((0.4, 0.75, 1.25, 1.0, 0.85, 0.75, 0.6, 0.2, -0.6))


def mask(image: ImageArray, head: Head, settings: MaskSettings, random: np.random.Generator) -> ImageArray:
    """A face with a mask on: a mesh over nose, cheeks and chin, lit as the face is, with loops to the ears."""
    cut = _CUTS[one_of(random, settings.shapes)]
    color = tinted(one_of(random, cut.colors), settings.variety, random)
    points, across = _surface(cut, settings.variety, random)
    seen, near = head.seen(points), head.nearness(points)
    sheet = Sheet(head.side)
    _loops(sheet, head, points, tinted(_WHITE, settings.variety, random))
    corners = _quads(seen)
    order = np.argsort(_quads(near[..., None])[..., 0].mean(axis=1), kind="stable")
    shade = _shade(head, points)
    if cut.pleats:
        # A fold is dark below its edge, and less so toward the sides, where it is held flat.
        rows = np.linspace(0, cut.pleats, _DOWN) % 1
        shade *= 1 - 0.16 * (rows[:, None] < 0.34) * (1 - across[None, :] ** 2)
    # Seams first: the half of them that lies on the mask, or behind it, is painted over.
    seam = tuple(level * 0.75 for level in color)
    for row in (0, -1):
        sheet.line(seen[row], (seam[0], seam[1], seam[2]), 0.08 * head.unit_px)
    sheet.mesh(corners, shade.reshape(-1, 1) * np.asarray(color), order)
    sheet.soften(0.35)
    return sheet.over(image, light_on(image))


def _surface(cut: _Cut, variety: float, random: np.random.Generator) -> tuple[Points, Points]:
    """``(rows, columns, 3)`` points of the mask on the head, and where between the sides each column's cells are."""

    def about(value: float, reach: float) -> float:
        return value + variety * between(random, -reach, reach)

    top, cheek, jaw, bottom = about(cut.top, 0.3), about(cut.cheek, 0.2), about(cut.jaw, 0.25), about(cut.bottom, 0.2)
    wide, narrow, out = about(cut.wide, 0.15), about(cut.narrow, 0.2), max(0.05, about(cut.out, 0.15))
    skew = variety * between(random, -0.12, 0.12)
    u = np.linspace(-1, 1, _ACROSS + 1)[None, :]
    v = np.linspace(0, 1, _DOWN + 1)[:, None]
    above = top + (cheek - top) * np.abs(u) ** 1.3 + skew * u
    below = bottom + (jaw - bottom) * np.abs(u) ** 2.2 + skew * u
    y = above + v * (below - above)
    half = wide + (narrow - wide) * v**2
    x = u * half
    ridge = np.interp(y[:, _ACROSS // 2], _PROFILE_Y, _PROFILE_Z)[:, None]
    # Cloth spans what lies between nose and chin, and follows cheeks and jaw to the sides.
    spanned = np.maximum(ridge, np.interp(v, (0, 1), (float(ridge[0, 0]), float(ridge[-1, 0])))) + out * 4 * v * (1 - v)
    sides = -1.25 - 0.35 * v
    bulge = (1 - np.abs(u) ** 1.8) * (1 + 0.15 * out * (1 - u**2))
    z = sides + (spanned - sides) * bulge
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1), (u[0, 1:] + u[0, :-1]) / 2


def _quads(grid: Points) -> Points:
    """``(cells, 4, k)`` the corners of a grid's cells, ``grid`` being ``(rows, columns, k)``."""
    cells = np.stack((grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]), axis=2)
    return cells.reshape(-1, 4, grid.shape[-1])


def _shade(head: Head, points: Points) -> Points:
    """``(rows - 1, columns - 1)`` how bright cells are, by the way it faces: Lambert's law and some light for all."""
    turned = points @ head.turn.T
    # y points down and z to the camera, so the cross product of right and down points to the camera.
    normal = np.cross(turned[:-1, 1:] - turned[:-1, :-1], turned[1:, :-1] - turned[:-1, :-1])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return np.asarray(0.62 + 0.42 * np.maximum(normal @ _TO_LIGHT, 0))


def _loops(sheet: Sheet, head: Head, points: Points, color: Color) -> None:
    """From the mask's corners to the ears, on the sides that are seen."""
    for sign, column in ((-1.0, 0), (1.0, -1)):
        if head.nearness((sign, 0.0, 0.15)) < 0.1:
            continue
        ear = np.array((sign * _EAR[0], _EAR[1], _EAR[2]))
        for row, end in ((0, ear), (-1, ear + np.array((0.0, 1.1, 0.0)))):
            sheet.line(head.seen(np.stack((points[row, column], end))), color, 0.07 * head.unit_px)
