"""What bad cameras, long distances and small files do to a face."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mien.training.augmentation.drawing_lots import between, one_of
from mien.training.augmentation.settings import (
    GaussianBlurSettings,
    GaussianNoiseSettings,
    JpegSettings,
    MotionBlurSettings,
    PoissonNoiseSettings,
    ResampleSettings,
)
from mien.types import ImageArray

__all__ = ["gaussian_blur", "gaussian_noise", "jpeg", "motion_blur", "poisson_noise", "resample"]

_SIDE_PX = 112.0
_LEAST_SIGMA_PX = 0.4
_LEAST_LENGTH_PX = 2.0
_BEST_QUALITY = 95
_DOWN = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_CUBIC)
_UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)


def gaussian_blur(image: ImageArray, settings: GaussianBlurSettings, random: np.random.Generator) -> ImageArray:
    """Out of focus."""
    sigma = between(random, min(_LEAST_SIGMA_PX, settings.sigma_px), settings.sigma_px) * len(image) / _SIDE_PX
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def motion_blur(image: ImageArray, settings: MotionBlurSettings, random: np.random.Generator) -> ImageArray:
    """Smeared evenly along a line."""
    length = between(random, min(_LEAST_LENGTH_PX, settings.length_px), settings.length_px) * len(image) / _SIDE_PX
    angle = between(random, 0.0, math.pi)
    reach = math.ceil(length / 2)
    size = 2 * reach + 1
    kernel = np.zeros((size, size), np.uint8)
    # In 16ths of a pixel, so that lines of any length and direction differ.
    x, y = math.cos(angle) * (length - 1) / 2, math.sin(angle) * (length - 1) / 2
    ends = [(round((reach + sign * x) * 16), round((reach + sign * y) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (255,), 1, cv2.LINE_AA, 4)
    weights = kernel.astype(np.float32)
    return np.asarray(cv2.filter2D(image, -1, weights / weights.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def resample(image: ImageArray, settings: ResampleSettings, random: np.random.Generator) -> ImageArray:
    """Made small and large again."""
    side = len(image)
    # Small sides are what the operation is for; evenly in the logarithm there are as many of 14 to 28 as of 28 to 56.
    smallest = min(side, settings.smallest_px)
    small = round(math.exp(between(random, math.log(smallest), math.log(side))))
    shrunk = cv2.resize(image, (small, small), interpolation=one_of(random, _DOWN))
    return np.asarray(cv2.resize(shrunk, (side, side), interpolation=one_of(random, _UP)), np.uint8)


def gaussian_noise(image: ImageArray, settings: GaussianNoiseSettings, random: np.random.Generator) -> ImageArray:
    """Noise that is as strong in dark parts as in light ones."""
    noise = random.standard_normal(image.shape, np.float32)
    noise *= np.float32(between(random, 0.0, settings.sigma))
    return _rounded(noise + image)


def poisson_noise(image: ImageArray, settings: PoissonNoiseSettings, random: np.random.Generator) -> ImageArray:
    """Noise of counted photons: its variance is the level's."""
    # Fewest photons are the most noise: evenly in 1 / sqrt(photons), which is the noise in white parts.
    noisiest = 1 / math.sqrt(settings.photons)
    share = 255 * between(random, noisiest / 4, noisiest) ** 2
    counted = random.poisson(image * (1 / share)).astype(np.float32)
    counted *= np.float32(share)
    return _rounded(counted)


def jpeg(image: ImageArray, settings: JpegSettings, random: np.random.Generator) -> ImageArray:
    """Compressed and decoded."""
    quality = round(between(random, settings.lowest, _BEST_QUALITY))
    # The order of channels matters to JPEG, which keeps more of green than of red and of that more than of blue.
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _rounded(values: np.typing.NDArray[np.float32]) -> ImageArray:
    return np.asarray(cv2.convertScaleAbs(np.maximum(values, 0)), np.uint8)
