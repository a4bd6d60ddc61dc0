"""Sets of probabilities and strengths that go together; what a preset does not name has the probability 0.

They are for aligned chips of 112 pixels. ``default`` leaves about a third of the images as they are but for the flip:
much more costs accuracy on clean faces (Kim and others, AdaFace, CVPR 2022, find the same of crops,
resampling and colors at a probability of 0.2 each).
"""

from __future__ import annotations

from typing import Any

__all__ = ["PRESETS"]

Tables = dict[str, dict[str, Any]]

_FLIP: Tables = {"flip": {"probability": 0.5}}

_LIGHT: Tables = {
    **_FLIP,
    "affine": {"probability": 0.2, "turn_deg": 4.0, "zoom": 0.04, "shift_px": 2.0},
    "brightness": {"probability": 0.15, "change": 0.2},
    "contrast": {"probability": 0.15, "change": 0.2},
    "saturation": {"probability": 0.1, "change": 0.3},
    "gray": {"probability": 0.02},
    "gaussian_blur": {"probability": 0.03, "sigma_px": 1.2},
    "resample": {"probability": 0.05, "smallest_px": 48},
    "jpeg": {"probability": 0.1, "lowest": 50},
}

_DEFAULT: Tables = {
    **_FLIP,
    "mask": {"probability": 0.03},
    "glasses": {"probability": 0.02},
    "sunglasses": {"probability": 0.02},
    "headscarf": {"probability": 0.01},
    "affine": {"probability": 0.25, "turn_deg": 6.0, "zoom": 0.06, "shift_px": 3.0},
    "crop": {"probability": 0.05, "least": 0.4},
    "brightness": {"probability": 0.2, "change": 0.3},
    "contrast": {"probability": 0.2, "change": 0.3},
    "saturation": {"probability": 0.15, "change": 0.4},
    "hue": {"probability": 0.05, "turn_deg": 8.0},
    "gray": {"probability": 0.03},
    "erasing": {"probability": 0.03, "largest": 0.15},
    "gaussian_blur": {"probability": 0.05, "sigma_px": 1.8},
    "motion_blur": {"probability": 0.04, "length_px": 7.0},
    "resample": {"probability": 0.1, "smallest_px": 32},
    "gaussian_noise": {"probability": 0.04, "sigma": 10.0},
    "poisson_noise": {"probability": 0.02, "photons": 400.0},
    "jpeg": {"probability": 0.15, "lowest": 35},
}

_STRONG: Tables = {
    **_FLIP,
    "mask": {"probability": 0.12, "variety": 0.8},
    "glasses": {"probability": 0.06, "variety": 0.8},
    "sunglasses": {"probability": 0.06, "variety": 0.8},
    "headscarf": {"probability": 0.05, "variety": 0.8},
    "affine": {"probability": 0.5, "turn_deg": 10.0, "zoom": 0.1, "shift_px": 5.0},
    "crop": {"probability": 0.15, "least": 0.3},
    "brightness": {"probability": 0.4, "change": 0.4},
    "contrast": {"probability": 0.4, "change": 0.4},
    "saturation": {"probability": 0.3, "change": 0.6},
    "hue": {"probability": 0.15, "turn_deg": 12.0},
    "gray": {"probability": 0.08},
    "erasing": {"probability": 0.1, "largest": 0.25},
    "gaussian_blur": {"probability": 0.12, "sigma_px": 2.5},
    "motion_blur": {"probability": 0.1, "length_px": 11.0},
    "resample": {"probability": 0.25, "smallest_px": 24},
    "gaussian_noise": {"probability": 0.1, "sigma": 16.0},
    "poisson_noise": {"probability": 0.06, "photons": 200.0},
    "jpeg": {"probability": 0.35, "lowest": 20},
}

_SURVEILLANCE: Tables = {
    **_FLIP,
    "mask": {"probability": 0.05},
    "glasses": {"probability": 0.02},
    "sunglasses": {"probability": 0.04},
    "headscarf": {"probability": 0.02},
    "affine": {"probability": 0.5, "turn_deg": 10.0, "zoom": 0.12, "shift_px": 6.0},
    "crop": {"probability": 0.1, "least": 0.4},
    "brightness": {"probability": 0.5, "change": 0.5},
    "contrast": {"probability": 0.5, "change": 0.5},
    "saturation": {"probability": 0.4, "change": 0.7},
    "hue": {"probability": 0.1, "turn_deg": 12.0},
    "gray": {"probability": 0.25},
    "erasing": {"probability": 0.03, "largest": 0.15},
    "gaussian_blur": {"probability": 0.25, "sigma_px": 2.5},
    "motion_blur": {"probability": 0.3, "length_px": 13.0},
    "resample": {"probability": 0.7, "smallest_px": 14},
    "gaussian_noise": {"probability": 0.3, "sigma": 18.0},
    "poisson_noise": {"probability": 0.15, "photons": 120.0},
    "jpeg": {"probability": 0.7, "lowest": 12},
}

PRESETS: dict[str, Tables] = {
    "none": {},
    "flip": _FLIP,
    "light": _LIGHT,
    "default": _DEFAULT,
    "strong": _STRONG,
    "surveillance": _SURVEILLANCE,
}
"""Tables of ``AugmentationSettings`` by the preset's name."""
