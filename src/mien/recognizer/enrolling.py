"""Enrollment in two steps: one template an image, then into the gallery."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from mien.errors import MienError
from mien.galleries import Gallery
from mien.images import ImageSource
from mien.recognizer.outcomes import FaceChoice, Outcome, check_face_choice, one_face, result_of
from mien.recognizer.pipeline import Color, Pipeline
from mien.types import Enrollment, Templates

__all__ = ["probes", "store"]


def probes(
    pipeline: Pipeline, items: Iterable[tuple[str, ImageSource]], face: FaceChoice, color: Color
) -> Iterator[Outcome[tuple[str, Templates]]]:
    """The identity and the one template of each (identity, image), or why there is none, in order."""
    check_face_choice(face)
    waiting: deque[tuple[str, ImageSource]] = deque()

    def sources() -> Iterator[ImageSource]:
        for item in items:
            waiting.append(item)
            yield item[1]

    for outcome in pipeline.analyze(sources(), color, largest=False):
        identity, source = waiting.popleft()
        try:
            yield Outcome(outcome.size_wh, (identity, one_face(result_of(outcome), face, source).templates))
        except MienError as error:
            yield Outcome(outcome.size_wh, error)


def store(gallery: Gallery, ready: list[Outcome[tuple[str, Templates]]]) -> list[Outcome[Enrollment]]:
    """Store what is ready in one transaction; errors keep their places."""
    enrollments = iter(gallery.add_many([o.result for o in ready if not isinstance(o.result, MienError)]))
    return [Outcome(o.size_wh, o.result if isinstance(o.result, MienError) else next(enrollments)) for o in ready]
