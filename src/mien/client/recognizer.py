"""``RemoteRecognizer``: the calls of ``Recognizer`` that the command line makes, answered by a server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mien.client import calls, gallery_calls
from mien.client.client import Client
from mien.client.reading import Seen
from mien.errors import BadInput, MienError
from mien.galleries import Gallery, GalleryGroup, Searchable
from mien.images import ImageSource
from mien.matching.calibration import Calibration, require_calibration
from mien.quality import QualityLimits
from mien.recognizer import FaceChoice, Outcome
from mien.recognizer.outcomes import result_of
from mien.types import Analysis, Enrollment, Faces, Match, Quality, Templates, Verification

__all__ = ["RemoteModel", "RemoteRecognizer", "RemoteSettings"]

_Found = TypeVar("_Found")
_PARALLEL = 4


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """A server's settings, as far as the command line asks for them; see ``Settings``.

    Attributes:
        threshold: always None: whether it is the server's own setting is not told.
        max_pixels: the largest width × height of an image.
        precision: numbers inside the models.
        min_face: side of the smallest face to be found.
        min_score: lowest detection score of a face.
        max_overlap: of two boxes.
        limits: what a face must be like to be enrolled.
    """

    threshold: float | None
    max_pixels: int
    precision: str
    min_face: int
    min_score: float
    max_overlap: float
    limits: QualityLimits

    def quality_limits(self) -> QualityLimits:
        """See ``Settings.quality_limits``."""
        return self.limits


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that a server works with.

    Attributes:
        space: its card's ``space``.
        dimension: length of its templates; 0 of a detector.
    """

    space: str
    dimension: int


class RemoteRecognizer:
    """Finds, compares, enrolls and identifies faces on a server.

    Args:
        client: asks the server.
        parallel: how many requests at once.
    """

    def __init__(self, client: Client, *, parallel: int = _PARALLEL) -> None:
        self.client = client
        self._parallel = parallel

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the server says of its models and settings."""
        return self.client.version().record

    @property
    def space(self) -> str:
        """The embedding space of the server's templates."""
        return str(self.facts["space"])

    @property
    def detector(self) -> RemoteModel:
        """The server's detector."""
        return RemoteModel(str(self.facts["settings"]["detector_space"]), 0)

    @property
    def embedder(self) -> RemoteModel:
        """The server's embedder."""
        return RemoteModel(self.space, int(self.facts["dimension"]))

    @property
    def threshold(self) -> float:
        """The score from which two templates match."""
        return float(self.facts["threshold"])

    @cached_property
    def settings(self) -> RemoteSettings:
        """The server's settings."""
        told = self.facts["settings"]
        return RemoteSettings(
            threshold=None,
            max_pixels=int(self.facts["max_pixels"]),
            precision=str(told["precision"]),
            min_face=int(told["min_face"]),
            min_score=float(told["min_score"]),
            max_overlap=float(told["max_overlap"]),
            limits=QualityLimits.model_validate(self.facts["quality"]),
        )

    @cached_property
    def calibration(self) -> Calibration | None:
        """What the server's scores mean, or None where it does not know."""
        found = self.client.send(calls.calibration_file())
        if found is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "calibration.json"
            path.write_text(found, encoding="utf-8")
            return Calibration.load(path)

    def threshold_at(
        self, *, fmr: float | None = None, fpir: float | None = None, gallery: Searchable | None = None
    ) -> float:
        """See ``Recognizer.threshold_at``."""
        if (fmr is None) == (fpir is None):
            raise BadInput(f"expected either fmr or fpir, got fmr {fmr} and fpir {fpir}")
        calibration = require_calibration(self.calibration, self.space)
        if fmr is not None:
            return calibration.threshold_at(fmr)
        if fpir is None or gallery is None:
            raise BadInput("fpir: expected a gallery, whose size decides, got none")
        return calibration.threshold_at_fpir(fpir, max(1, len(gallery)))

    def iter_detect(self, sources: Iterable[ImageSource], *, largest: bool = False) -> Iterator[Outcome[Faces]]:
        """See ``Recognizer.iter_detect``."""
        return _sized(self._each(lambda source: calls.see_faces(source, largest=largest), sources))

    def iter_assess(self, sources: Iterable[ImageSource], *, largest: bool = False) -> Iterator[Outcome[Quality]]:
        """See ``Recognizer.iter_assess``."""
        return _sized(self._each(lambda source: calls.see_quality(source, largest=largest), sources))

    def iter_analyze(self, sources: Iterable[ImageSource], *, largest: bool = False) -> Iterator[Outcome[Analysis]]:
        """See ``Recognizer.iter_analyze``."""
        for outcome in self._each(lambda source: calls.analyze(source, largest=largest), sources):
            found = outcome.result
            yield outcome if isinstance(found, MienError) else Outcome(found.size_wh, found)

    def analyze(self, sources: Iterable[ImageSource], *, errors: str = "raise") -> list[Analysis | MienError]:
        """See ``Recognizer.analyze``, for a batch."""
        outcomes = self.iter_analyze(sources)
        return [outcome.result if errors == "return" else result_of(outcome) for outcome in outcomes]

    def compare(self, a: Templates, b: Templates, *, threshold: float | None = None) -> Verification:
        """See ``Recognizer.compare``."""
        found = self.client.compare(a, b, threshold=threshold)
        # Answers are rounded; what was asked for is told as it was.
        return found if threshold is None else replace(found, threshold=threshold)

    def iter_enroll(
        self,
        gallery: Gallery,
        items: Iterable[tuple[str, ImageSource]],
        *,
        face: FaceChoice = "single",
        tags: Collection[str] = (),
    ) -> Iterator[Outcome[Enrollment]]:
        """See ``Recognizer.iter_enroll``; each image is stored by itself."""
        return self._each(
            lambda item: gallery_calls.enroll(gallery.name, item[0], item[1], face=face, tags=tags), items
        )

    def search(
        self,
        gallery: Searchable,
        templates: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        enrolled: int | None = None,
    ) -> list[list[Match]]:
        """See ``Recognizer.search``."""
        limit = self.threshold if threshold is None else threshold
        found = gallery.search(templates, top=top, threshold=limit, tags=tags)
        if not isinstance(gallery, GalleryGroup) or self.calibration is None:
            return found
        # The server knows each gallery's size, and not that several are searched as one.
        count = max(1, len(gallery) if enrolled is None else enrolled)
        return [[self._of_all(match, count) for match in matches] for matches in found]

    def _of_all(self, match: Match, count: int) -> Match:
        calibration = require_calibration(self.calibration, self.space)
        return replace(match, probability=float(calibration.candidate_probability([match.score], count)[0]))

    def _each(self, describe: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Outcome[Any]]:
        return self.client.each(describe, items, self._parallel)


def _sized(outcomes: Iterator[Outcome[Seen[_Found]]]) -> Iterator[Outcome[_Found]]:
    for outcome in outcomes:
        seen = outcome.result
        if isinstance(seen, MienError):
            yield Outcome(None, seen)
        else:
            yield Outcome(seen.size_wh, seen.found)
