"""Results as plain values for JSON, rounded to what they mean: what the command line prints and the server answers."""

from __future__ import annotations

import math
from typing import Any

from mien.quality import QualityLimits, failings
from mien.types import Faces, FloatArray, Match, Quality, QualityReason, Templates, Verification

__all__ = [
    "Record",
    "candidate_record",
    "face_records",
    "quality_records",
    "reason_record",
    "refusals",
    "rounded_probability",
    "rounded_score",
    "vectors_of",
    "verification_record",
]

Record = dict[str, Any]

_PIXEL_DIGITS = 3
_SCORE_DIGITS = 6
_MEASURE_DIGITS = 4
_SEVERAL = "several_faces"


def face_records(faces: Faces, *, landmarks: bool = True) -> list[Record]:
    """One record a face: ``xyxy`` and ``landmarks`` in pixels of the original image, ``score`` in 0..1."""
    records: list[Record] = []
    for box, score, points in zip(faces.xyxy.tolist(), faces.scores.tolist(), faces.landmarks.tolist(), strict=True):
        record: Record = {"xyxy": [round(v, _PIXEL_DIGITS) for v in box], "score": rounded_score(score)}
        if landmarks:
            record["landmarks"] = [[round(v, _PIXEL_DIGITS) for v in point] for point in points]
        records.append(record)
    return records


def candidate_record(match: Match) -> Record:
    """One candidate of an identification; with its gallery, where several were searched."""
    record: Record = {
        "identity": match.identity,
        "score": rounded_score(match.score),
        "rank": match.rank,
        "template_id": match.template_id,
        "probability": rounded_probability(match.probability),
    }
    return record if match.gallery is None else {**record, "gallery": match.gallery}


def verification_record(found: Verification) -> Record:
    """The outcome of a 1:1 comparison."""
    return {
        "score": rounded_score(found.score),
        "match": found.match,
        "threshold": rounded_score(found.threshold),
        "probability": rounded_probability(found.probability),
        "space": found.space,
    }


def rounded_probability(probability: float | None) -> float | None:
    """A probability with six digits behind the first that is not 0; None where there is no calibration."""
    return None if probability is None else float(f"{probability:.7g}")


def rounded_score(score: float) -> float:
    """A score with the digits that a float32 computation can vouch for."""
    return round(float(score), _SCORE_DIGITS)


def vectors_of(templates: Templates) -> list[list[float]]:
    """Each template as numbers of nine digits, which give back the same float32 bit by bit."""
    return [[float(f"{value:.9g}") for value in vector] for vector in templates.vectors.tolist()]


def refusals(found: Quality, limits: QualityLimits) -> list[tuple[QualityReason, ...]]:
    """What each face would be refused for, that there are several among it, whatever the limits."""
    failed = failings(found, limits)
    if len(found) < 2:
        return failed
    shares = found.measure("single_face_present").tolist()
    others = [QualityReason(_SEVERAL, "single_face_present", share, 0.0, "share", False) for share in shares]
    return [
        reasons if any(reason.name == _SEVERAL for reason in reasons) else (*reasons, other)
        for reasons, other in zip(failed, others, strict=True)
    ]


def quality_records(found: Quality, failed: list[tuple[QualityReason, ...]]) -> list[Record]:
    """One record a face: its quality, what it would be refused for, every measure and its score.

    Args:
        found: the faces' quality.
        failed: what ``refusals`` says of it.
    """
    records = face_records(found.faces, landmarks=False)
    for number, (record, reasons) in enumerate(zip(records, failed, strict=True)):
        record["quality"] = round(float(found.unified[number]), 1)
        record["good_enough"] = not reasons
        record["reasons"] = [reason_record(reason) for reason in reasons]
        record["measures"] = _named(found.names, found.measures[number], _MEASURE_DIGITS)
        record["components"] = _named(found.names, found.components[number], 1)
    return records


def reason_record(reason: QualityReason) -> Record:
    """One thing that is wrong with a face."""
    return {
        "name": reason.name,
        "measure": reason.measure,
        "value": round(reason.value, _MEASURE_DIGITS),
        "limit": reason.limit,
        "unit": reason.unit,
    }


def _named(names: tuple[str, ...], values: FloatArray, digits: int) -> Record:
    """Numbers by name; what was not measured is null."""
    return {
        name: None if math.isnan(value) else round(value, digits)
        for name, value in zip(names, values.tolist(), strict=True)
    }
