"""What the JSON lines hold: plain values, rounded to what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.types import Faces, Match

__all__ = ["Record", "candidate_record", "face_records", "rounded_probability", "rounded_score", "shown_probability"]

Record = dict[str, Any]

_PIXEL_DIGITS = 3
_SCORE_DIGITS = 6


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


def rounded_probability(probability: float | None) -> float | None:
    """A probability with six digits behind the first that is not 0; None where there is no calibration."""
    return None if probability is None else float(f"{probability:.7g}")


def shown_probability(probability: float | None) -> str:
    """A probability for a table: never a bare 0 or 1, which nothing bears out; empty without a calibration."""
    if probability is None:
        return ""
    if probability > 0.9999:
        return "> 0.9999"
    return "< 0.0001" if probability < 0.0001 else f"{probability:.4f}"


def rounded_score(score: float) -> float:
    """A score with the digits that a float32 computation can vouch for."""
    return round(float(score), _SCORE_DIGITS)
