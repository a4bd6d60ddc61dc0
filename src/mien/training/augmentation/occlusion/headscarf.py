"""Headscarves: cloth around the face, over hair, ears and neck."""

from __future__ import annotations

import cv2
import numpy as np

from mien.training.augmentation.drawing_lots import between, one_of, whole
from mien.training.augmentation.occlusion.head import Head, Points
from mien.training.augmentation.occlusion.painting import Color, Sheet, light_on, tinted
from mien.training.augmentation.settings import HeadscarfSettings
from mien.types import ImageArray

__all__ = ["headscarf"]

_COLORS: tuple[Color, ...] = (
    (28, 28, 32),
    (28, 28, 32),
    (55, 60, 85),
    (120, 60, 65),
    (215, 205, 190),
    (190, 150, 140),
    (90, 110, 105),
    (150, 145, 165),
    (235, 232, 226),
)
_CORNERS = 48
# What of a face stands out of a scarf's opening: forehead, cheeks, nose, chin.
_FRONT = np.array(
    (
        (0.0, -1.3, 0.4),
        (-1.1, -1.0, 0.05),
        (1.1, -1.0, 0.05),
        (-1.5, 0.8, -0.05),
        (1.5, 0.8, -0.05),
        (0.0, 0.95, 1.2),
        (-0.9, 2.3, 0.2),
        (0.9, 2.3, 0.2),
        (0.0, 2.9, 0.6),
    )
)


def headscarf(image: ImageArray, head: Head, settings: HeadscarfSettings, random: np.random.Generator) -> ImageArray:
    """A face with a headscarf around it."""
    color = tinted(one_of(random, _COLORS), settings.variety, random)
    opening = _opening(settings.variety, random)
    sheet = Sheet(head.side)
    outer = _outer(settings.variety, random)
    sheet.fill(_hull(head.seen(outer)), color)
    _folds(sheet, head, opening, outer, color, settings.variety, random)
    sheet.soften(0.7)
    hem = tuple(level * 0.72 for level in color)
    sheet.line(head.seen(opening), (hem[0], hem[1], hem[2]), 0.12 * head.unit_px, closed=True)
    # A turned face stands out over the far side of the opening.
    sheet.fill(_hull(head.seen(np.concatenate((opening, _FRONT)))), color, 0.0)
    return sheet.over(image, light_on(image, 0.8))


def _opening(variety: float, random: np.random.Generator) -> Points:
    """``(n, 3)`` points around the face where the cloth ends, from forehead to below the chin."""

    def about(value: float, reach: float) -> float:
        return value + variety * between(random, -reach, reach)

    top, bottom = about(-1.55, 0.3), about(3.3, 0.2)
    half_wide, lean = about(1.85, 0.15), variety * between(random, -0.12, 0.12)
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    x, y = np.sin(angle), -np.cos(angle)
    # Narrower below than above, as faces are.
    x = half_wide * np.sign(x) * np.abs(x) ** 0.85 * (1 - 0.2 * np.maximum(y, 0) ** 2)
    y = (top + bottom) / 2 + (bottom - top) / 2 * y + lean * x
    z = -0.35 - 0.22 * x**2 + 0.25 * np.cos(angle)
    return np.stack((x, y, z), axis=-1)


def _outer(variety: float, random: np.random.Generator) -> Points:
    """``(n, 3)`` points of the scarf's outside: around the head, and down to the shoulders."""
    size = 1 + variety * between(random, -0.06, 0.1)
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    rings = []
    for z, reach in ((-0.6, 0.86), (-1.9, 1.0), (-3.4, 0.85)):
        x = 2.85 * size * reach * np.sin(angle)
        y = 0.4 - 3.3 * size * reach * np.cos(angle)
        rings.append(np.stack((x, y, np.full(_CORNERS, z)), axis=-1))
    shoulders = np.array(((-3.6, 5.5, -1.5), (3.6, 5.5, -1.5), (0.0, 5.5, 0.4)))
    return np.concatenate((*rings, shoulders))


def _folds(
    sheet: Sheet, head: Head, opening: Points, outer: Points, color: Color, variety: float, random: np.random.Generator
) -> None:
    """Light and dark bands that go around the face, each as if the cloth lay in a fold there."""
    ring = outer[_CORNERS : 2 * _CORNERS]
    for _ in range(3 + whole(random, 4)):
        share = between(random, 0.1, 0.95)
        wave = 0.12 * np.sin(np.linspace(0, 2 * np.pi, _CORNERS) * (1 + whole(random, 3)) + between(random, 0, 6.3))
        along = np.clip(share + variety * wave, 0.05, 1.0)[:, None]
        band = opening * (1 - along) + ring * along
        level = between(random, 0.72, 0.9) if random.random() < 0.6 else between(random, 1.08, 1.22)
        dyed = tuple(min(255.0, level * part + (8 if level > 1 else 0)) for part in color)
        sheet.line(head.seen(band), (dyed[0], dyed[1], dyed[2]), between(random, 0.08, 0.3) * head.unit_px, closed=True)


def _hull(points: Points) -> Points:
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], np.float64)
