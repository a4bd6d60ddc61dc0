"""``mien quality``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mien.cli.command import command
from mien.cli.inputs import collect
from mien.cli.options import ImagesArgument, LargestOption, QualityOption, Tuning, UprightOption
from mien.cli.output import Output
from mien.cli.records import Record, face_records
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.quality import QualityLimits
    from mien.types import FloatArray, Quality, QualityReason

__all__ = ["quality"]

_DIGITS = 4
_SEVERAL = "several_faces"


@command
def quality(
    images: ImagesArgument,
    tuning: Tuning,
    output: Output,
    quality: QualityOption = None,
    largest: LargestOption = False,
    upright: UprightOption = None,
) -> None:
    """Tell how good the faces in images are, and whether they could be enrolled.

    Each face gets one score from 0 to 100, higher is better, and the reasons for which enrollment would refuse it. With
    --json also every measure, and each as a score from 0 to 100.

    A poor face is no failure, and neither is an image without a face. Where an image shows several faces, none of them
    could be enrolled, unless the largest alone is meant: --largest.

    Example: mien quality portrait.jpg --quality strict
    """
    output.columns("image", "face", "quality", "turned", "refused for")
    photos = collect(images, output)
    recognizer = tuning.recognizer(quality, upright=upright)
    limits = recognizer.settings.quality_limits()
    with output.progress("quality", len(photos)) as advance:
        outcomes = recognizer.iter_assess((photo.path for photo in photos), largest=largest)
        for photo, outcome in zip(photos, outcomes, strict=True):
            found, size_wh = outcome.result, outcome.size_wh
            if isinstance(found, MienError):
                output.failure({"image": photo.path}, found)
            elif size_wh is not None:
                failed = _refused(found, limits)
                record = {"image": photo.path, "size_wh": list(size_wh), "faces": _records(found, failed)}
                output.result(record, *_rows(photo.path, found, failed))
            advance(1)


def _refused(found: Quality, limits: QualityLimits) -> list[tuple[QualityReason, ...]]:
    """What each face would be refused for, that there are several among it, whatever the limits."""
    from mien.quality import failings
    from mien.types import QualityReason

    failed = failings(found, limits)
    if len(found) < 2:
        return failed
    shares = found.measure("single_face_present").tolist()
    others = [QualityReason(_SEVERAL, "single_face_present", share, 0.0, "share", False) for share in shares]
    return [
        reasons if any(reason.name == _SEVERAL for reason in reasons) else (*reasons, other)
        for reasons, other in zip(failed, others, strict=True)
    ]


def _records(found: Quality, failed: list[tuple[QualityReason, ...]]) -> list[Record]:
    records = face_records(found.faces, landmarks=False)
    for number, (record, reasons) in enumerate(zip(records, failed, strict=True)):
        record["quality"] = round(float(found.unified[number]), 1)
        record["good_enough"] = not reasons
        record["reasons"] = [
            {
                "name": reason.name,
                "measure": reason.measure,
                "value": round(reason.value, _DIGITS),
                "limit": reason.limit,
                "unit": reason.unit,
            }
            for reason in reasons
        ]
        record["measures"] = _named(found.names, found.measures[number], _DIGITS)
        record["components"] = _named(found.names, found.components[number], 1)
    return records


def _named(names: tuple[str, ...], values: FloatArray, digits: int) -> Record:
    """Numbers by name; what was not measured is null."""
    return {
        name: None if math.isnan(value) else round(value, digits)
        for name, value in zip(names, values.tolist(), strict=True)
    }


def _rows(path: str, found: Quality, failed: list[tuple[QualityReason, ...]]) -> list[tuple[str, ...]]:
    if len(found) == 0:
        return [(path, "none", "", "", "")]
    turns = found.measure("face_rotation")
    return [
        (path, str(k), f"{found.unified[k]:.0f}", f"{turns[k]:.0f}°" if turns[k] else "", "; ".join(map(str, reasons)))
        for k, reasons in enumerate(failed)
    ]
