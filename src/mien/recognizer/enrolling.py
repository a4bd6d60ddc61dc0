"""Enrollment in two steps: one template an image, then into the gallery."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from mien.errors import MienError
from mien.galleries import Gallery, NewEnrollment, Portraits
from mien.images import ImageSource
from mien.quality import QualityLimits
from mien.recognizer.assessing import require_quality
from mien.recognizer.outcomes import FaceChoice, Outcome, check_face_choice, one_face, result_of
from mien.recognizer.pipeline import Color, Pipeline
from mien.types import Analysis, Enrollment

__all__ = ["probes", "store"]


def probes(
    pipeline: Pipeline,
    gallery: Gallery,
    items: Iterable[tuple[str, ImageSource]],
    face: FaceChoice,
    color: Color,
    tags: Collection[str],
    limits: QualityLimits,
) -> Iterator[Outcome[NewEnrollment]]:
    """What is to be enrolled of each (identity, image), or why nothing is, in order.

    With a portrait, if the gallery keeps them. A face that does not keep the limits is refused.
    """
    check_face_choice(face)
    waiting: deque[tuple[str, ImageSource]] = deque()

    def sources() -> Iterator[ImageSource]:
        for item in items:
            waiting.append(item)
            yield item[1]

    for outcome in _found(pipeline, sources(), color, gallery.options.portraits, limits.active):
        identity, source = waiting.popleft()
        try:
            analysis, portraits = result_of(outcome)
            chosen = one_face(analysis, face, source)
            require_quality(chosen.quality, limits, f" in {source}" if isinstance(source, (str, os.PathLike)) else "")
            yield Outcome(outcome.size_wh, NewEnrollment(identity, chosen.templates, tags, portraits))
        except MienError as error:
            yield Outcome(outcome.size_wh, error)


def _found(
    pipeline: Pipeline, sources: Iterable[ImageSource], color: Color, portraits: bool, quality: bool
) -> Iterator[Outcome[tuple[Analysis, Portraits | None]]]:
    """Each image's analysis and, if they are wanted, the portrait of its largest face."""
    if portraits:
        for portrayed in pipeline.portray(sources, color, quality):
            yield Outcome(portrayed.size_wh, portrayed.result)
        return
    for outcome in pipeline.analyze(sources, color, largest=False, quality=quality):
        result = outcome.result
        yield Outcome(outcome.size_wh, result if isinstance(result, MienError) else (result, None))


def store(gallery: Gallery, ready: list[Outcome[NewEnrollment]]) -> list[Outcome[Enrollment]]:
    """Store what is ready in one transaction; errors keep their places."""
    enrollments = iter(gallery.add_many([o.result for o in ready if not isinstance(o.result, MienError)]))
    return [Outcome(o.size_wh, o.result if isinstance(o.result, MienError) else next(enrollments)) for o in ready]
