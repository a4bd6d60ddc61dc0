"""Requests that bring images: their options, and their JSON bodies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Base64",
    "EnrollJson",
    "EnrollOptions",
    "FaceOption",
    "IdentifyBatchJson",
    "IdentifyJson",
    "IdentifyOptions",
    "LargestOptions",
    "LookJson",
    "Side",
    "Tags",
    "Vector",
    "VerifyJson",
    "VerifyOptions",
]

Base64 = Annotated[
    str, Field(min_length=1, description="An encoded image in base64, or a data: URL.", examples=["/9j/4AAQ…"])
]
Vector = Annotated[
    list[Annotated[float, Field(ge=-1.001, le=1.001, allow_inf_nan=False)]], Field(min_length=1, max_length=65_536)
]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=100)]
FaceOption = Annotated[
    Literal["single", "largest"], Field(description="`largest` takes the largest face where there are several.")
]
Threshold = Annotated[
    float | None, Field(ge=-1, le=1, allow_inf_nan=False, description="The least score; the server's own without it.")
]
Rate = Annotated[float | None, Field(gt=0, le=0.5, allow_inf_nan=False)]
Fmr = Annotated[Rate, Field(description="The threshold at which this share of comparisons of two people match.")]
Fpir = Annotated[Rate, Field(description="The threshold at which this share of strangers find a candidate here.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LargestOptions(_Strict):
    """Options of what looks at every face."""

    largest: bool = Field(default=False, description="Only the face of the largest box.")


class LookJson(LargestOptions):
    """An image and its options."""

    image: Base64


class VerifyOptions(_Strict):
    """Options of a 1:1 comparison; at most one of ``threshold`` and ``fmr``."""

    threshold: Threshold = None
    fmr: Fmr = None
    face: FaceOption = "single"


class Side(_Strict):
    """One side of a comparison: an image, or a template and its space."""

    image: Base64 | None = None
    template: Vector | None = None
    space: str | None = None


class VerifyJson(VerifyOptions):
    """Two sides and the options of their comparison."""

    a: Side
    b: Side


class EnrollOptions(_Strict):
    """Whom to enroll, and how."""

    identity: str | None = Field(default=None, max_length=4000, description="The person's name.")
    face: FaceOption = "single"
    tags: Tags = Field(default=[], description="Words to find the person by, added to those there are.")


class EnrollJson(EnrollOptions):
    """Images of one person, or templates and their space."""

    image: Base64 | None = None
    images: list[Base64] | None = Field(default=None, min_length=1)
    templates: list[Vector] | None = Field(default=None, min_length=1, max_length=10_000)
    space: str | None = None


class IdentifyOptions(_Strict):
    """Options of an identification; at most one of ``threshold``, ``fmr`` and ``fpir``."""

    top: int = Field(default=1, ge=1, description="The most candidates for a face.")
    threshold: Threshold = None
    fmr: Fmr = None
    fpir: Fpir = None
    tags: Tags = Field(default=[], description="Look only among people who have one of these.")


class IdentifyJson(IdentifyOptions):
    """An image and its options."""

    image: Base64


class IdentifyBatchJson(IdentifyOptions):
    """Images and their options."""

    images: list[Base64] = Field(min_length=1)
