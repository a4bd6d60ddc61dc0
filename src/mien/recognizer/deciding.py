"""From scores to decisions: thresholds, matches and the probabilities that go with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from mien.errors import BadInput
from mien.galleries import Searchable
from mien.matching import paired_scores
from mien.matching.calibration import Calibration, find_calibration, require_calibration
from mien.types import Analysis, Match, Templates, Verification

__all__ = ["Decisions"]


class Decisions:
    """What is decided about templates of one space.

    Args:
        space: the embedding space.
        threshold: the score from which two templates match, unless the caller says another.
        own: a file of the user's that says what a score of this space means; it is read at once. Another one, which
            is found for the space, is read when it is first asked for: if it is damaged, that bars nobody who does
            without, ``mien calibrate`` least of all.

    Raises:
        SpaceMismatch: the file is for another space.
        BadInput: it is missing or damaged.
    """

    def __init__(self, space: str, threshold: float, own: Path | None = None) -> None:
        self.space, self.threshold = space, threshold
        self._own = own
        if own is not None:
            _ = self.calibration

    @cached_property
    def calibration(self) -> Calibration | None:
        """What a score of this space means, or None where nobody knows.

        Raises:
            BadInput: the file is damaged.
        """
        return find_calibration(self.space, self._own)

    def compare(self, a: Templates, b: Templates, threshold: float | None) -> Verification:
        """See ``Recognizer.compare``."""
        for templates in (a, b):
            templates.require_space(self.space)
            if len(templates) != 1:
                raise BadInput(f"expected one template, got {len(templates)}")
        limit = self.threshold if threshold is None else threshold
        if math.isnan(limit):
            raise BadInput("threshold: expected a number or None, got NaN, with which nothing would ever match")
        score = float(paired_scores(a.vectors, b.vectors)[0])
        probability = None if self.calibration is None else float(self.calibration.probability(score))
        return Verification(score, score >= limit, limit, probability, self.space)

    def search(
        self,
        gallery: Searchable,
        templates: Templates,
        top: int,
        threshold: float | None,
        tags: Collection[str] | None,
        enrolled: Callable[[], int],
    ) -> list[list[Match]]:
        """See ``Recognizer.search``; ``enrolled`` counts the gallery's templates, if they have to be."""
        limit = self.threshold if threshold is None else threshold
        found = gallery.search(templates, top=top, threshold=limit, tags=tags)
        if self.calibration is None or not any(found):
            return found
        # Whoever removed the last template since has not undone what was found.
        count = max(1, enrolled())
        return [self._with_probabilities(self.calibration, matches, count) for matches in found]

    def searching(
        self, gallery: Searchable, top: int, threshold: float | None, tags: Collection[str] | None
    ) -> Callable[[Analysis], list[list[Match]]]:
        """``search`` for one image after the other; the gallery, which may be large, is counted once at most."""
        count = cache(lambda: len(gallery))
        return lambda found: self.search(gallery, found.templates, top, threshold, tags, count)

    def threshold_at(self, fmr: float | None, fpir: float | None, gallery: Searchable | None) -> float:
        """See ``Recognizer.threshold_at``."""
        if (fmr is None) == (fpir is None):
            raise BadInput(f"expected either fmr or fpir, got fmr {fmr} and fpir {fpir}")
        calibration = require_calibration(self.calibration, self.space)
        if fmr is not None:
            return calibration.threshold_at(fmr)
        if fpir is None or gallery is None:
            raise BadInput("fpir: expected a gallery, whose size decides, got none")
        # In an empty gallery nobody is found, whatever the threshold.
        return calibration.threshold_at_fpir(fpir, max(1, len(gallery)))

    @staticmethod
    def _with_probabilities(calibration: Calibration, matches: list[Match], enrolled: int) -> list[Match]:
        values = calibration.candidate_probability([match.score for match in matches], enrolled).tolist()
        return [replace(match, probability=value) for match, value in zip(matches, values, strict=True)]
