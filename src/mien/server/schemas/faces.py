"""What is said of the faces in an image."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["DetectedFace", "Detection", "EmbeddedFace", "Embedding", "QualityFace", "QualityReport", "Reason"]

Pair = tuple[float, float]
Box = tuple[float, float, float, float]


class _OfImage(BaseModel):
    image: str | None = Field(description="The file's name, if the client told it.")
    size_wh: tuple[int, int] = Field(description="Width and height in pixels.")


class DetectedFace(BaseModel):
    """A face, in pixels of the image."""

    xyxy: Box = Field(description="Left, top, right, bottom.")
    score: float = Field(description="The detector's confidence, 0 to 1.")
    landmarks: list[Pair] = Field(description="The eyes (left one of the image first), nose tip, mouth corners.")


class Detection(_OfImage):
    """The faces of an image."""

    faces: list[DetectedFace]


class EmbeddedFace(DetectedFace):
    """A face and its template."""

    template: list[float] = Field(description="A vector of unit length.")


class Embedding(_OfImage):
    """The templates of an image's faces."""

    space: str
    faces: list[EmbeddedFace]


class Reason(BaseModel):
    """One thing that is wrong with a face."""

    name: str
    measure: str
    value: float
    limit: float
    unit: str
    message: str = Field(description="What to do, in words.")


class QualityFace(BaseModel):
    """How good a face is for recognition."""

    xyxy: Box
    score: float
    quality: float = Field(description="0 to 100, higher is better.")
    good_enough: bool = Field(description="Whether it could be enrolled.")
    reasons: list[Reason]
    measures: dict[str, float | None]
    components: dict[str, float | None]


class QualityReport(_OfImage):
    """The quality of an image's faces."""

    faces: list[QualityFace]
