"""Galleries, the people in them, and who was found among them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.server.places import NAME_PATTERN
from mien.server.schemas.images import Tags, Threshold, Vector

__all__ = [
    "Amendment",
    "BatchIdentification",
    "Enrolled",
    "GalleryList",
    "GalleryRecord",
    "Identification",
    "IdentityList",
    "IdentityRecord",
    "IdentityTemplates",
    "ListOptions",
    "NewGallery",
    "Removed",
    "SearchJson",
    "SearchResults",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Options(BaseModel):
    """How a gallery keeps what it holds."""

    codec: Literal["float32", "int8", "int8-only"]
    fusion: Literal["max", "mean"]
    portraits: bool
    audit: Literal["off", "changes", "all"]
    audit_days: float | None
    retention_days: float | None
    encrypted: bool


class NewGallery(_Strict):
    """A gallery to make."""

    name: str = Field(pattern=NAME_PATTERN)
    codec: Literal["float32", "int8", "int8-only"] = "float32"
    fusion: Literal["max", "mean"] = "max"
    portraits: bool = False
    audit: Literal["off", "changes", "all"] = "changes"
    audit_days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)
    retention_days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)


class GalleryRecord(BaseModel):
    """A gallery."""

    name: str
    space: str | None = Field(description="null before the first enrollment.")
    dimension: int | None = Field(description="Numbers of a template; null before the first enrollment.")
    identities: int
    templates: int
    portraits: int = Field(description="How many templates have a picture.")
    mapped: int = Field(description="How many templates came out of a learned map.")
    target: str | None = Field(description="The space that it is migrating to.")
    migrated: int = Field(description="How many templates have their vector in that space already.")
    options: Options


class GalleryList(BaseModel):
    """The galleries, by name."""

    galleries: list[GalleryRecord]


class ListOptions(_Strict):
    """Which page of the identities."""

    after: str | None = Field(default=None, max_length=4000, description="The last name of the page before.")
    limit: int = Field(default=100, ge=1, le=1000)
    containing: str | None = Field(default=None, max_length=1000, description="Only names that hold this text.")


class Listed(BaseModel):
    """An identity in a list."""

    identity: str
    templates: int


class IdentityList(BaseModel):
    """A page of identities, by name."""

    identities: list[Listed]
    next: str | None = Field(description="What `after` is for the next page; null on the last one.")
    total: int = Field(description="How many identities the gallery has in all.")


class TemplateRecord(BaseModel):
    """A template of an identity, without its vector."""

    template_id: int
    has_portrait: bool


class IdentityRecord(BaseModel):
    """An identity."""

    identity: str
    tags: list[str]
    templates: list[TemplateRecord]


class TemplateVector(BaseModel):
    """A template and its vector."""

    template_id: int
    vector: list[float]


class IdentityTemplates(BaseModel):
    """The vectors of an identity."""

    space: str
    templates: list[TemplateVector]


class Amendment(_Strict):
    """What to change of an identity."""

    name: str | None = Field(default=None, max_length=4000, description="The new name.")
    merge: bool = Field(default=False, description="Join it to who has that name already.")
    tags: Tags | None = Field(default=None, description="These tags and no others.")


class Removed(BaseModel):
    """How many templates were erased."""

    removed: int


class Fault(BaseModel):
    """Why one image of several failed."""

    code: str
    message: str
    reasons: list[dict[str, object]] | None = None


class EnrolledImage(BaseModel):
    """What became of one image."""

    image: str | None
    identity: str
    template_id: int | None = None
    error: Fault | None = None


class Enrolled(BaseModel):
    """What became of each image or template, in order."""

    results: list[EnrolledImage]


class Candidate(BaseModel):
    """Who a face may be."""

    identity: str
    score: float
    rank: int
    template_id: int
    probability: float | None


class IdentifiedFace(BaseModel):
    """A face and its candidates, best first."""

    xyxy: tuple[float, float, float, float]
    score: float
    candidates: list[Candidate]


class Identification(BaseModel):
    """Who the faces of an image are."""

    image: str | None
    size_wh: tuple[int, int]
    faces: list[IdentifiedFace]
    threshold: float


class BatchImage(BaseModel):
    """Who the faces of one image of several are, or why it failed."""

    image: str | None
    size_wh: tuple[int, int] | None = None
    faces: list[IdentifiedFace] | None = None
    threshold: float | None = None
    error: Fault | None = None


class BatchIdentification(BaseModel):
    """A result an image, in order."""

    results: list[BatchImage]


class SearchJson(_Strict):
    """Templates to look for."""

    space: str
    templates: list[Vector] = Field(max_length=10_000)
    top: int = Field(default=1, ge=1)
    threshold: Threshold = None
    tags: Tags = Field(default=[])


class SearchResults(BaseModel):
    """A list of candidates a template, in order."""

    results: list[list[Candidate]]
