"""What the JSON lines hold: the records of ``mien.recognizer.records``, and how a table shows a probability.

They are imported when they are called: the command line's help needs none of what they bring with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.types import Faces, Match

__all__ = ["Record", "candidate_record", "face_records", "rounded_probability", "rounded_score", "shown_probability"]

Record = dict[str, Any]


def face_records(faces: Faces, *, landmarks: bool = True) -> list[Record]:
    """See ``mien.recognizer.records.face_records``."""
    from mien.recognizer import records

    return records.face_records(faces, landmarks=landmarks)


def candidate_record(match: Match) -> Record:
    """See ``mien.recognizer.records.candidate_record``."""
    from mien.recognizer import records

    return records.candidate_record(match)


def rounded_probability(probability: float | None) -> float | None:
    """See ``mien.recognizer.records.rounded_probability``."""
    from mien.recognizer import records

    return records.rounded_probability(probability)


def rounded_score(score: float) -> float:
    """See ``mien.recognizer.records.rounded_score``."""
    from mien.recognizer import records

    return records.rounded_score(score)


def shown_probability(probability: float | None) -> str:
    """A probability for a table: never a bare 0 or 1, which nothing bears out; empty without a calibration."""
    if probability is None:
        return ""
    if probability > 0.9999:
        return "> 0.9999"
    return "< 0.0001" if probability < 0.0001 else f"{probability:.4f}"
