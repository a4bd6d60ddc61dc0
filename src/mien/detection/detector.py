"""Faces in images: plan views, run the network on canvases of one size together, decode, suppress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.detection.heads import Candidates, Head
from mien.detection.views import ADAPTIVE, Range, View, first_scale, framed_view, plan_views, render
from mien.errors import BadInput, BadSettings
from mien.geometry import non_maximum_suppression
from mien.runtimes import Network
from mien.types import Faces, FloatArray, ImageArray

__all__ = ["Detector", "DetectorOptions", "NetworkDetector", "Preprocessing"]

# Pixels of canvas that go through the network in one call: enough to fill it, bounded memory.
_PIXELS_A_CALL = 2_000_000
# Suppression takes time with the square of the candidates; a crowd of a thousand faces gives some four thousand.
_MOST_CANDIDATES = 5000


class Detector(Protocol):
    """Finds faces. Safe to call from many threads at once."""

    def scale(self, size_wh: tuple[int, int]) -> float:
        """Finest scale at which an image of ``size_wh`` will be looked at: detector pixels an image pixel."""
        ...

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        """Faces of each image, best score first.

        Args:
            images: RGB images of any sizes, maybe decoded at a half, a quarter… of the original's scale.
            sizes_wh: width and height of each original, in whose pixels the faces are given; None where the
                images are the originals.
        """
        ...


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """What counts as a face.

    Attributes:
        min_face: side in pixels of the smallest face that must be found, or -1 to adapt to each image
            (faces from a 32nd of its height). Sets the working size: half of it, twice the speed and more.
        min_score: lowest score of a face that is given back, 0..1.
        max_overlap: intersection over union above which the weaker of two boxes is dropped, 0..1.

    Raises:
        BadSettings: a number is out of range.
    """

    min_face: int = 40
    min_score: float = 0.6
    max_overlap: float = 0.3

    def __post_init__(self) -> None:
        if self.min_face != ADAPTIVE and self.min_face < 1:
            raise BadSettings(f"min_face: expected pixels from 1, or -1 to adapt, got {self.min_face}")
        for name in ("min_score", "max_overlap"):
            if not 0 < getattr(self, name) <= 1:
                raise BadSettings(f"{name}: expected above 0 and at most 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How RGB pixels become a network's input: ``(pixel - mean) * scale``, channels first.

    Attributes:
        bgr: whether the network wants blue first.
        mean: in the network's own channel order.
        scale: factor after the mean is taken off.
    """

    bgr: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def batch(self, images: Sequence[ImageArray]) -> FloatArray:
        """``(n, 3, H, W) float32`` of RGB images that share one size."""
        blob = cv2.dnn.blobFromImages(list(images), self.scale, mean=self.mean, swapRB=self.bgr)
        return np.asarray(blob, dtype=np.float32)


