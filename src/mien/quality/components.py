"""The quality components: their names, what each measures, and how a measure becomes a score from 0 to 100.

Names and mappings are those of ISO/IEC 29794-5:2025 as its reference implementation OFIQ states them, where mien
measures the same thing. The regions are mien's own (an ellipse instead of a segmentation of the face, five landmarks
instead of 98), and sharpness, compression artifacts and background uniformity are measured in a way of its own, so the
scores are not those of a conforming implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.types import FloatArray

__all__ = ["COMPONENTS", "Component", "scored"]

_Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Component:
    """One aspect of quality.

    Attributes:
        name: in small letters; the standard's, where it has one.
        unit: of the measure.
        measured: what the measure is, in words.
        score: from measures to scores of 0 to 100; NaN, for not measured, stays NaN.
    """

    name: str
    unit: str
    measured: str
    score: Callable[[_Reals], _Reals]


def _rising(x: _Reals, middle: float, width: float) -> _Reals:
    return 100 / (1 + np.exp(-np.clip((x - middle) / width, -60, 60)))


def _exposed(share: _Reals) -> _Reals:
    # From 100 where no pixel is clipped to 50 at a quarter of the face.
    return 100 - _rising(share, 0.25, 0.05)


def _luminance(mean: _Reals) -> _Reals:
    return _rising(mean, 0.2, 0.05) * (100 - _rising(mean, 0.8, 0.05)) / 100


def _spread(variance: _Reals) -> _Reals:
    return 100 * np.sin(60 * variance / (60 * variance + 1) * np.pi)


def _calm(gradient: _Reals) -> _Reals:
    return 100 - _rising(gradient, 0.06, 0.015)


def _off(distance: _Reals, width: float) -> _Reals:
    return 2 * (100 - _rising(np.abs(distance), 0.0, width))


def _turned(angle_deg: _Reals) -> _Reals:
    return 100 * np.maximum(0, np.cos(np.radians(angle_deg))) ** 2


COMPONENTS: tuple[Component, ...] = (
    Component("luminance_mean", "of 1", "mean luminance of the face", _luminance),
    Component("luminance_variance", "of 1", "variance of the face's luminance", _spread),
    Component("under_exposure_prevention", "share", "pixels of the face with a luminance of 25 or less", _exposed),
    Component("over_exposure_prevention", "share", "pixels of the face with a luminance of 247 or more", _exposed),
    Component("dynamic_range", "bits", "entropy of the face's luminance", lambda x: np.clip(12.5 * x, 0, 100)),
    Component(
        "illumination_uniformity", "share", "histogram that the face's two halves have in common", lambda x: 100 * x
    ),
    Component(
        "sharpness",
        "dB",
        "energy of the Laplacian over the variance of luminance, the eyes 38 pixels apart",
        lambda x: _rising(x, -18.0, 1.6),
    ),
    Component(
        "compression_artifacts",
        "share",
        "how much larger steps are between blocks of 8 pixels than inside; none for faces that are shrunk to a third",
        lambda x: 100 - _rising(x, 0.6, 0.15),
    ),
    Component("natural_color", "CIELAB", "distance of the face's color from the range of skin", lambda x: _off(x, 10)),
    Component(
        "background_uniformity",
        "of 1",
        "mean luminance gradient beside the head",
        lambda x: 100 - _rising(x, 0.06, 0.015),
    ),
    Component(
        "single_face_present", "share", "area of the largest other face over this one's", lambda x: 100 * (1 - x)
    ),
    Component(
        "inter_eye_distance", "pixels", "between the eyes, as if seen from the front", lambda x: _rising(x, 70, 20)
    ),
    Component("head_size", "share", "eyes to chin (estimated) over the image's height", lambda x: _off(x - 0.45, 0.05)),
    Component("leftward_crop", "eye distances", "eyes' middle to the left border", lambda x: _rising(x, 0.9, 0.1)),
    Component("rightward_crop", "eye distances", "eyes' middle to the right border", lambda x: _rising(x, 0.9, 0.1)),
    Component("upward_crop", "eye distances", "eyes' middle to the upper border", lambda x: _rising(x, 1.4, 0.1)),
    Component("downward_crop", "eye distances", "eyes' middle to the lower border", lambda x: _rising(x, 1.8, 0.1)),
    Component("head_pose_yaw", "degrees", "head turned to a side, positive to the right of the image", _turned),
    Component("head_pose_pitch", "degrees", "head tilted, positive downward", _turned),
    Component("head_pose_roll", "degrees", "head leaning, positive to the left of the image", _turned),
    Component("face_rotation", "degrees", "clockwise turn by which the photo would be upright", _turned),
)
"""All components, in the order in which ``Quality`` holds them."""


def scored(measures: FloatArray) -> FloatArray:
    """Scores of measures.

    Args:
        measures: ``(n, k)``, a column for each of ``COMPONENTS``; NaN where not measured.

    Returns:
        ``(n, k) float32`` in 0..100, or NaN.
    """
    scores = np.empty(measures.shape, np.float32)
    for k, component in enumerate(COMPONENTS):
        scores[:, k] = np.clip(component.score(measures[:, k].astype(np.float64)), 0, 100)
    return scores
