"""``Recognizer``: the calls that applications, the command line and the server make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, overload

from mien.detection import Detector
from mien.embedding import Embedder
from mien.errors import MienError
from mien.galleries import Gallery, Searchable
from mien.images import ImageSource
from mien.matching.calibration import Calibration
from mien.quality import MeasuredScorer
from mien.recognizer.calls import Analyzing, Detecting, Enrolling, Identifying
from mien.recognizer.deciding import Decisions
from mien.recognizer.enrolling import probes, store
from mien.recognizer.loading import Models
from mien.recognizer.outcomes import Batch, FaceChoice, OnError, Outcome, answer, closed, mapped, one_face, result_of
from mien.recognizer.pipeline import Color, Pipeline, windows
from mien.recognizer.settings import Settings
from mien.types import Analysis, Enrollment, Faces, ImageArray, Match, Quality, Templates, Verification

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Batch", "OnError", "Recognizer"]


class Recognizer:
    """Finds, compares, enrolls and identifies faces.

    Safe to use from many threads; models load on first use, or by ``warmup``. Every call that takes an image
    takes anything that ``mien.images.open_image`` does; one image gives one result, a batch (list, tuple,
    iterator or ``(N, H, W, 3)`` array) gives a list, equal to that of the images one by one. With
    ``errors="return"`` an image that cannot be used leaves its ``MienError`` in its place in the list; with
    ``"raise"``, the default, the first one is raised. ``color="bgr"`` says that arrays are blue first.

    Args:
        settings: which models and how; None for ``Settings()``. Its calibration, or the one that is found for the
            embedder's space, is the attribute ``calibration``: what scores mean, or None.
        detector: a detector of your own instead of the settings' one.
        embedder: an embedder of your own instead of the settings' one.

    Raises:
        BadSettings: the settings are not valid.
        ModelNotFound: no card has the detector's or the embedder's name.
        SpaceMismatch: the settings' calibration is for another space.
        BadInput: the calibration's file is missing or damaged.
    """

    def __init__(
        self, settings: Settings | None = None, *, detector: Detector | None = None, embedder: Embedder | None = None
    ) -> None:
        self.settings = given = Settings() if settings is None else settings
        self._models = Models(self.settings)
        self.detector: Detector = self._models.detector() if detector is None else detector
        self.embedder: Embedder = self._models.embedder() if embedder is None else embedder
        scorer = MeasuredScorer(confidence=detector is None and self._models.detector_is_yunet)
        self._limits = given.quality_limits()
        self._pipeline = Pipeline(self.detector, self.embedder, given.batch, given.max_pixels, scorer, given.upright)
        self._decisions = Decisions(self.space, self.threshold, given.calibration)

    @property
    def calibration(self) -> Calibration | None:
        """What scores mean, or None where nobody knows; the cache folder's is read on first use or by ``warmup``."""
        return self._decisions.calibration

    @property
    def space(self) -> str:
        """The embedding space of this recognizer's templates."""
        return self.embedder.space

    @property
    def threshold(self) -> float:
        """The score from which two templates match: the settings', or else the embedder's own."""
        return self.embedder.threshold if self.settings.threshold is None else self.settings.threshold

    def threshold_at(
        self, *, fmr: float | None = None, fpir: float | None = None, gallery: Searchable | None = None
    ) -> float:
        """The threshold for a false match rate, or for a false positive identification rate in a gallery of its size.

        Raises:
            CalibrationNotFound: there is no calibration for this space.
            BadInput: not exactly one rate was given, or it is out of range, or ``fpir`` came without a gallery.
        """
        return self._decisions.threshold_at(fmr, fpir, gallery)

    @property
    def pipeline(self) -> Pipeline:
        """The steps that all calls go through, for who wants them one by one."""
        return self._pipeline

    def warmup(self) -> Recognizer:
        """Load the models now (finding, checking and converting their files if need be); returns itself.

        Raises:
            ModelNotFound: a model's file is in none of its sources.
            HashMismatch: a model's file is not the one its card names.
            LicenseRefused: a model's license awaits the user's consent.
        """
        self._models.load()
        _ = self.calibration  # a damaged one is found out now
        return self

    # A str fits both the overload for one image and that for a batch: the one image stands first, and wins.
    @overload
    def detect(  # type: ignore[overload-overlap]
        self, source: ImageSource, *, errors: OnError = ..., **more: Unpack[Detecting]
    ) -> Faces: ...
    @overload
    def detect(
        self, source: Batch, *, errors: Literal["return"], **more: Unpack[Detecting]
    ) -> list[Faces | MienError]: ...
    @overload
    def detect(self, source: Batch, *, errors: Literal["raise"] = ..., **more: Unpack[Detecting]) -> list[Faces]: ...
    def detect(
        self, source: object, *, errors: OnError = "raise", largest: bool = False, color: Color = "rgb"
    ) -> object:
        """Faces of an image (``Faces``, maybe of length 0) or of each image of a batch (a list).

        Args:
            source: an image or a batch.
            errors: whether an image that cannot be used raises or is returned as its error.
            largest: give back the face of the largest box alone.
            color: channel order of arrays.

        Raises:
            BadImage: an image cannot be used, and ``errors`` is ``"raise"``.
        """
        return answer(source, errors, lambda sources: self.iter_detect(sources, largest=largest, color=color))

    @overload
    def analyze(  # type: ignore[overload-overlap]
        self, source: ImageSource, *, errors: OnError = ..., **more: Unpack[Analyzing]
    ) -> Analysis: ...
    @overload
    def analyze(
        self, source: Batch, *, errors: Literal["return"], **more: Unpack[Analyzing]
    ) -> list[Analysis | MienError]: ...
    @overload
    def analyze(
        self, source: Batch, *, errors: Literal["raise"] = ..., **more: Unpack[Analyzing]
    ) -> list[Analysis]: ...
    def analyze(
        self,
        source: object,
        *,
        errors: OnError = "raise",
        largest: bool = False,
        color: Color = "rgb",
        quality: bool = False,
        upright: bool = True,
    ) -> object:
        """Faces, chips and templates of an image (``Analysis``) or of each image of a batch (a list).

        With ``quality``, their quality too, and photos that lie on a side or upside down are seen as if upright (see
        ``assess``); with ``upright=False`` they are seen as they lie, and all but the quality is what it is without.
        The other arguments and the errors are those of ``detect``.
        """

        def analyses(sources: Iterable[ImageSource]) -> Iterator[Outcome[Analysis]]:
            return self.iter_analyze(sources, largest=largest, color=color, quality=quality, upright=upright)

        return answer(source, errors, analyses)

    @overload
    def assess(  # type: ignore[overload-overlap]
        self, source: ImageSource, *, errors: OnError = ..., **more: Unpack[Detecting]
    ) -> Quality: ...
    @overload
    def assess(
        self, source: Batch, *, errors: Literal["return"], **more: Unpack[Detecting]
    ) -> list[Quality | MienError]: ...
    @overload
    def assess(self, source: Batch, *, errors: Literal["raise"] = ..., **more: Unpack[Detecting]) -> list[Quality]: ...
    def assess(
        self, source: object, *, errors: OnError = "raise", largest: bool = False, color: Color = "rgb"
    ) -> object:
        """How good the faces of an image are (``Quality``), or those of each image of a batch (a list).

        A photo in which nothing is found, or nothing surely, is looked at from its other sides too. If it lies on a
        side or upside down, its faces are measured as if it were upright, and ``face_rotation`` is not 0.

        The arguments and errors are those of ``detect``.
        """
        return answer(source, errors, lambda sources: self.iter_assess(sources, largest=largest, color=color))

    def iter_detect(
        self, sources: Iterable[ImageSource], *, largest: bool = False, color: Color = "rgb"
    ) -> Iterator[Outcome[Faces]]:
        """Faces of each image of a stream, in order, in constant memory; errors come as outcomes."""
        return self._pipeline.detect(sources, color, largest)

    def iter_analyze(
        self,
        sources: Iterable[ImageSource],
        *,
        largest: bool = False,
        color: Color = "rgb",
        quality: bool = False,
        upright: bool = True,
    ) -> Iterator[Outcome[Analysis]]:
        """Analysis of each image of a stream, in order, in constant memory; errors come as outcomes."""
        return self._pipeline.analyze(sources, color, largest, quality, upright)

    def iter_assess(
        self, sources: Iterable[ImageSource], *, largest: bool = False, color: Color = "rgb"
    ) -> Iterator[Outcome[Quality]]:
        """Quality of each image's faces of a stream, in order, in constant memory; errors come as outcomes."""
        return self._pipeline.assess(sources, color, largest)

    def embed(self, chips: ImageArray) -> Templates:
        """Templates of chips that are aligned already: ``(n, S, S, 3) uint8`` RGB, S the embedder's chip size.

        For images use ``analyze``, whose result holds their templates.

        Raises:
            BadInput: the chips have another shape or type.
        """
        return self.embedder.embed(chips)

    def verify(
        self,
        a: ImageSource,
        b: ImageSource,
        *,
        threshold: float | None = None,
        face: FaceChoice = "single",
        color: Color = "rgb",
    ) -> Verification:
        """Whether two images show the same person.

        Args:
            a: an image of one face.
            b: the other image.
            threshold: score from which they match; None for ``self.threshold``.
            face: ``"largest"`` takes the largest face where there are several.
            color: channel order of arrays.

        Raises:
            NoFace: an image shows no face.
            SeveralFaces: an image shows several, and ``face`` is ``"single"``.
            BadImage: an image cannot be used.
        """
        sources: list[ImageSource] = [a, b]
        with closed(self.iter_analyze(sources, color=color)) as outcomes:
            pairs = zip(outcomes, sources, strict=True)
            first, second = (one_face(result_of(o), face, source).templates for o, source in pairs)
        return self.compare(first, second, threshold=threshold)

    def compare(self, a: Templates, b: Templates, *, threshold: float | None = None) -> Verification:
        """Whether two templates (``Templates`` of length 1) are of the same person.

        Raises:
            SpaceMismatch: they are not both of this recognizer's space.
            BadInput: one is not of length 1.
        """
        return self._decisions.compare(a, b, threshold)

    @overload
    def enroll(  # type: ignore[overload-overlap]
        self, gallery: Gallery, identity: str, source: ImageSource, *, errors: OnError = ..., **more: Unpack[Enrolling]
    ) -> Enrollment: ...
    @overload
    def enroll(
        self, gallery: Gallery, identity: str, source: Batch, *, errors: Literal["return"], **more: Unpack[Enrolling]
    ) -> list[Enrollment | MienError]: ...
    @overload
    def enroll(
        self,
        gallery: Gallery,
        identity: str,
        source: Batch,
        *,
        errors: Literal["raise"] = ...,
        **more: Unpack[Enrolling],
    ) -> list[Enrollment]: ...
    def enroll(
        self,
        gallery: Gallery,
        identity: str,
        source: object,
        *,
        errors: OnError = "raise",
        face: FaceChoice = "single",
        tags: Collection[str] = (),
        color: Color = "rgb",
    ) -> object:
        """Enroll one person from an image (gives an ``Enrollment``) or a batch (a list of them).

        With ``errors="raise"`` a batch is enrolled wholly or, if any image fails, not at all.

        Args:
            gallery: where to.
            identity: the person's name.
            source: an image or a batch, each of one face.
            errors: whether an image that cannot be used raises or is returned as its error.
            face: ``"largest"`` takes the largest face where there are several.
            tags: words to find the person by, added to those the gallery has.
            color: channel order of arrays.

        Raises:
            NoFace: an image shows no face.
            SeveralFaces: an image shows several, and ``face`` is ``"single"``.
            BadImage: an image cannot be used.
            QualityRefused: a face is not good enough for ``settings.quality``.
            SpaceMismatch: the gallery holds templates of another space.
            GalleryError: the gallery could not store them.
        """

        def enrolled(sources: Iterable[ImageSource]) -> Iterator[Outcome[Enrollment]]:
            items = ((identity, source) for source in sources)
            ready = list(probes(self._pipeline, gallery, items, face, color, tags, self._limits))
            if errors == "raise":
                for outcome in ready:
                    result_of(outcome)
            return iter(store(gallery, ready))

        return answer(source, errors, enrolled)

    def iter_enroll(
        self,
        gallery: Gallery,
        items: Iterable[tuple[str, ImageSource]],
        *,
        face: FaceChoice = "single",
        tags: Collection[str] = (),
        color: Color = "rgb",
    ) -> Iterator[Outcome[Enrollment]]:
        """Enroll a stream of (identity, image) in order, a transaction for each window of images.

        What has come out of the iterator is stored; errors of single images come as outcomes.

        Raises:
            SpaceMismatch: the gallery holds templates of another space.
            GalleryError: the gallery could not store them.
        """
        found = probes(self._pipeline, gallery, items, face, color, tags, self._limits)
        for ready in windows(found, self.settings.batch):
            yield from store(gallery, ready)

    @overload
    def identify(  # type: ignore[overload-overlap]
        self, gallery: Searchable, source: ImageSource, *, errors: OnError = ..., **more: Unpack[Identifying]
    ) -> list[list[Match]]: ...
    @overload
    def identify(
        self, gallery: Searchable, source: Batch, *, errors: Literal["return"], **more: Unpack[Identifying]
    ) -> list[list[list[Match]] | MienError]: ...
    @overload
    def identify(
        self, gallery: Searchable, source: Batch, *, errors: Literal["raise"] = ..., **more: Unpack[Identifying]
    ) -> list[list[list[Match]]]: ...
    def identify(
        self,
        gallery: Searchable,
        source: object,
        *,
        errors: OnError = "raise",
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
        color: Color = "rgb",
    ) -> object:
        """Who the faces of an image are: a list of candidates per face; for a batch a list of those.

        The faces are in the order in which ``detect`` gives them; use ``analyze`` and ``search`` to have both.

        Args:
            gallery: where to look: a gallery, or a ``GalleryGroup`` of several.
            source: an image or a batch.
            errors: whether an image that cannot be used raises or is returned as its error.
            top: the most candidates for a face.
            threshold: the least score of a candidate; None for ``self.threshold``.
            tags: look only among people who have one of these.
            color: channel order of arrays.

        Raises:
            BadImage: an image cannot be used.
            SpaceMismatch: the gallery holds templates of another space.
            GalleryError: the gallery could not be read.
        """
        search = self._decisions.searching(gallery, top, threshold, tags)
        return answer(source, errors, lambda sources: mapped(self.iter_analyze(sources, color=color), search))

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
        """Candidates for each template, as in ``identify``; ``enrolled`` spares counting the gallery's templates."""
        count = (lambda: len(gallery)) if enrolled is None else (lambda: enrolled)
        return self._decisions.search(gallery, templates, top, threshold, tags, count)
