"""Cutting chips: where each face's pixels come from, and drawing them into the chip's square."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from mien.errors import BadInput
from mien.geometry import similarity_transforms, transform_scales
from mien.types import Faces, FloatArray, ImageArray

__all__ = ["chip_matrices", "cut_chips", "needed_reduction"]

# Bilinear sampling reads four pixels: a face shrunk by more than this would skip the pixels between them.
_LARGEST_SHRINK = 2.0
_MARGIN = 2
_LONGEST_SIDE = 32_767  # cv2.warpAffine takes no longer source in OpenCV 4
# A decoding is fine enough if no chip asks for more than this many pixels where it has one.
_LARGEST_ENLARGEMENT = 1.25


def chip_matrices(faces: Faces, reference: FloatArray) -> FloatArray:
    """``(n, 2, 3) float32`` maps from the image's pixels to the chip's, by least squares on the landmarks.

    Args:
        faces: n faces with landmarks in image pixels.
        reference: ``(5, 2)`` where the landmarks come to lie in the chip.
    """
    return similarity_transforms(faces.landmarks, np.asarray(reference, np.float32))


def _halvings(scale: float) -> int:
    """How often the source can be halved before a chip at ``scale`` chip pixels an image pixel would want more."""
    return max(0, math.floor(math.log2(1 / max(scale, 1e-6)) + 1e-6))


def needed_reduction(matrices: FloatArray, reductions: Sequence[int]) -> int:
    """The largest of ``reductions`` at which every chip has a source pixel for each of its own, or nearly so.

    Args:
        matrices: ``(n, 2, 3)`` image to chip.
        reductions: divisors of the image's size at which it can be decoded; 1 is among them.
    """
    if len(matrices) == 0:
        return max(reductions)
    finest = float(transform_scales(matrices).max())
    return max((r for r in reductions if r * finest <= _LARGEST_ENLARGEMENT), default=1)


def cut_chips(image: ImageArray, matrices: FloatArray, size: int, reduction: int = 1) -> ImageArray:
    """Draw the chips of one image.

    A face more than twice as large as its chip is first averaged over blocks of 2, 4, 8… pixels, as the
    scaled decoding of a JPEG does, so that no pixel is skipped; then it is sampled once, bilinearly. What
    lies outside the image is black.

    Args:
        image: uint8 RGB ``(H, W, 3)``, decoded at ``1/reduction`` of the original size.
        matrices: ``(n, 2, 3)`` from the original's pixels to the chip's.
        size: the chip's side in pixels.
        reduction: see ``image``.

    Returns:
        ``(n, size, size, 3) uint8`` RGB.

    Raises:
        BadInput: the image is no uint8 RGB.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BadInput(f"expected a uint8 image (H, W, 3), got {image.dtype} {image.shape}")
    chips = np.empty((len(matrices), size, size, 3), np.uint8)
    for chip, matrix, scale in zip(chips, matrices, transform_scales(matrices), strict=True):
        source, step, corner = image, float(reduction), (0, 0)
        blocks = 2 ** _halvings(float(scale)) // reduction
        if blocks >= _LARGEST_SHRINK or max(image.shape) >= _LONGEST_SIDE:
            blocks = max(blocks, 1)
            source, corner = _averaged(image, matrix, size, reduction, blocks)
            step *= blocks
        cv2.warpAffine(source, _from_reduced(matrix, step, corner), (size, size), dst=chip, flags=cv2.INTER_LINEAR)
    return chips


def _from_reduced(matrix: FloatArray, step: float, corner: tuple[int, int]) -> FloatArray:
    """``matrix`` for a source whose pixels are ``step`` original pixels wide and begin at original ``corner``.

    Its pixel i covers the original's from ``corner + i*step`` on: centered at ``corner + (i + 0.5)*step - 0.5``.
    """
    shift = np.asarray(corner, np.float64) + 0.5 * step - 0.5
    linear = matrix[:, :2].astype(np.float64)
    return np.hstack([linear * step, (linear @ shift + matrix[:, 2])[:, None]]).astype(np.float32)


def _averaged(
    image: ImageArray, matrix: FloatArray, size: int, reduction: int, blocks: int
) -> tuple[ImageArray, tuple[int, int]]:
    """The part of ``image`` that a chip shows, averaged over blocks; and its corner in original pixels."""
    inverse = cv2.invertAffineTransform(matrix)
    square = np.asarray([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    seen = (square @ inverse[:, :2].T + inverse[:, 2]) / reduction
    height, width = image.shape[:2]
    low = np.floor(seen.min(axis=0) / blocks - _MARGIN).astype(int) * blocks
    high = np.ceil(seen.max(axis=0) / blocks + _MARGIN).astype(int) * blocks
    left, top = (int(np.clip(v, 0, side // blocks * blocks)) for v, side in zip(low, (width, height), strict=True))
    right, bottom = (int(min(v, side)) for v, side in zip(high, (width, height), strict=True))
    if right - left < blocks or bottom - top < blocks:
        return np.zeros((1, 1, 3), np.uint8), (left * reduction, top * reduction)
    part = image[top : bottom - (bottom - top) % blocks, left : right - (right - left) % blocks]
    averaged = cv2.resize(part, (part.shape[1] // blocks, part.shape[0] // blocks), interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, dtype=np.uint8), (left * reduction, top * reduction)
