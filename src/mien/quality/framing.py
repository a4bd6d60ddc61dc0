"""What the place of a face in its image tells: how large it is, what the border cuts off, who else is there."""

from __future__ import annotations

import numpy as np

from mien.quality.pose import HeadPose
from mien.types import Faces, FloatArray

__all__ = ["FRAMING_MEASURES", "framing_measures"]

FRAMING_MEASURES = (
    "single_face_present",
    "inter_eye_distance",
    "head_size",
    "leftward_crop",
    "rightward_crop",
    "upward_crop",
    "downward_crop",
)
"""The names of what ``framing_measures`` gives, in order."""

# From the eyes to the chin over the distance between the eyes: 115 and 62 mm, rounded means of adults.
_CHIN = 1.85
_LEAST_PIXELS = 1e-3


def framing_measures(faces: Faces, pose: HeadPose, size_wh: tuple[int, int]) -> FloatArray:
    """``(n, 7) float32``: the ``FRAMING_MEASURES`` of each face of one image.

    Args:
        faces: all the faces of the image, in its pixels.
        pose: theirs.
        size_wh: the image's size.
    """
    count = len(faces)
    width, height = size_wh
    eyes = faces.landmarks[:, :2].mean(axis=1)
    distance = np.maximum(pose.eye_distance, _LEAST_PIXELS)
    measures = np.empty((count, len(FRAMING_MEASURES)), np.float32)
    measures[:, 0] = _others(faces)
    measures[:, 1] = pose.eye_distance
    measures[:, 2] = _CHIN * pose.eye_distance / height
    measures[:, 3] = eyes[:, 0] / distance
    measures[:, 4] = (width - 1 - eyes[:, 0]) / distance
    measures[:, 5] = eyes[:, 1] / distance
    measures[:, 6] = (height - 1 - eyes[:, 1]) / distance
    return measures


def _others(faces: Faces) -> FloatArray:
    """Area of the largest other face over each face's own, at most 1."""
    areas = np.maximum(faces.areas, _LEAST_PIXELS)
    shares = np.zeros(len(areas), np.float32)
    if len(areas) > 1:
        second, first = np.sort(areas)[-2:]
        shares[:] = np.minimum(first / areas, 1)
        shares[int(np.argmax(areas))] = second / first
    return shares
