"""Quality of faces: photos turned upright where they are not, crops to measure in, and the gate before enrollment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.alignment import chip_matrices, cut_chips
from mien.detection import Detector
from mien.errors import QualityRefused
from mien.quality import CROP_POINTS, CROP_SIZE, FaceViews, QualityLimits, QualityScorer, assess_faces, failings
from mien.types import Faces, FloatArray, ImageArray, Quality

__all__ = ["assess_image", "quality_matrices", "require_quality", "upright_faces"]

# YuNet gives upright frontal faces 0.92 and more, upside down 0.91 at most, on their side 0.89: of 1,998 photos of
# people, 12 in 100 are below this and are looked at from the other sides too.
_SURE = 0.915
# By so much another side must be better: upright profiles and dark or blurred faces score low, and stay where they are.
_BETTER = 0.03
# Of 500 photos that were turned on purpose, one was found with less; what noise looks like a face scores less.
_PLAUSIBLE = 0.8
_QUARTERS = (1, 2, 3)


def upright_faces(
    detector: Detector, images: Sequence[ImageArray], reductions: Sequence[int], found: Sequence[Faces]
) -> list[tuple[Faces, int]]:
    """The faces of photos that may lie on a side or upside down, and how they lie.

    Only photos in which nothing was found, or nothing surely, are turned and looked at again.

    Args:
        detector: finds faces.
        images: RGB images, decoded at ``1/reduction``.
        reductions: see ``images``.
        found: the faces of each, as it lies.

    Returns:
        For each image its faces, in pixels of the original as it lies, with the landmarks named as they are in the
        upright face; and the clockwise turn in degrees that would make it upright: 0, 90, 180 or 270.
    """
    unsure = [k for k, faces in enumerate(found) if _best(faces) < _SURE]
    work = [(k, quarters) for k in unsure for quarters in _QUARTERS]
    turned = [np.ascontiguousarray(np.rot90(images[k], quarters)) for k, quarters in work]
    sizes = [(t.shape[1] * reductions[k], t.shape[0] * reductions[k]) for t, (k, _) in zip(turned, work, strict=True)]
    seen = detector.detect(turned, sizes) if work else []
    answers = [(faces, 0) for faces in found]
    for (k, quarters), faces, size_wh in zip(work, seen, sizes, strict=True):
        least = _best(answers[k][0]) + (_BETTER if answers[k][1] == 0 else 0)
        if _best(faces) > max(least, _PLAUSIBLE):
            answers[k] = (_turned(faces, size_wh, -quarters), 360 - 90 * quarters)
    return answers


def quality_matrices(faces: Faces) -> FloatArray:
    """``(n, 2, 3) float32`` maps from the image's pixels to those of the crops that quality is measured in."""
    return chip_matrices(faces, CROP_POINTS)


def assess_image(
    image: ImageArray, reduction: int, size_wh: tuple[int, int], faces: Faces, rotation_deg: int, scorer: QualityScorer
) -> Quality:
    """Quality of the faces of one image.

    Args:
        image: uint8 RGB, decoded at ``1/reduction``, fine enough for ``quality_matrices``.
        reduction: see ``image``.
        size_wh: the original's size.
        faces: in pixels of the original as it lies.
        rotation_deg: the clockwise turn that makes it upright.
        scorer: sums up.
    """
    upright = faces
    if rotation_deg:
        quarters = 4 - rotation_deg // 90
        upright = _turned(faces, (image.shape[1] * reduction, image.shape[0] * reduction), quarters)
        image = np.ascontiguousarray(np.rot90(image, quarters))
        size_wh = (image.shape[1] * reduction, image.shape[0] * reduction)
    matrices = quality_matrices(upright)
    crops = cut_chips(image, matrices, CROP_SIZE, reduction)
    quality = assess_faces(FaceViews(image, reduction, size_wh, upright, crops, matrices), scorer, rotation_deg)
    return Quality(faces, quality.unified, quality.names, quality.measures, quality.components)


def require_quality(quality: Quality | None, limits: QualityLimits, where: str) -> None:
    """Check that the one face of an image is good enough to be enrolled.

    Raises:
        QualityRefused: it is not; the error holds every reason.
    """
    if quality is None:
        return
    (reasons,) = failings(quality, limits)
    if reasons:
        told = "; ".join(map(str, reasons))
        raise QualityRefused(f"the face{where} is not good enough to be enrolled: {told}", reasons)


def _best(faces: Faces) -> float:
    return float(faces.scores.max()) if len(faces) else 0.0


def _turned(faces: Faces, size_wh: tuple[int, int], quarters: int) -> Faces:
    """Faces of an image of ``size_wh`` as they lie after that many quarter turns counterclockwise."""
    points = np.concatenate([faces.xyxy.reshape(-1, 2, 2), faces.landmarks], axis=1)
    width, height = size_wh
    for _ in range(quarters % 4):
        points = np.stack([points[..., 1], width - 1 - points[..., 0]], axis=-1)
        width, height = height, width
    corners = points[:, :2]
    xyxy = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Faces(xyxy, faces.scores, points[:, 2:])
