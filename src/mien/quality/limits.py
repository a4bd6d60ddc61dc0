"""What is good enough to be enrolled: limits, ready sets of them, and what fails them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mien.quality.components import COMPONENTS
from mien.types import Quality, QualityReason

__all__ = ["PROFILES", "QualityLimits", "failings"]

Profile = Literal["strict", "default", "off"]


@dataclass(frozen=True, slots=True)
class _Check:
    """One limit: the reason that is given, what is measured, and on which side of the limit it is bad."""

    reason: str
    measure: str
    limit: str
    lowest: bool


_CHECKS = (
    _Check("too_dark", "luminance_mean", "min_luminance", True),
    _Check("too_dark", "under_exposure_prevention", "max_under_exposed", False),
    _Check("too_bright", "luminance_mean", "max_luminance", False),
    _Check("too_bright", "over_exposure_prevention", "max_over_exposed", False),
    _Check("low_contrast", "luminance_variance", "min_luminance_variance", True),
    _Check("blurred", "sharpness", "min_sharpness", True),
    _Check("compressed", "compression_artifacts", "max_compression", False),
    _Check("too_small", "inter_eye_distance", "min_eye_distance", True),
    _Check("turned_away", "head_pose_yaw", "max_yaw", False),
    _Check("turned_away", "head_pose_pitch", "max_pitch", False),
    _Check("leaning", "head_pose_roll", "max_roll", False),
    _Check("cropped", "leftward_crop", "min_side_margin", True),
    _Check("cropped", "rightward_crop", "min_side_margin", True),
    _Check("cropped", "upward_crop", "min_top_margin", True),
    _Check("cropped", "downward_crop", "min_bottom_margin", True),
    _Check("several_faces", "single_face_present", "max_other_face", False),
    _Check("poor", "unified", "min_unified", True),
)
_UNITS = {component.name: component.unit for component in COMPONENTS} | {"unified": "of 100"}

# Default: what cannot be of use. Of LFW's 3,811 faces it refuses 0.2 %, of 1,998 photos of people 1.5 %.
# Strict: what a photo taken for enrollment should be; framing and pose after ISO/IEC 29794-5:2025, only wider.
PROFILES: dict[str, dict[str, float]] = {
    "off": {},
    "default": {
        "min_luminance": 0.1,
        "max_luminance": 0.88,
        "max_under_exposed": 0.6,
        "max_over_exposed": 0.35,
        "min_sharpness": -27.0,
        "max_compression": 1.2,
        "min_eye_distance": 10.0,
        "max_yaw": 60.0,
        "max_pitch": 40.0,
        "max_roll": 45.0,
        "min_side_margin": 0.5,
        "min_top_margin": 0.35,
        "min_bottom_margin": 1.35,
        "min_unified": 5.0,
    },
    "strict": {
        "min_luminance": 0.25,
        "max_luminance": 0.75,
        "max_under_exposed": 0.2,
        "max_over_exposed": 0.05,
        "min_luminance_variance": 0.005,
        "min_sharpness": -21.0,
        "max_compression": 0.5,
        "min_eye_distance": 40.0,
        "max_yaw": 25.0,
        "max_pitch": 20.0,
        "max_roll": 15.0,
        "min_side_margin": 0.9,
        "min_top_margin": 1.4,
        "min_bottom_margin": 1.8,
        "max_other_face": 0.3,
        "min_unified": 60.0,
    },
}
"""Limits by the profile's name; what is not named is not checked."""

_Limit = float | None


class QualityLimits(BaseModel):
    """What a face must keep to be enrolled. None is no limit.

    Limits that are not given are the profile's.

    Attributes:
        profile: where the limits that are not given come from: ``default``, ``strict`` or ``off`` (none).
        correct_rotation: enroll the face of a photo that lies on its side or upside down as it would look upright,
            instead of refusing it.
        min_luminance: lowest mean luminance of the face, 0..1.
        max_luminance: highest.
        max_under_exposed: largest share of nearly black pixels in the face, 0..1.
        max_over_exposed: largest share of nearly white ones.
        min_luminance_variance: lowest variance of luminance.
        min_sharpness: lowest sharpness in decibels.
        max_compression: largest steps between JPEG blocks, as a share.
        min_eye_distance: pixels between the eyes.
        max_yaw: degrees to either side.
        max_pitch: degrees up or down.
        max_roll: degrees to either side.
        min_side_margin: room on the left and on the right of the eyes' middle, in distances between the eyes.
        min_top_margin: above.
        min_bottom_margin: below; the chin is at 1.85.
        max_other_face: area of the largest other face over this one's.
        min_unified: lowest unified score, 0..100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = "default"
    correct_rotation: bool = False
    min_luminance: _Limit = Field(default=None, ge=0, le=1)
    max_luminance: _Limit = Field(default=None, ge=0, le=1)
    max_under_exposed: _Limit = Field(default=None, ge=0, le=1)
    max_over_exposed: _Limit = Field(default=None, ge=0, le=1)
    min_luminance_variance: _Limit = Field(default=None, ge=0)
    min_sharpness: _Limit = Field(default=None, le=0)
    max_compression: _Limit = Field(default=None, ge=0)
    min_eye_distance: _Limit = Field(default=None, ge=0)
    max_yaw: _Limit = Field(default=None, ge=0, le=180)
    max_pitch: _Limit = Field(default=None, ge=0, le=180)
    max_roll: _Limit = Field(default=None, ge=0, le=180)
    min_side_margin: _Limit = Field(default=None, ge=0)
    min_top_margin: _Limit = Field(default=None, ge=0)
    min_bottom_margin: _Limit = Field(default=None, ge=0)
    max_other_face: _Limit = Field(default=None, ge=0)
    min_unified: _Limit = Field(default=None, ge=0, le=100)

    @model_validator(mode="before")
    @classmethod
    def _with_profile(cls, given: Any) -> Any:
        """A profile's name alone, or a table, with the profile's limits where it gives none."""
        table = {"profile": given} if isinstance(given, str) else given
        if not isinstance(table, dict):
            return table
        name = table.get("profile", "default")
        return {**PROFILES.get(name, {}), **table} if isinstance(name, str) else table

    @property
    def active(self) -> bool:
        """Whether there is anything to check."""
        return self.profile != "off" or any(getattr(self, check.limit) is not None for check in _CHECKS)


def failings(quality: Quality, limits: QualityLimits) -> list[tuple[QualityReason, ...]]:
    """What each face fails: a reason for every limit that it does not keep, none for a good one.

    What could not be measured fails nothing. A photo that is not upright fails unless ``correct_rotation`` is set.
    """
    found: list[list[QualityReason]] = [[] for _ in range(len(quality))]
    if limits.active and not limits.correct_rotation:
        for face, rotation in zip(found, quality.measure("face_rotation"), strict=True):
            if rotation:
                face.append(QualityReason("rotated", "face_rotation", float(rotation), 0.0, "degrees", False))
    for check in _CHECKS:
        limit = getattr(limits, check.limit)
        if limit is None:
            continue
        values = quality.unified if check.measure == "unified" else quality.measure(check.measure)
        # Angles count to either side.
        compared = values if check.lowest or _UNITS[check.measure] != "degrees" else np.abs(values)
        for face, value, size in zip(found, values, compared, strict=True):
            if size < limit if check.lowest else size > limit:
                unit = _UNITS[check.measure]
                face.append(QualityReason(check.reason, check.measure, float(value), limit, unit, check.lowest))
    return [tuple(face) for face in found]
