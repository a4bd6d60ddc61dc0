"""Aligned chips of photos: mien's own detector, landmarks and cut, and one face a photo."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, get_args

import numpy as np

from mien.errors import BadInput, MienError, NoFace, SeveralFaces
from mien.evaluation import FaceRule, central_face
from mien.recognizer import Recognizer
from mien.recognizer.outcomes import closed
from mien.types import Analysis, Faces, FloatArray, ImageArray, Templates
from mien.zoo import card

if TYPE_CHECKING:
    from mien.embedding import Embedder

__all__ = ["Chip", "arcface_points", "iter_chips"]

_CARD = "sface"


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """The face of a photo, cut out.

    Attributes:
        pixels: ``(S, S, 3) uint8`` RGB.
        landmarks: ``(5, 2) float32`` in pixels of the chip.
        xyxy: ``(4,) float32`` box of the face in pixels of the photo.
        score: the detector's, 0..1.
        size_wh: the photo's, in pixels.
        quality: mien's unified quality, 0..100; None where it was not measured.
    """

    pixels: ImageArray
    landmarks: FloatArray
    xyxy: FloatArray
    score: float
    size_wh: tuple[int, int]
    quality: float | None = None


@lru_cache(maxsize=8)
def arcface_points(size: int) -> FloatArray:
    """``(5, 2) float32`` where ArcFace puts the landmarks in a chip: as the card ``sface`` says, scaled to ``size``."""
    made = card(_CARD)
    if made.embedding is None or made.input.size is None:
        raise BadInput(f"card {_CARD!r}: expected an embedder with a chip's size, got a {made.task}")
    # Pixel centers are whole numbers: the chip's edges are at -0.5 and size - 0.5.
    scaled = (np.asarray(made.embedding.points, np.float64) + 0.5) * (size / made.input.size) - 0.5
    points = scaled.astype(np.float32)
    points.flags.writeable = False
    return points


def iter_chips(
    recognizer: Recognizer,
    sources: Iterable[str | bytes],
    *,
    size: int = 112,
    face: FaceRule = "central",
    quality: bool = False,
) -> Generator[Chip | MienError, None, None]:
    """The chip of each photo's face, or why there is none; in order, in constant memory.

    Args:
        recognizer: its detector finds the faces; its embedder is not used.
        sources: paths or encoded images.
        size: side of the chips in pixels.
        face: which face of several: see ``mien.evaluation.acquire``.
        quality: measure the unified quality too.

    Raises:
        BadInput: ``face`` is none of the rules, or ``size`` is less than 1.
        MienError: what is no single photo's fault: a model that is not there.
    """
    if face not in get_args(FaceRule):
        raise BadInput(f"face: expected one of {', '.join(get_args(FaceRule))}, got {face!r}")
    if size < 1:
        raise BadInput(f"size: expected 1 pixel or more, got {size}")
    settings = recognizer.settings.model_copy(update={"calibration": None})
    cutter: Embedder = _Cutter(size)
    cutting = Recognizer(settings, detector=recognizer.detector, embedder=cutter)
    # As acquisition sees them: a photo on a side stays on it.
    with closed(cutting.iter_analyze(sources, quality=quality, upright=False)) as outcomes:
        for outcome in outcomes:
            size_wh = (0, 0) if outcome.size_wh is None else outcome.size_wh
            result = outcome.result
            yield result if isinstance(result, MienError) else _chosen(result, size_wh, face)


def _chosen(found: Analysis, size_wh: tuple[int, int], face: FaceRule) -> Chip | MienError:
    if len(found) == 0:
        return NoFace("expected a face, found none")
    if face == "single" and len(found) > 1:
        return SeveralFaces(f"expected one face, found {len(found)}")
    faces: Faces = found.faces
    number = central_face(faces, size_wh) if face == "central" else int(np.argmax(faces.areas))
    matrix = found.chips.matrices[number]
    landmarks = faces.landmarks[number] @ matrix[:, :2].T + matrix[:, 2]
    return Chip(
        found.chips.pixels[number],
        np.asarray(landmarks, np.float32),
        faces.xyxy[number],
        float(faces.scores[number]),
        size_wh,
        None if found.quality is None else float(found.quality.unified[number]),
    )


class _Cutter:
    """Stands where a recognizer has its embedder: says where chips are cut, and embeds nothing."""

    space = "chips"
    dimension = 1
    threshold = 0.0

    def __init__(self, size: int) -> None:
        self.chip_size = size
        self.reference = arcface_points(size)

    def embed(self, chips: ImageArray) -> Templates:
        """As many templates as chips, all the same."""
        return Templates(np.ones((len(chips), 1), np.float32), self.space)
