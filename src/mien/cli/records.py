"""What the JSON lines hold: plain values, rounded to what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.types import Faces, Match

__all__ = ["Record", "candidate_record", "face_records", "rounded_score"]

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
        "probability": None if match.probability is None else rounded_score(match.probability),
    }
    return record if match.gallery is None else {**record, "gallery": match.gallery}


def rounded_score(score: float) -> float:
    """A score with the digits that a float32 computation can vouch for."""
    return round(float(score), _SCORE_DIGITS)
