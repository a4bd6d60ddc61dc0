"""The same faces through two recognizers, to learn how to get from the templates of one to those of the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from mien.errors import BadInput, MienError
from mien.images import ImageSource
from mien.recognizer.outcomes import Outcome, one_face
from mien.recognizer.recognizer import Recognizer
from mien.types import Templates

__all__ = ["paired_templates"]


def paired_templates(
    old: Recognizer, new: Recognizer, sources: Iterable[ImageSource]
) -> Iterator[Outcome[tuple[Templates, Templates]]]:
    """Both recognizers' template of the largest face of each image, in order, in constant memory.

    Args:
        old: a recognizer.
        new: another one, with the same detector and its settings, so that both see the same face.
        sources: the images, each of one face or with the person as the largest.

    Raises:
        BadInput: the recognizers' detection settings differ.
    """
    mine, other = ((r.settings.detector, r.settings.detector_options()) for r in (old, new))
    if mine != other:
        raise BadInput(f"expected two recognizers with the same detection, got {mine} and {other}")
    first, second = itertools.tee(sources)
    # One window of images after the other, so that the two stay close together.
    for a, b in zip(old.iter_analyze(first, largest=True), new.iter_analyze(second, largest=True), strict=True):
        results = (a.result, b.result)
        failed = next((result for result in results if isinstance(result, MienError)), None)
        if failed is not None:
            yield Outcome(a.size_wh, failed)
            continue
        try:
            pair = [one_face(r, "largest").templates for r in results if not isinstance(r, MienError)]
            yield Outcome(a.size_wh, (pair[0], pair[1]))
        except MienError as error:
            yield Outcome(a.size_wh, error)
