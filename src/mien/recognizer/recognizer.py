"""``Recognizer``: the calls that applications, the command line and the server make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal, overload

from mien.detection import Detector, make_detector
from mien.embedding import Embedder, make_embedder
from mien.errors import BadInput, MienError
from mien.galleries import Gallery, Searchable
from mien.images import ImageSource
from mien.matching import paired_scores
from mien.recognizer.enrolling import probes, store
from mien.recognizer.outcomes import Batch, FaceChoice, OnError, Outcome, answer, closed, one_face, result_of
from mien.recognizer.pipeline import Color, Pipeline, windows
from mien.recognizer.settings import Settings
from mien.runtimes import LazyNetwork, load_network
from mien.types import Analysis, Enrollment, Faces, ImageArray, Match, Templates, Verification
from mien.zoo import Card, card, resolve

__all__ = ["Batch", "OnError", "Recognizer"]


class Recognizer:
    """Finds, compares, enrolls and identifies faces.

    Safe to use from many threads; models load on first use, or by ``warmup``. Every call that takes an image
    takes anything that ``mien.images.open_image`` does; one image gives one result, a batch (list, tuple,
    iterator or ``(N, H, W, 3)`` array) gives a list, equal to that of the images one by one. With
    ``errors="return"`` an image that cannot be used leaves its ``MienError`` in its place in the list; with
    ``"raise"``, the default, the first one is raised. ``color="bgr"`` says that arrays are blue first.

    Args:
        settings: which models and how; None for ``Settings()``.
        detector: a detector of your own instead of the settings' one.
        embedder: an embedder of your own instead of the settings' one.

    Raises:
        BadSettings: the settings are not valid.
        ModelNotFound: no card has the detector's or the embedder's name.
    """

    def __init__(
        self, settings: Settings | None = None, *, detector: Detector | None = None, embedder: Embedder | None = None
    ) -> None:
        self.settings = Settings() if settings is None else settings
        self._networks: list[LazyNetwork] = []
        if detector is None:
            found = card(self.settings.detector)
            detector = make_detector(found, self._lazy(found), self.settings.detector_options())
        if embedder is None:
            found = card(self.settings.embedder)
            embedder = make_embedder(found, self._lazy(found), flip=self.settings.flip)
        self.detector: Detector = detector
        self.embedder: Embedder = embedder
        self._pipeline = Pipeline(detector, embedder, self.settings.batch, self.settings.max_pixels)

    def _lazy(self, model: Card) -> LazyNetwork:
        options = self.settings.runtime_options()
        network = LazyNetwork(lambda: load_network(resolve(model), options))
        self._networks.append(network)
        return network

    @property
    def space(self) -> str:
        """The embedding space of this recognizer's templates."""
        return self.embedder.space

    @property
    def threshold(self) -> float:
        """The score from which two templates match: the settings', or else the embedder's own."""
        return self.embedder.threshold if self.settings.threshold is None else self.settings.threshold

    def warmup(self) -> Recognizer:
        """Load the models now (finding, checking and converting their files if need be); returns itself.

        Raises:
            ModelNotFound: a model's file is in none of its sources.
            HashMismatch: a model's file is not the one its card names.
            LicenseRefused: a model's license awaits the user's consent.
        """
        for network in self._networks:
            network.load()
        return self

    # A str fits both the overload for one image and that for a batch: the one image stands first, and wins.
    @overload
    def detect(  # type: ignore[overload-overlap]
        self, source: ImageSource, *, errors: OnError = ..., largest: bool = ..., color: Color = ...
    ) -> Faces: ...
    @overload
    def detect(
        self, source: Batch, *, errors: Literal["return"], largest: bool = ..., color: Color = ...
    ) -> list[Faces | MienError]: ...
    @overload
    def detect(
        self, source: Batch, *, errors: Literal["raise"] = ..., largest: bool = ..., color: Color = ...
    ) -> list[Faces]: ...
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
        self, source: ImageSource, *, errors: OnError = ..., largest: bool = ..., color: Color = ...
    ) -> Analysis: ...
    @overload
    def analyze(
        self, source: Batch, *, errors: Literal["return"], largest: bool = ..., color: Color = ...
    ) -> list[Analysis | MienError]: ...
    @overload
    def analyze(
        self, source: Batch, *, errors: Literal["raise"] = ..., largest: bool = ..., color: Color = ...
    ) -> list[Analysis]: ...
    def analyze(
        self, source: object, *, errors: OnError = "raise", largest: bool = False, color: Color = "rgb"
    ) -> object:
        """Faces, chips and templates of an image (``Analysis``) or of each image of a batch (a list).

        The arguments and errors are those of ``detect``.
        """
        return answer(source, errors, lambda sources: self.iter_analyze(sources, largest=largest, color=color))

    def iter_detect(
        self, sources: Iterable[ImageSource], *, largest: bool = False, color: Color = "rgb"
    ) -> Iterator[Outcome[Faces]]:
        """Faces of each image of a stream, in order, in constant memory; errors come as outcomes."""
        return self._pipeline.detect(sources, color, largest)

    def iter_analyze(
        self, sources: Iterable[ImageSource], *, largest: bool = False, color: Color = "rgb"
    ) -> Iterator[Outcome[Analysis]]:
        """Analysis of each image of a stream, in order, in constant memory; errors come as outcomes."""
        return self._pipeline.analyze(sources, color, largest)

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
        for templates in (a, b):
            templates.require_space(self.space)
            if len(templates) != 1:
                raise BadInput(f"expected one template, got {len(templates)}")
        limit = self.threshold if threshold is None else threshold
        score = float(paired_scores(a.vectors, b.vectors)[0])
        return Verification(score, score >= limit, limit, None, self.space)

    @overload
    def enroll(  # type: ignore[overload-overlap]
        self,
        gallery: Gallery,
        identity: str,
        source: ImageSource,
        *,
        errors: OnError = ...,
        face: FaceChoice = ...,
        tags: Collection[str] = ...,
        color: Color = ...,
    ) -> Enrollment: ...
    @overload
    def enroll(
        self,
        gallery: Gallery,
        identity: str,
        source: Batch,
        *,
        errors: Literal["return"],
        face: FaceChoice = ...,
        tags: Collection[str] = ...,
        color: Color = ...,
    ) -> list[Enrollment | MienError]: ...
    @overload
    def enroll(
        self,
        gallery: Gallery,
        identity: str,
        source: Batch,
        *,
        errors: Literal["raise"] = ...,
        face: FaceChoice = ...,
        tags: Collection[str] = ...,
        color: Color = ...,
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
            SpaceMismatch: the gallery holds templates of another space.
            GalleryError: the gallery could not store them.
        """

        def enrolled(sources: Iterable[ImageSource]) -> Iterator[Outcome[Enrollment]]:
            items = ((identity, source) for source in sources)
            ready = list(probes(self._pipeline, gallery, items, face, color, tags))
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
        for ready in windows(probes(self._pipeline, gallery, items, face, color, tags), self.settings.batch):
            yield from store(gallery, ready)

    @overload
    def identify(  # type: ignore[overload-overlap]
        self,
        gallery: Searchable,
        source: ImageSource,
        *,
        errors: OnError = ...,
        top: int = ...,
        threshold: float | None = ...,
        tags: Collection[str] | None = ...,
        color: Color = ...,
    ) -> list[list[Match]]: ...
    @overload
    def identify(
        self,
        gallery: Searchable,
        source: Batch,
        *,
        errors: Literal["return"],
        top: int = ...,
        threshold: float | None = ...,
        tags: Collection[str] | None = ...,
        color: Color = ...,
    ) -> list[list[list[Match]] | MienError]: ...
    @overload
    def identify(
        self,
        gallery: Searchable,
        source: Batch,
        *,
        errors: Literal["raise"] = ...,
        top: int = ...,
        threshold: float | None = ...,
        tags: Collection[str] | None = ...,
        color: Color = ...,
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

        def identified(sources: Iterable[ImageSource]) -> Iterator[Outcome[list[list[Match]]]]:
            for outcome in self.iter_analyze(sources, color=color):
                result = outcome.result
                if isinstance(result, Analysis):
                    found = self.search(gallery, result.templates, top=top, threshold=threshold, tags=tags)
                    yield Outcome(outcome.size_wh, found)
                else:
                    yield Outcome(outcome.size_wh, result)

        return answer(source, errors, identified)

    def search(
        self,
        gallery: Searchable,
        templates: Templates,
        *,
        top: int = 1,
        threshold: float | None = None,
        tags: Collection[str] | None = None,
    ) -> list[list[Match]]:
        """Candidates for each template; ``threshold`` None for ``self.threshold``. Errors as in ``identify``."""
        limit = self.threshold if threshold is None else threshold
        return gallery.search(templates, top=top, threshold=limit, tags=tags)