class NetworkDetector:
    """A detector made of a network and the head that reads it.

    Args:
        network: the detection network, with a free batch axis and free height and width.
        head: what its outputs mean.
        preprocessing: what its input means.
        found: the face sizes it finds.
        options: what counts as a face.
    """

    def __init__(
        self, network: Network, head: Head, preprocessing: Preprocessing, found: Range, options: DetectorOptions
    ) -> None:
        self._network = network
        self._head = head
        self._preprocessing = preprocessing
        self._found = found
        self._options = options

    def scale(self, size_wh: tuple[int, int]) -> float:
        """See ``Detector.scale``."""
        return first_scale(size_wh, self._options.min_face, self._found)

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        """See ``Detector.detect``.

        Raises:
            BadInput: an image is no uint8 RGB, or there are not as many sizes as images.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise BadInput(f"expected uint8 images (H, W, 3), got {image.dtype} {image.shape}")
        sizes = list(sizes_wh) if sizes_wh is not None else [(i.shape[1], i.shape[0]) for i in images]
        if len(sizes) != len(images):
            raise BadInput(f"expected a size an image, got {len(sizes)} for {len(images)}")
        work = [
            (k, view) for k, size in enumerate(sizes) for view in plan_views(size, self._options.min_face, self._found)
        ]
        faces = self._look(images, sizes, work)
        missed = [(k, framed_view(sizes[k])) for k, found in enumerate(faces) if len(found) == 0]
        if missed:
            again = self._look(images, sizes, missed)
            for k, _ in missed:
                faces[k] = again[k]
        return faces

    def _look(
        self, images: Sequence[ImageArray], sizes: Sequence[tuple[int, int]], work: Sequence[tuple[int, View]]
    ) -> list[Faces]:
        """Faces by image, from all the views in ``work`` (image number, view)."""
        by_canvas: dict[tuple[int, int], list[tuple[int, View]]] = defaultdict(list)
        for item in work:
            by_canvas[item[1].canvas_wh].append(item)
        found: dict[int, list[Candidates]] = defaultdict(list)
        for canvas_wh, items in by_canvas.items():
            step = max(1, _PIXELS_A_CALL // (canvas_wh[0] * canvas_wh[1]))
            for start in range(0, len(items), step):
                part = items[start : start + step]
                for (k, _), candidates in zip(part, self._run(images, sizes, part, canvas_wh), strict=True):
                    found[k].append(candidates)
        return [self._suppress(found[k]) for k in range(len(images))]

    def _run(
        self,
        images: Sequence[ImageArray],
        sizes: Sequence[tuple[int, int]],
        part: Sequence[tuple[int, View]],
        canvas_wh: tuple[int, int],
    ) -> list[Candidates]:
        """Candidates in image pixels of each canvas of one network call."""
        drawn = [render(images[k], view) for k, view in part]
        batch = self._preprocessing.batch([canvas for canvas, _ in drawn])
        outputs = dict(zip(self._network.output_names, self._network.run(batch), strict=True))
        all_of_them = self._head.decode(outputs, canvas_wh, self._options.min_score)
        candidates = []
        for row, ((k, view), (_, shares)) in enumerate(zip(part, drawn, strict=True)):
            shown_wh = (
                _shown(sizes[k][0], images[k].shape[1]) * shares[0],
                _shown(sizes[k][1], images[k].shape[0]) * shares[1],
            )
            candidates.append(_in_image(_of_canvas(all_of_them, row), view, shown_wh))
        return candidates

    def _suppress(self, parts: list[Candidates]) -> Faces:
        if not any(len(p.scores) for p in parts):
            return Faces.none()
        merged = Candidates.joined(parts)
        if len(merged.scores) > _MOST_CANDIDATES:
            merged = _rows(merged, np.argsort(-merged.scores, kind="stable")[:_MOST_CANDIDATES])
        kept = non_maximum_suppression(merged.xyxy, merged.scores, self._options.max_overlap)
        return Faces(merged.xyxy[kept], merged.scores[kept], merged.landmarks[kept])


def _shown(side: int, decoded: int) -> int:
    """How much of an original side the decoded one stands for: whole blocks, so a rest may be missing."""
    return decoded * max(1, round(side / decoded))


def _of_canvas(candidates: Candidates, canvas: int) -> Candidates:
    return _rows(candidates, np.flatnonzero(candidates.canvas == canvas))


def _rows(candidates: Candidates, rows: NDArray[np.intp]) -> Candidates:
    return Candidates(
        candidates.canvas[rows], candidates.xyxy[rows], candidates.scores[rows], candidates.landmarks[rows]
    )


def _in_image(candidates: Candidates, view: View, shown_wh: tuple[float, float]) -> Candidates:
    xyxy = view.to_image(candidates.xyxy.reshape(-1, 2, 2), shown_wh).reshape(-1, 4)
    landmarks = view.to_image(candidates.landmarks, shown_wh)
    return Candidates(candidates.canvas, xyxy, candidates.scores, landmarks)
