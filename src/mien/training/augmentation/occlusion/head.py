"""A small 3-D head, turned as five landmarks say, and where its points are seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.quality import head_pose
from mien.types import FloatArray

__all__ = ["Head", "Points"]

Points = NDArray[np.float64]

# Where faces are aligned to in a chip of 112 pixels (Deng and others, ArcFace, CVPR 2019; the template of their code).
_TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_TEMPLATE_SIDE = 112.0
# The landmarks on the head, in its units: those of the model that ``mien.quality.head_pose`` fits.
_LANDMARKS = np.array(((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.95, 1.2), (-0.8, 1.908, 0.114), (0.8, 1.908, 0.114)))
# Landmarks far outside, or all in one place, are no face's; such a face is drawn on as if it were frontal.
_LARGEST_RESIDUAL = 0.35
_LEAST_EYES, _MOST_EYES = 0.12, 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A head as a camera far away sees it (weak perspective).

    Its units are halves of the distance between the eyes, about 32 mm: x to the right of the image, y down, z to the
    camera, from the middle between the eyes on.

    Attributes:
        side: of the image in pixels.
        turn: ``(3, 3)``, from the head to the camera, which has the same axes as the image.
        unit_px: pixels of one unit.
        origin: ``(2,)`` where in the image the middle between the eyes is.
    """

    side: int
    turn: Points
    unit_px: float
    origin: Points

    @classmethod
    def fitted(cls, landmarks: FloatArray | None, side: int) -> Head:
        """The head that has its landmarks where they were found.

        Args:
            landmarks: ``(5, 2)`` in pixels; None, or numbers that are not finite or no face's, for a frontal face in
                the place that faces are aligned to.
            side: of the image in pixels.
        """
        template = np.asarray(_TEMPLATE) * (side / _TEMPLATE_SIDE)
        if landmarks is not None and np.isfinite(landmarks).all():
            head, residual = cls._fitted(np.asarray(landmarks, np.float64), side)
            if residual <= _LARGEST_RESIDUAL and _LEAST_EYES * side <= 2 * head.unit_px <= _MOST_EYES * side:
                return head
        return cls._fitted(template, side)[0]

    @classmethod
    def _fitted(cls, landmarks: Points, side: int) -> tuple[Head, float]:
        pose = head_pose(landmarks[None].astype(np.float32))
        yaw, pitch, roll = (math.radians(float(angle[0])) for angle in (pose.yaw_deg, pose.pitch_deg, pose.roll_deg))
        unit_px = float(pose.eye_distance[0]) / 2
        turn = _turn(yaw, pitch, -roll)
        origin = landmarks.mean(axis=0) - unit_px * (_LANDMARKS @ turn[:2].T).mean(axis=0)
        return cls(side, turn, unit_px, origin), float(pose.residual[0])

    def seen(self, points: ArrayLike) -> Points:
        """``(…, 2)`` pixels where points ``(…, 3)`` of the head are seen."""
        return np.asarray(np.asarray(points, np.float64) @ self.turn[:2].T * self.unit_px + self.origin)

    def nearness(self, points: ArrayLike) -> Points:
        """``(…,)`` how near points or directions ``(…, 3)`` are to the camera, in the head's units."""
        return np.asarray(np.asarray(points, np.float64) @ self.turn[2])


def _turn(yaw: float, pitch: float, roll: float) -> Points:
    """Yaw first, then pitch, then roll in the image, in radians, as ``mien.quality.head_pose`` means them."""
    (cy, cp, cr), (sy, sp, sr) = ((f(yaw), f(pitch), f(roll)) for f in (math.cos, math.sin))
    yawed = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    pitched = np.array(((1, 0, 0), (0, cp, sp), (0, -sp, cp)))
    rolled = np.array(((cr, -sr, 0), (sr, cr, 0), (0, 0, 1)))
    return np.asarray(rolled @ pitched @ yawed)
