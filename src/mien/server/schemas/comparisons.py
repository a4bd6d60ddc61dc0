"""Scores, and what they mean."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mien.server.schemas.images import Vector

__all__ = ["CalibrationReport", "CompareJson", "Comparisons", "Model", "Models", "Verified", "Version"]


class ComparedFace(BaseModel):
    """Which face of an image was compared."""

    xyxy: tuple[float, float, float, float]
    score: float


class Verified(BaseModel):
    """The outcome of a 1:1 comparison."""

    score: float
    match: bool
    threshold: float
    probability: float | None
    space: str
    a: ComparedFace | None = Field(description="The face of an image; null for a template.")
    b: ComparedFace | None


class CompareJson(BaseModel):
    """Templates to compare, each of ``a`` with each of ``b``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    a: list[Vector] = Field(max_length=100_000)
    b: list[Vector] = Field(max_length=100_000)
    threshold: float | None = Field(default=None, ge=-1, le=1, allow_inf_nan=False)


class Comparisons(BaseModel):
    """Scores of each of ``a`` (rows) with each of ``b`` (columns)."""

    scores: list[list[float]]
    threshold: float
    matches: list[list[bool]]


class Model(BaseModel):
    """A model's card, in short."""

    name: str
    task: str
    license: str
    commercial: bool
    accepted: bool
    present: bool
    in_use: bool
    space: str | None
    dimension: int | None
    description: str


class Models(BaseModel):
    """The models that the server knows."""

    models: list[Model]


class Rate(BaseModel):
    """The threshold for a false match rate."""

    fmr: float
    threshold: float
    extrapolated: bool


class CurvePoint(BaseModel):
    """The probability that comparisons of a score are mated, at even odds."""

    score: float
    probability: float


class Histograms(BaseModel):
    """How many comparisons had which score; one edge more than counts."""

    edges: list[float]
    mated: list[int]
    non_mated: list[int]


class CalibrationReport(BaseModel):
    """What a score means."""

    space: str
    threshold: float
    source: str = Field(description="Where the threshold comes from: `settings`, `model` or `fmr`.")
    data: str | None = Field(description="What the calibration was fitted on; null where there is none.")
    fmr: list[Rate]
    curve: list[CurvePoint]
    histograms: Histograms | None
    file: dict[str, Any] | None = Field(description="The calibration itself, as `mien calibrate` writes it.")


class Version(BaseModel):
    """Which software and models answer."""

    version: str
    space: str
    dimension: int = Field(description="Numbers of a template.")
    threshold: float
    detector: str
    embedder: str
    max_pixels: int
    settings: dict[str, str | float]
    quality: dict[str, str | bool | float | None] = Field(description="What a face must keep to be enrolled.")
