"""Colored shapes over an image: drawn larger, then made smaller, so that edges are soft."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.training.augmentation.drawing_lots import between
from mien.training.augmentation.occlusion.head import Points
from mien.types import ImageArray

__all__ = ["Color", "Sheet", "light_on", "tinted"]

Color = tuple[float, float, float]

_TIMES = 2
_SHIFT = 4
_LARGEST = 1 << 14
_MIDDLE_LEVEL = 150.0
_LIGHT_LIMITS = (0.35, 1.25)


class Sheet:
    """A transparent sheet that lies over an image.

    Args:
        side: of the image in pixels.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        # Levels of color already multiplied by the opacity, then the opacity: so edges average rightly.
        self._paint = np.zeros((side * _TIMES, side * _TIMES, 4), np.uint8)

    def fill(self, outline: Points, color: Color, opacity: float = 1.0) -> None:
        """Fill an outline, replacing what is there; with an opacity of 0 it is a hole."""
        cv2.fillPoly(self._paint, [self._fixed(outline)], _mixed(color, opacity), cv2.LINE_8, _SHIFT)

    def line(self, points: Points, color: Color, width_px: float, *, closed: bool = False) -> None:
        """Draw along points, replacing what is there."""
        width = max(1, round(width_px * _TIMES))
        cv2.polylines(self._paint, [self._fixed(points)], closed, _mixed(color, 1.0), width, cv2.LINE_8, _SHIFT)

    def mesh(self, corners: Points, colors: NDArray[np.float64], order: NDArray[np.intp]) -> None:
        """Fill quadrilaterals, opaque.

        Args:
            corners: ``(n, 4, 2)`` pixels.
            colors: ``(n, 3)`` levels.
            order: of filling: the farthest first.
        """
        fixed, levels = self._fixed(corners), np.clip(colors, 0, 255).tolist()
        for k in order.tolist():
            cv2.fillConvexPoly(self._paint, fixed[k], (*levels[k], 255.0), cv2.LINE_8, _SHIFT)

    def soften(self, sigma_px: float) -> None:
        """Blur colors, as cloth has no hard creases; edges blur as well."""
        cv2.GaussianBlur(self._paint, (0, 0), sigma_px * _TIMES, dst=self._paint)

    def over(self, image: ImageArray, light: NDArray[np.float32]) -> ImageArray:
        """The image with the sheet over it, the sheet's colors lit by ``light`` (``(s, s)``, 1 for as they are)."""
        small = cv2.resize(self._paint, (self._side, self._side), interpolation=cv2.INTER_AREA).astype(np.float32)
        through = 1 - small[:, :, 3:] / 255
        mixed = image * through + small[:, :, :3] * light[:, :, None]
        return np.asarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        """Pixels of the sheet, in fixed-point numbers."""
        placed = (points * _TIMES + (_TIMES - 1) / 2) * (1 << _SHIFT)
        return np.clip(np.rint(placed), -_LARGEST * _TIMES, _LARGEST * _TIMES).astype(np.int32)


def light_on(image: ImageArray, strength: float = 1.0) -> NDArray[np.float32]:
    """``(s, s)`` how strong the light on a face is in each place, from the face itself; 1 for a usual one.

    Args:
        image: the face.
        strength: 0 for 1 everywhere.
    """
    # Coarse enough that eyes and hair are not taken for shadows.
    coarse = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (7, 7), interpolation=cv2.INTER_AREA)
    middle = cv2.GaussianBlur(coarse.astype(np.float32), (5, 5), 0)
    # What is outside the face, such as a black border, is no measure of the light on it.
    middle = np.maximum(middle, 0.6 * float(np.median(coarse[2:5, 1:6])))
    light = np.clip(
        cv2.resize(middle, image.shape[1::-1], interpolation=cv2.INTER_CUBIC) / _MIDDLE_LEVEL, *_LIGHT_LIMITS
    )
    return np.asarray(1 + strength * (light - 1), np.float32)


def tinted(color: Color, variety: float, random: np.random.Generator) -> Color:
    """A color somewhat like another."""
    reach = 40 * variety
    together = between(random, -reach, reach)
    red, green, blue = (min(255.0, max(0.0, c + together + between(random, -reach / 3, reach / 3))) for c in color)
    return red, green, blue


def _mixed(color: Color, opacity: float) -> tuple[float, float, float, float]:
    red, green, blue = (level * opacity for level in color)
    return red, green, blue, 255 * opacity
