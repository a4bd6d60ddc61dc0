"""From image sources to analyses, a window of images at a time.

While the networks work on one window, the images of the next are being decoded. What comes out does not
depend on the window: each image is looked at, cut and embedded by itself, only side by side with others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeVar

import numpy as np

from mien.alignment import chip_matrices, cut_chips, needed_reduction
from mien.detection import Detector
from mien.embedding import Embedder
from mien.errors import BadImage, BadInput, MienError, RuntimeFailed
from mien.galleries import Portraits
from mien.images import ImageSource, Picture, open_image
from mien.quality import MeasuredScorer, QualityScorer
from mien.recognizer.assessing import assess_image, quality_matrices, upright_faces
from mien.recognizer.outcomes import Outcome
from mien.recognizer.portraits import portrait_matrices, take_portraits
from mien.types import Analysis, Chips, Faces, FloatArray, ImageArray, Quality, Templates

__all__ = ["Color", "Decoded", "Pipeline", "windows"]

Color = Literal["rgb", "bgr"]
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")

# Below this, a scaled decoding saves less than decoding once more for the chips of small faces would cost.
_WORTHWHILE_REDUCTION = 4
# Windows are cut short at this many pixels to decode: a dozen phone photos, some hundred megabytes.
_WINDOW_PIXELS = 64_000_000
_DECODERS = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture and its pixels at ``1/reduction`` of its size."""

    picture: Picture
    pixels: ImageArray
    reduction: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A picture and the reduction at which it is to be decoded."""

    picture: Picture
    reduction: int

    @property
    def pixels(self) -> int:
        """How many pixels the decoding will give."""
        width, height = self.picture.size_wh
        return width * height // self.reduction**2


def _decode(plan: _Plan | MienError) -> Decoded | MienError:
    if isinstance(plan, MienError):
        return plan
    try:
        return Decoded(plan.picture, _whole_blocks(plan.picture, plan.reduction), plan.reduction)
    except MienError as error:
        return error


def _whole_blocks(picture: Picture, reduction: int) -> ImageArray:
    """The pixels at ``1/reduction``, less a last column or row that stands for less than a whole block."""
    width, height = picture.size_wh
    pixels = picture.pixels(reduction)
    return pixels[: max(1, height // reduction), : max(1, width // reduction)]


def _fine_enough(decoded: Decoded, matrices: FloatArray) -> tuple[ImageArray, int]:
    """Pixels and their reduction, decoded once more where chips are finer than what the detector looked at."""
    reduction = needed_reduction(matrices, decoded.picture.reductions)
    if reduction < decoded.reduction:
        return _whole_blocks(decoded.picture, reduction), reduction
    return decoded.pixels, decoded.reduction


def _each(
    work: Callable[[list[Decoded]], list[_Result | MienError]], decoded: list[Decoded]
) -> list[_Result | MienError]:
    """``work`` on all together; where an image is at fault, on one by one, so that the error stays with it.

    What no image is to blame for (a missing model, a refused license) is raised, once.
    """
    if not decoded:
        return []
    try:
        return work(decoded)
    except (BadImage, BadInput, RuntimeFailed) as error:
        if len(decoded) == 1:
            return [error]
    return [result for item in decoded for result in _each(work, [item])]


def windows(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of ``size`` items in order, the last one maybe shorter."""
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps from sources to faces and to analyses.

    Attributes:
        detector: finds the faces.
        embedder: makes the templates.
        batch: images in a window.
        max_pixels: largest image that is decoded.
        scorer: sums up the quality of faces, where it is asked for.
        upright: whether, where quality is asked for, photos are looked at from their other sides too.
    """

    detector: Detector
    embedder: Embedder
    batch: int
    max_pixels: int
    scorer: QualityScorer = field(default_factory=lambda: MeasuredScorer(confidence=False))
    upright: bool = True

    def detect(self, sources: Iterable[ImageSource], color: Color, largest: bool) -> Iterator[Outcome[Faces]]:
        """Faces of each source, in order; with ``largest`` at most one a source."""

        def work(decoded: list[Decoded]) -> list[Faces | MienError]:
            return [*self.find(decoded, largest)]

        return self._run(sources, color, work)

    def assess(self, sources: Iterable[ImageSource], color: Color, largest: bool) -> Iterator[Outcome[Quality]]:
        """Quality of each source's faces, in order; with ``largest`` of at most one face a source."""

        def work(decoded: list[Decoded]) -> list[Quality | MienError]:
            seen = self._upright(decoded, largest)
            return [self._quality(item, faces, turn) for item, (faces, turn) in zip(decoded, seen, strict=True)]

        return self._run(sources, color, work)

    def analyze(
        self,
        sources: Iterable[ImageSource],
        color: Color,
        largest: bool,
        quality: bool = False,
        upright: bool = True,
    ) -> Iterator[Outcome[Analysis]]:
        """Analysis of each source, in order; with ``largest`` of at most one face a source.

        With ``quality`` and ``upright``, photos that lie on a side or upside down are found out, and their faces are
        those of the upright photo; with ``quality`` alone, the faces are those found without it.
        """
        return self._run(sources, color, lambda decoded: self._analyses(decoded, largest, quality, upright))

    def portray(
        self, sources: Iterable[ImageSource], color: Color, quality: bool = False
    ) -> Iterator[Outcome[tuple[Analysis, Portraits]]]:
        """As ``analyze``, with the portrait of each source's largest face, if it has any."""

        def work(decoded: list[Decoded]) -> list[tuple[Analysis, Portraits] | MienError]:
            return [
                found if isinstance(found, MienError) else self._portrayed(item, found)
                for item, found in zip(decoded, self._analyses(decoded, False, quality), strict=True)
            ]

        return self._run(sources, color, work)

    def _analyses(
        self, decoded: list[Decoded], largest: bool, quality: bool, upright: bool = True
    ) -> list[Analysis | MienError]:
        if quality and upright:
            seen = self._upright(decoded, largest)
        else:
            seen = [(faces, 0) for faces in self.find(decoded, largest)]
        cut = [self.cut(d, faces) for d, (faces, _) in zip(decoded, seen, strict=True)]
        templates = iter(self.embed([c for c in cut if isinstance(c, Chips)]))
        analyses: list[Analysis | MienError] = []
        for item, (faces, turn), chips in zip(decoded, seen, cut, strict=True):
            measured = self._quality(item, faces, turn) if quality else None
            if isinstance(chips, MienError):
                analyses.append(chips)
                continue
            vectors = next(templates)
            if isinstance(measured, MienError):
                analyses.append(measured)
            else:
                analyses.append(Analysis(item.picture.size_wh, faces, chips, vectors, measured))
        return analyses

    def _upright(self, decoded: list[Decoded], largest: bool) -> list[tuple[Faces, int]]:
        """Each picture's faces, and the turn in degrees that makes it upright."""
        if not self.upright:
            return [(faces, 0) for faces in self.find(decoded, largest)]
        found = self.detector.detect([d.pixels for d in decoded], [d.picture.size_wh for d in decoded])
        seen = upright_faces(self.detector, [d.pixels for d in decoded], [d.reduction for d in decoded], found)
        return [(faces.largest() if largest else faces, turn) for faces, turn in seen]

    def _quality(self, decoded: Decoded, faces: Faces, turn: int) -> Quality | MienError:
        try:
            pixels, reduction = _fine_enough(decoded, quality_matrices(faces))
        except MienError as error:
            return error
        return assess_image(pixels, reduction, decoded.picture.size_wh, faces, turn, self.scorer)

    def _run(
        self,
        sources: Iterable[ImageSource],
        color: Color,
        work: Callable[[list[Decoded]], list[_Result | MienError]],
    ) -> Iterator[Outcome[_Result]]:
        for window in self._decoded(sources, color):
            good = [d for d in window if isinstance(d, Decoded)]
            results = iter(_each(work, good))
            for item in window:
                if isinstance(item, Decoded):
                    yield Outcome(item.picture.size_wh, next(results))
                else:
                    yield Outcome(None, item)

    def _decoded(self, sources: Iterable[ImageSource], color: Color) -> Iterator[list[Decoded | MienError]]:
        """Windows of decoded images, the next one being decoded while one is in use."""
        plans = self._windows(self._plan(source, color) for source in sources)
        first = next(plans, [])
        if len(first) < 2:  # one image: no threads to start
            if first:
                yield [_decode(first[0])]
            first = next(plans, [])
            if not first:
                return
        with ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1), "mien-decode") as pool:
            ahead = [pool.submit(_decode, plan) for plan in first]
            try:
                for window in plans:
                    ready, ahead = ahead, [pool.submit(_decode, plan) for plan in window]
                    yield [future.result() for future in ready]
                yield [future.result() for future in ahead]
            finally:
                for future in ahead:
                    future.cancel()

    def _plan(self, source: ImageSource, color: Color) -> _Plan | MienError:
        """Open an image, reading its header, and decide at which reduction it is to be decoded."""
        try:
            picture = open_image(source, color=color, max_pixels=self.max_pixels)
        except MienError as error:
            return error
        scale = self.detector.scale(picture.size_wh)
        fitting = max((r for r in picture.reductions if r * scale <= 1), default=1)
        return _Plan(picture, fitting if fitting >= _WORTHWHILE_REDUCTION else 1)

    def _windows(self, plans: Iterable[_Plan | MienError]) -> Iterator[list[_Plan | MienError]]:
        """Plans in order, at most ``batch`` together and not many more pixels than a window should hold."""
        window: list[_Plan | MienError] = []
        pixels = 0
        for plan in plans:
            window.append(plan)
            pixels += plan.pixels if isinstance(plan, _Plan) else 0
            if len(window) == self.batch or pixels >= _WINDOW_PIXELS:
                yield window
                window, pixels = [], 0
        if window:
            yield window

    def decode(self, source: ImageSource, color: Color = "rgb") -> Decoded:
        """One source's pixels, at the reduction at which they will be looked at.

        Raises:
            BadImage: it cannot be used.
        """
        decoded = _decode(self._plan(source, color))
        if isinstance(decoded, MienError):
            raise decoded
        return decoded

    def find(self, decoded: list[Decoded], largest: bool = False) -> list[Faces]:
        """The faces of each picture; with ``largest`` at most one a picture."""
        faces = self.detector.detect([d.pixels for d in decoded], [d.picture.size_wh for d in decoded])
        return [f.largest() for f in faces] if largest else faces

    def cut(self, decoded: Decoded, faces: Faces) -> Chips | MienError:
        """The chips of one image."""
        matrices = chip_matrices(faces, self.embedder.reference)
        try:
            pixels, reduction = _fine_enough(decoded, matrices)
        except MienError as error:
            return error
        return Chips(cut_chips(pixels, matrices, self.embedder.chip_size, reduction), matrices)

    def _portrayed(self, decoded: Decoded, analysis: Analysis) -> tuple[Analysis, Portraits] | MienError:
        faces = analysis.faces.largest()
        try:
            pixels, reduction = _fine_enough(decoded, portrait_matrices(faces))
        except MienError as error:
            return error
        return analysis, take_portraits(pixels, faces, reduction)

    def embed(self, chips: list[Chips]) -> list[Templates]:
        """Templates of every image's chips, all of them through the network together."""
        size = self.embedder.chip_size
        pixels = np.concatenate([c.pixels for c in chips] or [np.empty((0, size, size, 3), np.uint8)])
        templates = self.embedder.embed(pixels)
        ends = np.cumsum([len(c) for c in chips])
        return [templates[int(end) - len(c) : int(end)] for c, end in zip(chips, ends, strict=True)]
