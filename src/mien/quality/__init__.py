"""How good a face is for recognition: measured without a network, in about a millisecond.

``components.py`` lists what is measured and how a measure becomes a score from 0 to 100; ``pixels.py``, ``framing.py``
and ``pose.py`` measure; ``measuring.py`` puts them together. ``scoring.py`` sums a face up in one unified score, and
says what another way to do so must offer. ``limits.py`` says what is good enough to be enrolled.
"""

from __future__ import annotations

import numpy as np

from mien.quality.components import COMPONENTS, Component
from mien.quality.crops import CROP_POINTS, CROP_SIZE
from mien.quality.limits import PROFILES, QualityLimits, failings
from mien.quality.measuring import FaceViews, Measured, measure
from mien.quality.pose import HeadPose, head_pose
from mien.quality.scoring import MeasuredScorer, QualityScorer
from mien.types import Quality

__all__ = [
    "COMPONENTS",
    "CROP_POINTS",
    "CROP_SIZE",
    "PROFILES",
    "Component",
    "FaceViews",
    "HeadPose",
    "Measured",
    "MeasuredScorer",
    "QualityLimits",
    "QualityScorer",
    "assess_faces",
    "failings",
    "head_pose",
    "measure",
]


def assess_faces(views: FaceViews, scorer: QualityScorer, rotation_deg: int = 0) -> Quality:
    """Every measure of one image's faces, their scores, and the unified score.

    Args:
        views: the faces, upright, as ``mien.Recognizer.assess`` cuts them.
        scorer: sums them up.
        rotation_deg: the clockwise turn that made the image upright: 0, 90, 180 or 270.
    """
    measured = measure(views, rotation_deg)
    unified = np.clip(scorer.score(measured), 0, 100)
    names = tuple(component.name for component in COMPONENTS)
    return Quality(views.faces, unified, names, measured.measures, measured.components)
