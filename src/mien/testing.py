"""Tiny stand-ins for a detector, an embedder and a network, for tests that need no model: ours and yours.

They are deterministic and fast, and keep the contracts of the real ones: ``Recognizer(detector=FakeDetector(),
embedder=FakeEmbedder())`` is a whole recognizer without a weight in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mien.types import Faces, FloatArray, ImageArray, Templates

__all__ = ["FakeDetector", "FakeEmbedder", "FakeNetwork", "draw_face"]

_CHIP = 32
_SIDE = 8
_POINTS = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))


def draw_face(image: ImageArray, xyxy: tuple[int, int, int, int], color: tuple[int, int, int]) -> None:
    """Paint, in place, what ``FakeDetector`` takes for a face: a plain bright box on a dark image.

    Args:
        image: uint8 RGB, changed in place.
        xyxy: left, top, right, bottom in pixels, right and bottom not included.
        color: of the box; at least one channel of 128 or more. ``FakeEmbedder`` tells people apart by it.
    """
    left, top, right, bottom = xyxy
    image[top:bottom, left:right] = color


class FakeDetector:
    """Finds bright boxes: connected areas in which some channel is at least 128, largest first."""

    def scale(self, size_wh: tuple[int, int]) -> float:
        """Always 1: images are looked at as they are."""
        return 1.0

    def detect(self, images: Sequence[ImageArray], sizes_wh: Sequence[tuple[int, int]] | None = None) -> list[Faces]:
        """The boxes of each image; see ``mien.detection.Detector``."""
        return [self._boxes(image) for image in images]

    def _boxes(self, image: ImageArray) -> Faces:
        bright = (image.max(axis=2) >= 128).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
        areas = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
        if not areas:
            return Faces.none()
        boxes = np.asarray([[x, y, x + w, y + h] for x, y, w, h, _ in areas], np.float32)
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        landmarks = boxes[:, None, :2] + sides * np.asarray(_POINTS, np.float32)
        scores = np.linspace(1.0, 0.9, len(boxes)).astype(np.float32)
        return Faces(boxes, scores, landmarks)


class FakeEmbedder:
    """Templates that tell chips apart by their colors alone: the chip shrunk to a few pixels, as a unit vector.

    Args:
        space: the embedding space that its templates claim.
    """

    dimension = 3 * _SIDE * _SIDE
    chip_size = _CHIP
    threshold = 0.98

    def __init__(self, space: str = "fake@00000000") -> None:
        self.space = space

    @property
    def reference(self) -> FloatArray:
        """``(5, 2)`` where the landmarks lie in its chips."""
        return np.asarray(_POINTS, np.float32) * _CHIP

    def embed(self, chips: ImageArray) -> Templates:
        """Templates of ``(n, 32, 32, 3) uint8`` chips; see ``mien.embedding.Embedder``."""
        vectors = np.empty((len(chips), self.dimension), np.float32)
        for row, chip in zip(vectors, chips, strict=True):
            small = cv2.resize(chip, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            row[:] = small.astype(np.float32).ravel() + 1.0  # a black chip has a direction too
        return Templates.normalized(vectors, self.space)


class FakeNetwork:
    """A network that is a function.

    Args:
        function: takes ``(n, 3, H, W) float32``, gives one array an output.
        output_names: their names, in order.
        input_shape: what the network claims to take.
    """

    def __init__(
        self,
        function: Callable[[FloatArray], list[FloatArray]],
        output_names: tuple[str, ...] = ("output",),
        input_shape: tuple[int | None, ...] = (None, 3, None, None),
    ) -> None:
        self._function = function
        self.output_names = output_names
        self.input_shape = input_shape

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """The function's outputs."""
        return self._function(batch)
