"""The crop that light, color and sharpness are measured in: aligned, of one scale, and which of it is face.

It is cut as a chip is, by one similarity transform from the original's pixels, a little wider. Its scale is near that
at which embedders see a face, so that a large photo is not praised for detail that no embedder gets to see.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.types import FloatArray, ImageArray

__all__ = ["CROP_POINTS", "CROP_SIZE", "background_region", "face_region", "visible_region"]

CROP_SIZE = 160
"""Side of the crop in pixels."""

# Where ArcFace puts the landmarks in its chip of 112 pixels (Deng et al., CVPR 2019; the InsightFace project's
# reference points), enlarged so that the crop shows a third more. The eyes come to lie 37.8 pixels apart.
_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_SCALE, _MARGIN = 15 / 14, 20.0

# The face: an ellipse from the brows to the chin and from cheek to cheek. The background: what lies beside and above
# the head, as wide as ears and hair leave it.
_FACE_CENTER, _FACE_AXES = (80, 92), (38, 50)
_HEAD_CENTER, _HEAD_AXES, _SHOULDERS = (80, 84), (64, 84), 100


def _points() -> FloatArray:
    points = np.asarray(_ARCFACE, np.float32) * np.float32(_SCALE) + np.float32(_MARGIN)
    points.flags.writeable = False
    return points


CROP_POINTS: FloatArray = _points()
"""``(5, 2) float32``: where the landmarks lie in the crop."""


def _ellipse(center: tuple[int, int], axes: tuple[int, int]) -> ImageArray:
    drawn = cv2.ellipse(np.zeros((CROP_SIZE, CROP_SIZE), np.uint8), center, axes, 0, 0, 360, 255, -1)
    return np.asarray(drawn, np.uint8)


def face_region() -> ImageArray:
    """``(S, S) uint8``: 255 in the face, else 0."""
    return _ellipse(_FACE_CENTER, _FACE_AXES)


def background_region() -> ImageArray:
    """``(S, S) uint8``: 255 beside and above the head and above the shoulders, else 0."""
    region: ImageArray = 255 - _ellipse(_HEAD_CENTER, _HEAD_AXES)
    region[_SHOULDERS:] = 0
    return region


def visible_region(matrix: FloatArray, size_wh: tuple[int, int]) -> ImageArray | None:
    """Which of a crop lies inside the image.

    Args:
        matrix: ``(2, 3)``, from the image's pixels to the crop's.
        size_wh: the image's size.

    Returns:
        ``(S, S) uint8``: 255 inside, else 0; None where all of the crop is inside.
    """
    inverse = cv2.invertAffineTransform(np.asarray(matrix, np.float64))
    side = CROP_SIZE - 1
    seen = np.asarray([[0, 0], [side, 0], [side, side], [0, side]], np.float64) @ inverse[:, :2].T + inverse[:, 2]
    width, height = size_wh
    if (seen >= 0).all() and (seen <= (width - 1, height - 1)).all():
        return None
    border = np.asarray([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    corners: NDArray[np.float64] = border @ np.asarray(matrix[:, :2], np.float64).T + matrix[:, 2]
    polygon = np.clip(np.round(corners), -1e6, 1e6).astype(np.int32)
    return np.asarray(cv2.fillConvexPoly(np.zeros((CROP_SIZE, CROP_SIZE), np.uint8), polygon, 255), np.uint8)
