"""The same faces through two recognizers, to learn how to get from the templates of one to those of the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from mien.errors import BadInput, MienError
from mien.images import ImageSource
from mien.recognizer.outcomes import Outcome, one_face
from mien.recognizer.recognizer import Recognizer
from mien.types import Templates

__all__ = ["paired_templates", "require_enough"]

# As ``mien.matching.mapping.fit_map`` has them.
_FEWEST_PEOPLE = 10
_HELD_OUT = 0.3


def require_enough(images: Iterable[int], fmr: float) -> None:
    """Check, before any image is looked at, that a map fitted on these people could be measured.

    What passes may still turn out too little: the held-out people are drawn at random, and faces may not be found.

    Args:
        images: how many there are of each person.
        fmr: the false match rate at which the map's loss is to be measured, 0..1.

    Raises:
        BadInput: whoever is held out, there are too few people or pairs.
    """
    counts = sorted((count for count in images if count), reverse=True)
    if len(counts) < _FEWEST_PEOPLE:
        raise BadInput(f"expected at least {_FEWEST_PEOPLE} people to fit a map on, got {len(counts)}")
    if counts[0] < 2:
        raise BadInput("expected people of several images each to measure a map on, got one image of each")
    held_out = counts[: round(len(counts) * _HELD_OUT)]
    pairs = (sum(held_out) ** 2 - sum(count**2 for count in held_out)) // 2
    wanted = math.ceil(1 / fmr)
    if pairs < wanted:
        raise BadInput(
            f"to measure a map at a false match rate of {fmr:g}, expected at least {wanted} pairs of images of "
            f"different people among the three tenths of them that are held out, got {pairs} at best "
            f"({len(counts)} people with {sum(counts)} images); take more people, with more images each"
        )


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
