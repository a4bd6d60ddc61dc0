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

__all__ = ["new_enrollment", "probes", "store"]


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
            found = result_of(outcome)
            yield Outcome(outcome.size_wh, new_enrollment(identity, *found, face, limits, tags, source))
        except MienError as error:
            yield Outcome(outcome.size_wh, error)


def new_enrollment(
    identity: str,
    analysis: Analysis,
    portraits: Portraits | None,
    face: FaceChoice,
    limits: QualityLimits,
    tags: Collection[str],
    source: object = None,
) -> NewEnrollment:
    """What is to be enrolled of one image.

    Args:
        identity: the person's name.
        analysis: of the image, with its quality if the limits are active.
        portraits: the portrait of its largest face, or None.
        face: ``"largest"`` takes the largest face where there are several.
        limits: what the face must keep.
        tags: words to find the person by.
        source: the image, for the errors' messages.

    Raises:
        NoFace: it shows no face.
        SeveralFaces: it shows several, and ``face`` is ``"single"``.
        QualityRefused: the face does not keep the limits.
    """
    chosen = one_face(analysis, face, source)
    require_quality(chosen.quality, limits, f" in {source}" if isinstance(source, (str, os.PathLike)) else "")
    return NewEnrollment(identity, chosen.templates, tags, portraits)


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
