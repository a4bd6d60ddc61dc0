"""One score for all: how likely a face is to be recognized, from what was measured of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.quality.measuring import Measured
from mien.types import FloatArray

__all__ = ["MeasuredScorer", "QualityScorer"]

_Reals = NDArray[np.float64]


class QualityScorer(Protocol):
    """Sums up faces in a score each. Safe to call from many threads at once."""

    def score(self, measured: Measured) -> FloatArray:
        """``(n,) float32`` in 0..100, higher is better; ``measured.views`` holds the pixels, for who looks again."""
        ...


# What makes a face worse, in units in which a fit on 1,004 photos of 73 people (CelebA) and 1,697 of LFW gave these
# weights: a logistic regression of whether a mated pair fails at a false match rate of 0.001, no weight below 0.
_WEIGHTS = {
    "residual": 1.11,
    "residual_large": 0.47,
    "yaw": 0.53,
    "yaw_large": 0.24,
    "roll": 0.58,
    "small": 0.02,
    "blur": 0.56,
    "blur_strong": 0.22,
    "under_exposed": 0.09,
    "over_exposed": 0.17,
    "flat": 0.35,
    "dark": 0.43,
    "bright": 0.90,
    "compressed": 0.17,
    "color": 0.73,
    "cropped_above": 0.30,
}
# The detector's confidence says most: it falls with pose, blur, darkness and with what covers the face. YuNet gives a
# good face 0.97 at most. Where it is not to be counted, a usual face's share stands for it and the rest counts more.
_BEST_CONFIDENCE, _PER_CONFIDENCE, _USUAL = 0.97, 10.0, 0.35
_SHARE, _SHARE_ALONE = 0.1, 0.25
_MIDDLE, _WIDTH = 1.0, 0.3


class MeasuredScorer:
    """The unified score without a network: a weighted sum of what was measured.

    Args:
        confidence: whether to count the detector's confidence. The weight was fitted with YuNet's, so it should be
            False with another detector.
    """

    def __init__(self, *, confidence: bool = True) -> None:
        self._confidence = confidence

    def score(self, measured: Measured) -> FloatArray:
        """``(n,) float32`` in 0..100; see ``QualityScorer``."""
        faults = _faults(measured)
        penalty = np.zeros(len(measured.measures))
        for name, weight in _WEIGHTS.items():
            penalty += weight * np.nan_to_num(faults[name])
        if self._confidence:
            lacking = _PER_CONFIDENCE * (_BEST_CONFIDENCE - measured.views.faces.scores.astype(np.float64))
            total = lacking + _SHARE * penalty
        else:
            total = _USUAL + _SHARE_ALONE * penalty
        return np.asarray(100 / (1 + np.exp((total - _MIDDLE) / _WIDTH)), np.float32)


def _faults(measured: Measured) -> dict[str, _Reals]:
    """What is wrong with each face, by name; 0 where nothing is."""

    def of(name: str) -> _Reals:
        return measured.column(name).astype(np.float64)

    residual = measured.pose.residual.astype(np.float64)
    yaw, roll = np.abs(of("head_pose_yaw")), np.abs(of("head_pose_roll"))
    sharpness, contrast = of("sharpness"), np.sqrt(of("luminance_variance"))
    return {
        "residual": np.clip(residual - 0.06, 0, 0.2) * 10,
        "residual_large": np.clip(residual - 0.12, 0, 0.1) * 20,
        "yaw": np.clip(yaw - 20, 0, 60) / 20,
        "yaw_large": np.clip(yaw - 40, 0, 40) / 20,
        "roll": np.clip(roll - 10, 0, 30) / 20,
        "small": np.log2(35 / np.clip(of("inter_eye_distance"), 6, 35)),
        "blur": np.clip(-17 - sharpness, 0, 12) / 3,
        "blur_strong": np.clip(-20 - sharpness, 0, 8) / 3,
        "under_exposed": np.clip(of("under_exposure_prevention"), 0, 0.4) * 5,
        "over_exposed": np.clip(of("over_exposure_prevention"), 0, 0.3) * 5,
        "flat": np.clip(0.12 - contrast, 0, 0.12) * 20,
        "dark": np.clip(0.4 - of("luminance_mean"), 0, 0.4) * 5,
        "bright": np.clip(of("luminance_mean") - 0.6, 0, 0.4) * 5,
        "compressed": np.clip(of("compression_artifacts") - 0.2, 0, 0.8) * 4,
        "color": np.clip(of("natural_color"), 0, 15) / 10,
        "cropped_above": np.clip(1.4 - of("upward_crop"), 0, 1.4),
    }
