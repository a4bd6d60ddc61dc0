"""From the server's JSON to the library's types."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

from mien.client.problems import of_code, reason_of
from mien.errors import MienError
from mien.galleries import GalleryOptions, GallerySummary
from mien.quality import COMPONENTS
from mien.types import Analysis, Chips, Enrollment, Faces, Match, Quality, QualityReason, Templates, Verification

__all__ = [
    "JudgedQuality",
    "Seen",
    "analysis_of",
    "enrollment_of",
    "error_in",
    "faces_of",
    "match_of",
    "quality_of",
    "summary_of",
    "templates_of",
    "verification_of",
]

_Found = TypeVar("_Found")
_NO_PIXELS = 0


@dataclass(frozen=True, slots=True)
class Seen(Generic[_Found]):
    """What was found in an image, and the image's size.

    Attributes:
        size_wh: width and height of the original image in pixels.
        found: in it.
    """

    size_wh: tuple[int, int]
    found: _Found


def size_of(record: Any) -> tuple[int, int]:
    """The image's size."""
    width, height = record["size_wh"]
    return int(width), int(height)


def faces_of(records: Any) -> Faces:
    """The faces of an image; landmarks are zeros where the record has none."""
    if not records:
        return Faces.none()
    none = np.zeros((5, 2)).tolist()
    return Faces(
        np.array([face["xyxy"] for face in records], np.float32),
        np.array([face["score"] for face in records], np.float32),
        np.array([face.get("landmarks", none) for face in records], np.float32),
    )


def analysis_of(record: Any) -> Analysis:
    """An image's analysis; its chips are not sent, they have no pixels."""
    faces = faces_of(record["faces"])
    count = len(faces)
    chips = Chips(np.empty((count, _NO_PIXELS, _NO_PIXELS, 3), np.uint8), np.zeros((count, 2, 3), np.float32))
    vectors = [face["template"] for face in record["faces"]]
    return Analysis(size_of(record), faces, chips, templates_of(vectors, record["space"]))


def templates_of(vectors: Any, space: str) -> Templates:
    """Templates from lists of numbers; of none, the length of a vector is not known and 0."""
    count = len(vectors)
    return Templates(np.array(vectors, np.float32).reshape(count, -1 if count else 0), space)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedQuality(Quality):
    """Quality of faces, and what the server would refuse each for.

    Attributes:
        reasons: of each face.
    """

    reasons: tuple[tuple[QualityReason, ...], ...] = ()


def quality_of(record: Any) -> JudgedQuality:
    """The quality of an image's faces."""
    records = record["faces"]
    names = tuple(records[0]["measures"]) if records else tuple(component.name for component in COMPONENTS)
    return JudgedQuality(
        faces_of(records),
        np.array([face["quality"] for face in records], np.float32),
        names,
        _table([face["measures"] for face in records], names),
        _table([face["components"] for face in records], names),
        tuple(tuple(map(reason_of, face["reasons"])) for face in records),
    )


def _table(rows: list[dict[str, float | None]], names: tuple[str, ...]) -> Any:
    values = [[np.nan if row[name] is None else row[name] for name in names] for row in rows]
    return np.array(values, np.float32).reshape(len(rows), len(names))


def verification_of(record: Any) -> Verification:
    """The outcome of a comparison."""
    return Verification(
        float(record["score"]),
        bool(record["match"]),
        float(record["threshold"]),
        _number(record["probability"]),
        str(record["space"]),
    )


def match_of(record: Any) -> Match:
    """A candidate of a search."""
    return Match(
        str(record["identity"]),
        float(record["score"]),
        int(record["rank"]),
        int(record["template_id"]),
        _number(record.get("probability")),
        record.get("gallery"),
    )


def enrollment_of(record: Any, about: str | None = None) -> Enrollment | MienError:
    """What became of one image that was to be enrolled: where it is, or why it is not."""
    error = error_in(record, about)
    return Enrollment(str(record["identity"]), int(record["template_id"])) if error is None else error


def error_in(record: Any, about: str | None = None) -> MienError | None:
    """The error that one result of several holds, if it does."""
    found = record.get("error")
    if found is None:
        return None
    return of_code(str(found["code"]), str(found["message"]), about, found.get("reasons"))


def summary_of(record: Any) -> GallerySummary:
    """A gallery, as lists have it."""
    known = {field.name for field in fields(GalleryOptions)}
    options = GalleryOptions(**{name: value for name, value in record["options"].items() if name in known})
    return GallerySummary(
        name=str(record["name"]),
        space=record["space"],
        dimension=record.get("dimension"),
        options=options,
        identities=int(record["identities"]),
        templates=int(record["templates"]),
        mapped=int(record.get("mapped") or 0),
        portraits=int(record.get("portraits") or 0),
        target=record.get("target"),
        migrated=int(record.get("migrated") or 0),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
