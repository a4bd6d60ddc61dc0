"""Changes of where things are: flip, affine, crop."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mien.training.augmentation.drawing_lots import between, whole
from mien.training.augmentation.settings import AffineSettings, CropSettings
from mien.types import ImageArray

__all__ = ["affine", "crop", "flip"]

_SIDE_PX = 112.0
_RATIOS = (3 / 4, 4 / 3)


def flip(image: ImageArray) -> ImageArray:
    """Left and right swapped."""
    return np.asarray(cv2.flip(image, 1), np.uint8)


def affine(image: ImageArray, settings: AffineSettings, random: np.random.Generator) -> ImageArray:
    """Turned about the middle, scaled and moved; what comes in from outside is black."""
    side = len(image)
    turn = math.radians(between(random, -settings.turn_deg, settings.turn_deg))
    # As likely half as large as double: evenly on a logarithmic scale.
    zoom = math.exp(between(random, -1.0, 1.0) * math.log1p(settings.zoom))
    reach = settings.shift_px * side / _SIDE_PX
    dx, dy = between(random, -reach, reach), between(random, -reach, reach)
    cosine, sine, middle = zoom * math.cos(turn), zoom * math.sin(turn), (side - 1) / 2
    matrix = np.array(
        [
            [cosine, -sine, middle - cosine * middle + sine * middle + dx],
            [sine, cosine, middle - sine * middle - cosine * middle + dy],
        ]
    )
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def crop(image: ImageArray, settings: CropSettings, random: np.random.Generator) -> ImageArray:
    """All black but for one rectangle that stays where it is."""
    side = len(image)
    area = between(random, settings.least, 1.0) * side * side
    ratio = math.exp(between(random, math.log(_RATIOS[0]), math.log(_RATIOS[1])))
    wide = min(side, max(1, round(math.sqrt(area * ratio))))
    high = min(side, max(1, round(area / wide)))
    left, top = whole(random, side - wide + 1), whole(random, side - high + 1)
    cut = np.zeros_like(image)
    cut[top : top + high, left : left + wide] = image[top : top + high, left : left + wide]
    return cut
