"""From a decoded image and its faces to every measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.geometry import transform_scales
from mien.quality.components import COMPONENTS, scored
from mien.quality.crops import CROP_SIZE
from mien.quality.framing import FRAMING_MEASURES, framing_measures
from mien.quality.pixels import PIXEL_MEASURES, blockiness, crop_measures
from mien.quality.pose import HeadPose, head_pose
from mien.types import Faces, FloatArray, ImageArray

__all__ = ["FaceViews", "Measured", "measure"]

_POSE_MEASURES = ("head_pose_yaw", "head_pose_pitch", "head_pose_roll")
# Compression is measured at half the original's size where a crop has no more than this many pixels for two of the
# original's, and not at all where it has no more for four: then blocks are averaged away before anything sees them.
_FINEST_CROP = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class FaceViews:
    """One image's faces, cut out for measuring.

    Attributes:
        pixels: uint8 RGB ``(H, W, 3)``, the image decoded at ``1/reduction``.
        reduction: see ``pixels``; no coarser than the crops need.
        size_wh: the original's size.
        faces: the n faces, in the original's pixels.
        crops: ``(n, S, S, 3) uint8``, S = ``CROP_SIZE``.
        matrices: ``(n, 2, 3)``, from the original's pixels to the crops'.

    Raises:
        BadInput: lengths or shapes do not fit.
    """

    pixels: ImageArray
    reduction: int
    size_wh: tuple[int, int]
    faces: Faces
    crops: ImageArray
    matrices: FloatArray

    def __post_init__(self) -> None:
        count = len(self.faces)
        wanted = ((count, CROP_SIZE, CROP_SIZE, 3), (count, 2, 3))
        if (self.crops.shape, self.matrices.shape) != wanted:
            raise BadInput(f"expected crops and matrices {wanted}, got {self.crops.shape} and {self.matrices.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of n faces, for a scorer to sum up.

    Attributes:
        views: the faces.
        pose: how the heads are turned.
        measures: ``(n, k) float32``, a column for each of ``COMPONENTS``; NaN where not measured.
        components: ``(n, k) float32``, their scores, 0..100; NaN where not measured.
    """

    views: FaceViews
    pose: HeadPose
    measures: FloatArray
    components: FloatArray

    def column(self, name: str) -> FloatArray:
        """``(n,)``: the measure of that name."""
        return self.measures[:, [c.name for c in COMPONENTS].index(name)]


def measure(views: FaceViews, rotation_deg: int = 0) -> Measured:
    """Every measure of one image's faces.

    Args:
        views: the faces, upright.
        rotation_deg: the clockwise turn that made them so: 0, 90, 180 or 270.
    """
    faces = views.faces
    columns: dict[str, FloatArray] = {}
    pose = head_pose(faces.landmarks)
    columns |= zip(_POSE_MEASURES, (pose.yaw_deg, pose.pitch_deg, pose.roll_deg), strict=True)
    columns |= zip(FRAMING_MEASURES, framing_measures(faces, pose, views.size_wh).T, strict=True)
    crops = [crop_measures(c, m, views.size_wh) for c, m in zip(views.crops, views.matrices, strict=True)]
    seen = np.asarray(crops, np.float32).reshape(len(faces), len(PIXEL_MEASURES))
    columns |= zip(PIXEL_MEASURES, seen.T, strict=True)
    columns["compression_artifacts"] = _compression(views)
    columns["face_rotation"] = np.full(len(faces), rotation_deg, np.float32)
    measures = np.stack([columns[component.name] for component in COMPONENTS], axis=1)
    return Measured(views, pose, measures, scored(measures))


def _compression(views: FaceViews) -> FloatArray:
    values = np.full(len(views.faces), np.nan, np.float32)
    for k, (box, scale) in enumerate(zip(views.faces.xyxy, transform_scales(views.matrices), strict=True)):
        blocks = max((b for b in (1, 2, 4) if b * scale <= _FINEST_CROP), default=1)
        if views.reduction <= blocks < 4:
            values[k] = blockiness(views.pixels, box, views.reduction, blocks)
    return values
