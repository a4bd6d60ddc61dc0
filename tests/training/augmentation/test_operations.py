"""Single operations, against slow and plain versions, and against what they are to do."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from mien.training.augmentation.color import brightness, contrast, gray, hue, saturation
from mien.training.augmentation.degradation import (
    gaussian_blur,
    gaussian_noise,
    jpeg,
    motion_blur,
    poisson_noise,
    resample,
)
from mien.training.augmentation.erasing import erasing
from mien.training.augmentation.geometric import affine, crop
from mien.training.augmentation.settings import (
    AffineSettings,
    BrightnessSettings,
    ContrastSettings,
    CropSettings,
    ErasingSettings,
    GaussianBlurSettings,
    GaussianNoiseSettings,
    HueSettings,
    JpegSettings,
    MotionBlurSettings,
    PoissonNoiseSettings,
    ResampleSettings,
    SaturationSettings,
)
from mien.types import ImageArray

LUMINANCE = np.array((0.299, 0.587, 0.114))


class Fixed(np.random.Generator):
    """A generator whose shares are all the same number, so that strengths are known."""

    def __init__(self, share: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.share = share

    def random(self, *_size: Any, **_options: Any) -> Any:
        return self.share


HIGHEST, MIDDLE, LOWEST = Fixed(1 - 1e-12), Fixed(0.5), Fixed(0.0)


@pytest.fixture(scope="module")
def image() -> ImageArray:
    coarse = np.random.default_rng(0).integers(20, 235, (28, 28, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_LINEAR), np.uint8)


def near(made: ImageArray, expected: Any, levels: float = 1.0) -> bool:
    return bool(np.abs(made.astype(float) - np.clip(expected, 0, 255)).max() <= levels)


def test_light_and_color(image: ImageArray) -> None:
    plain = image.astype(float)
    assert near(brightness(image, BrightnessSettings(change=0.3), HIGHEST), plain * 1.3)
    assert near(brightness(image, BrightnessSettings(change=0.3), LOWEST), plain * 0.7)
    mean = (plain @ LUMINANCE).mean()
    assert near(contrast(image, ContrastSettings(change=0.4), LOWEST), mean + (plain - mean) * 0.6)
    flat = (plain @ LUMINANCE)[..., None]
    assert near(saturation(image, SaturationSettings(change=0.5), LOWEST), flat + (plain - flat) * 0.5)
    assert near(saturation(image, SaturationSettings(change=1.0), LOWEST), np.repeat(flat, 3, axis=2))
    assert near(gray(image), np.repeat(flat, 3, axis=2))


def test_hue_turns_colors_and_keeps_luminance(image: ImageArray) -> None:
    assert near(hue(image, HueSettings(turn_deg=90), MIDDLE), image)
    soft = (image // 4 + 96).astype(np.uint8)
    turned = hue(soft, HueSettings(turn_deg=40), HIGHEST)
    assert np.abs(turned @ LUMINANCE - soft @ LUMINANCE).max() < 1.5
    red = np.full((4, 4, 3), (160, 100, 100), np.uint8)
    third = hue(red, HueSettings(turn_deg=120), HIGHEST)[0, 0].astype(int)
    assert third.argmax() != 0


def test_affine_moves_by_what_is_stated(image: ImageArray) -> None:
    moved = affine(image, AffineSettings(turn_deg=0, zoom=0, shift_px=5), HIGHEST)
    assert near(moved[5:, 5:], image[:-5, :-5])
    assert not moved[:4].any()
    turned = affine(image, AffineSettings(turn_deg=90, zoom=0, shift_px=0), HIGHEST)
    assert near(turned[1:-1, 1:-1], np.rot90(image, -1)[1:-1, 1:-1], 2)
    assert near(affine(image, AffineSettings(), MIDDLE), image)


def test_crop_keeps_a_part_in_its_place(image: ImageArray) -> None:
    shares = []
    for seed in range(200):
        cut = crop(image, CropSettings(least=0.4), np.random.default_rng(seed))
        kept = cut.any(axis=2)
        assert (cut[kept] == image[kept]).all()
        shares.append(kept.mean())
    assert min(shares) > 0.37
    assert min(shares) < 0.5
    assert max(shares) > 0.9


def test_erasing_is_as_large_as_stated(image: ImageArray) -> None:
    for seed in range(100):
        rows, columns = np.nonzero(
            (erasing(image, ErasingSettings(largest=0.1), np.random.default_rng(seed)) != image).any(2)
        )
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / 112**2
        assert 0.015 < area < 0.11


def sharpness(image: ImageArray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


@pytest.mark.parametrize(
    ("change", "weak", "strong"),
    [
        (gaussian_blur, GaussianBlurSettings(sigma_px=0.8), GaussianBlurSettings(sigma_px=4)),
        (motion_blur, MotionBlurSettings(length_px=3), MotionBlurSettings(length_px=15)),
    ],
)
def test_blur_takes_sharpness(image: ImageArray, change: Any, weak: Any, strong: Any) -> None:
    levels = [sharpness(image), sharpness(change(image, weak, HIGHEST)), sharpness(change(image, strong, HIGHEST))]
    assert levels[0] > levels[1] * 1.1
    assert levels[1] > levels[2] * 2
    assert abs(change(image, strong, HIGHEST).mean() - image.mean()) < 1


def test_motion_blur_runs_along_its_line() -> None:
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    smeared = motion_blur(dot, MotionBlurSettings(length_px=11 * 112 / 41), HIGHEST)
    assert smeared[20, 18:23].any(axis=1).all()
    rows, _ = np.nonzero(smeared.any(axis=2))
    assert np.ptp(rows) <= 2


def test_resampling_loses_what_is_small(image: ImageArray) -> None:
    tiny = resample(image, ResampleSettings(smallest_px=8), LOWEST)
    same = resample(image, ResampleSettings(smallest_px=112), LOWEST)
    assert near(same, image)
    assert np.abs(tiny.astype(float) - image).mean() > 5


def test_noise_has_the_strength_stated() -> None:
    for level in (60, 180):
        flat = np.full((112, 112, 3), level, np.uint8)
        even = gaussian_noise(flat, GaussianNoiseSettings(sigma=10), HIGHEST).astype(float)
        assert abs(even.mean() - level) < 0.5
        assert abs(even.std() - 10) < 0.4
        counted = poisson_noise(flat, PoissonNoiseSettings(photons=200), HIGHEST).astype(float)
        assert abs(counted.mean() - level) < 0.6
        # The variance of a count is its mean: level / 255 × 200 photons.
        assert abs(counted.std() - 255 / 200 * np.sqrt(level / 255 * 200)) < 0.5


def test_jpeg_errs_as_its_quality_says(image: ImageArray) -> None:
    def error(lowest: int) -> float:
        return float(np.abs(jpeg(image, JpegSettings(lowest=lowest), LOWEST).astype(float) - image).mean())

    assert error(10) > 2 * error(95)
    assert error(95) < 6
    red = np.full((112, 112, 3), (200, 20, 20), np.uint8)
    assert near(jpeg(red, JpegSettings(lowest=90), LOWEST), red, 4)
