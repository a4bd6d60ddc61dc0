"""Random erasing."""

from __future__ import annotations

import math

import numpy as np

from mien.training.augmentation.drawing_lots import between, whole
from mien.training.augmentation.settings import ErasingSettings
from mien.types import ImageArray

__all__ = ["erasing"]

_LEAST = 0.02
_RATIO = 3.3


def erasing(image: ImageArray, settings: ErasingSettings, random: np.random.Generator) -> ImageArray:
    """A rectangle of noise in a random place, from 0.02 of the area on, its sides in a ratio of at most 3.3.

    The numbers are those of Zhong and others, "Random erasing data augmentation", AAAI 2020, section 4.1.
    """
    side = len(image)
    area = between(random, min(_LEAST, settings.largest), settings.largest) * side * side
    ratio = math.exp(between(random, -math.log(_RATIO), math.log(_RATIO)))
    wide = min(side, max(1, round(math.sqrt(area * ratio))))
    high = min(side, max(1, round(area / wide)))
    left, top = whole(random, side - wide + 1), whole(random, side - high + 1)
    erased = image.copy()
    erased[top : top + high, left : left + wide] = random.integers(0, 256, (high, wide, 3), np.uint8)
    return erased
