"""The keywords that the overloads of one call share, written once."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from mien.recognizer.outcomes import FaceChoice
from mien.recognizer.pipeline import Color

__all__ = ["Analyzing", "Detecting", "Enrolling", "Identifying"]


class Detecting(TypedDict, total=False):
    """Keywords of ``Recognizer.detect`` and ``Recognizer.assess``."""

    largest: bool
    color: Color


class Analyzing(Detecting, total=False):
    """Keywords of ``Recognizer.analyze``."""

    quality: bool
    upright: bool


class Enrolling(TypedDict, total=False):
    """Keywords of ``Recognizer.enroll``."""

    face: FaceChoice
    tags: Collection[str]
    color: Color


class Identifying(TypedDict, total=False):
    """Keywords of ``Recognizer.identify``."""

    top: int
    threshold: float | None
    tags: Collection[str] | None
    color: Color
