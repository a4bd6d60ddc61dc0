"""Changes of light and color."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.training.augmentation.drawing_lots import between
from mien.training.augmentation.settings import (
    BrightnessSettings,
    ContrastSettings,
    HueSettings,
    SaturationSettings,
)
from mien.types import ImageArray

__all__ = ["brightness", "contrast", "gray", "hue", "saturation"]

# Weights of red, green and blue in a luminance (ITU-R BT.601, section 2.5.1).
_LUMINANCE = np.array((0.299, 0.587, 0.114))
_LEVELS = np.arange(256, dtype=np.float64)
# Luminance and two differences of color (the YIQ of NTSC), in which a turn of hue is a turn of two axes.
_TO_YIQ = np.array(((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)))
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def brightness(image: ImageArray, settings: BrightnessSettings, random: np.random.Generator) -> ImageArray:
    """All levels times one number."""
    return _levels(image, _LEVELS * between(random, 1 - settings.change, 1 + settings.change))


def contrast(image: ImageArray, settings: ContrastSettings, random: np.random.Generator) -> ImageArray:
    """Distances from the mean luminance times one number."""
    middle = float(np.dot(cv2.mean(image)[:3], _LUMINANCE))
    return _levels(image, middle + (_LEVELS - middle) * between(random, 1 - settings.change, 1 + settings.change))


def saturation(image: ImageArray, settings: SaturationSettings, random: np.random.Generator) -> ImageArray:
    """Distances from gray times one number."""
    share = between(random, 1 - settings.change, 1 + settings.change)
    return _mixed(image, share * np.eye(3) + (1 - share) * _LUMINANCE)


def hue(image: ImageArray, settings: HueSettings, random: np.random.Generator) -> ImageArray:
    """Colors turned on the color circle, their luminance kept."""
    turn = math.radians(between(random, -settings.turn_deg, settings.turn_deg))
    cosine, sine = math.cos(turn), math.sin(turn)
    return _mixed(image, _FROM_YIQ @ np.array(((1, 0, 0), (0, cosine, -sine), (0, sine, cosine))) @ _TO_YIQ)


def gray(image: ImageArray) -> ImageArray:
    """Luminance alone, in three equal channels."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _levels(image: ImageArray, table: NDArray[np.float64]) -> ImageArray:
    rounded = np.clip(table + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, rounded), np.uint8)


def _mixed(image: ImageArray, matrix: NDArray[np.float64]) -> ImageArray:
    return np.asarray(cv2.transform(image, matrix), np.uint8)
