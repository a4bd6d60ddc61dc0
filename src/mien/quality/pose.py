"""Head pose from five landmarks: a small 3-D model of a face, turned until it looks like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["HeadPose", "head_pose"]

_Reals = NDArray[np.float64]

# Eyes, nose tip, mouth corners of a generic face in halves of the distance between the eyes: x to the right of the
# image, y down, z to the camera. Fitted, symmetric, so that the angles of 1,010 faces agree with a head pose network's
# (FSA-Net); they are those of the detector's landmarks, which is why they are not quite an anatomist's.
_MODEL = ((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.95, 1.2), (-0.8, 1.908, 0.114), (0.8, 1.908, 0.114))
_STEPS = 6
_LARGEST_STEP = 0.5
_PRIOR = (0.01, 0.01, 0.0, 0.0)
# Of yaw, pitch, roll in radians and scale.
_LOWEST = (-np.pi / 2, -np.pi / 2, -np.inf, 0.05)
_HIGHEST = (np.pi / 2, np.pi / 2, np.inf, np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class HeadPose:
    """How n heads are turned.

    Attributes:
        yaw_deg: ``(n,) float32``: positive where the nose points to the right of the image.
        pitch_deg: ``(n,) float32``: positive where the head looks down.
        roll_deg: ``(n,) float32`` in -180..180: positive where the head leans to the left of the image, that is
            counterclockwise.
        eye_distance: ``(n,) float32``: pixels between the eyes if the head were turned to the camera.
        residual: ``(n,) float32``: how badly the model fits: the root of the mean squared distance of a landmark, as
            a share of ``eye_distance``.
    """

    yaw_deg: FloatArray
    pitch_deg: FloatArray
    roll_deg: FloatArray
    eye_distance: FloatArray
    residual: FloatArray


def head_pose(landmarks: FloatArray) -> HeadPose:
    """The head pose of faces, by least squares under weak perspective (Gauss-Newton over three angles and the scale).

    The angles mean the same for a face that is turned on its side or upside down in the image, as long as the landmarks
    are right.

    Args:
        landmarks: ``(n, 5, 2)`` in pixels: the eyes, the nose tip, the mouth corners, left before right as seen
            in the image when the face is upright.

    Raises:
        BadInput: another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise BadInput(f"landmarks: expected shape (n, 5, 2), got {landmarks.shape}")
    # As (n, 2, 5): x of every point, then y.
    points = landmarks.astype(np.float64).transpose(0, 2, 1)
    points = points - points.mean(axis=2, keepdims=True)
    # Landmarks that coincide say nothing of a pose; the floor keeps the numbers finite.
    size = np.maximum(np.sqrt((points**2).sum(axis=(1, 2))), 1e-9)
    points /= size[:, None, None]
    model = (np.asarray(_MODEL) - np.mean(_MODEL, axis=0)).T
    unknowns = _start(model, points)
    for _ in range(_STEPS):
        unknowns -= _step(unknowns, model, points)
        np.clip(unknowns, _LOWEST, _HIGHEST, out=unknowns)
    shown = unknowns[:, 3, None, None] * (_turns(unknowns)[:, 0] @ model)
    # Along the model's x axis an eye is one unit from the middle.
    distance = 2 * unknowns[:, 3] * size
    residual = np.sqrt(((shown - points) ** 2).sum(axis=1).mean(axis=1)) * size / np.maximum(distance, 1e-9)
    yaw, pitch, roll = np.degrees(unknowns[:, :3]).T
    roll = (-roll + 180) % 360 - 180
    return HeadPose(*(np.asarray(v, np.float32) for v in (yaw, pitch, roll, distance, residual)))


def _start(model: _Reals, points: _Reals) -> _Reals:
    """A first guess of yaw, pitch, roll (of the image, clockwise) and scale: a frontal face that leans as it does."""
    across, down = (points[:, :, 3:].sum(axis=2) - points[:, :, :2].sum(axis=2)).T
    unknowns = np.zeros((len(points), 4))
    unknowns[:, 2] = np.arctan2(-across, down)
    unknowns[:, 3] = 1 / np.sqrt((model[:2] ** 2).sum())
    return unknowns


def _turns(unknowns: _Reals) -> _Reals:
    """``(n, 3, 2, 3)``: the two rows of each rotation that are seen, and their slopes in yaw and in pitch.

    Yaw comes first, then pitch, then roll in the image.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(unknowns[:, :3]).T, np.sin(unknowns[:, :3]).T
    rows = np.zeros((len(unknowns), 3, 2, 3))
    rows[:, 0, 0, 0], rows[:, 0, 0, 2] = cy, sy
    rows[:, 0, 1, 0], rows[:, 0, 1, 1], rows[:, 0, 1, 2] = -sp * sy, cp, sp * cy
    rows[:, 1, 0, 0], rows[:, 1, 0, 2] = -sy, cy
    rows[:, 1, 1, 0], rows[:, 1, 1, 2] = -sp * cy, -sp * sy
    rows[:, 2, 1, 0], rows[:, 2, 1, 1], rows[:, 2, 1, 2] = -cp * sy, -sp, cp * cy
    roll = np.empty((len(unknowns), 1, 2, 2))
    roll[:, 0, 0, 0], roll[:, 0, 0, 1], roll[:, 0, 1, 0], roll[:, 0, 1, 1] = cr, -sr, sr, cr
    return np.asarray(roll @ rows, np.float64)


def _step(unknowns: _Reals, model: _Reals, points: _Reals) -> _Reals:
    """One Gauss-Newton step in the three angles and the scale."""
    seen = _turns(unknowns) @ model
    scale = unknowns[:, 3, None, None]
    slopes = np.empty((len(points), 4, 2, 5))
    slopes[:, :2] = seen[:, 1:]
    slopes[:, 2, 0], slopes[:, 2, 1] = -seen[:, 0, 1], seen[:, 0, 0]
    slopes[:, :3] *= scale[..., None]
    slopes[:, 3] = seen[:, 0]
    jacobian = slopes.reshape(len(points), 4, 10)
    error = (scale * seen[:, 0] - points).reshape(len(points), 10, 1)
    normal = jacobian @ jacobian.transpose(0, 2, 1) + np.diag(_PRIOR)
    slope = jacobian @ error + (unknowns * _PRIOR)[..., None]
    return np.clip(np.linalg.solve(normal, slope)[..., 0], -_LARGEST_STEP, _LARGEST_STEP)
