"""What pixels tell of a face: light, color, sharpness, compression, background."""

from __future__ import annotations

import cv2
import numpy as np

from mien.quality.crops import CROP_SIZE, background_region, face_region, visible_region
from mien.types import FloatArray, ImageArray

__all__ = ["PIXEL_MEASURES", "blockiness", "crop_measures"]

PIXEL_MEASURES = (
    "luminance_mean",
    "luminance_variance",
    "under_exposure_prevention",
    "over_exposure_prevention",
    "dynamic_range",
    "illumination_uniformity",
    "sharpness",
    "natural_color",
    "background_uniformity",
)
"""The names of what ``crop_measures`` gives, in order."""

_LUMA = np.asarray([[0.2126, 0.7152, 0.0722]], np.float32)  # ITU-R BT.709
_DARK, _BRIGHT = 26, 247
# The range of a* and b* of skin, ISO/IEC 29794-5:2025, natural color.
_SKIN_A, _SKIN_B = (5.0, 25.0), (5.0, 35.0)
# With less of the region in sight than this, nothing is measured in it.
_LEAST_FACE, _LEAST_BACKGROUND = 400, 600
_BLOCK = 8
_SMOOTHING = 1.2
# Side of the square of pixels that a smoothed Laplacian looks at, and one more all around for rounding.
_REACH = 15
_LARGEST_PATCH = 256
_LEAST_PATCH = 3


def crop_measures(crop: ImageArray, matrix: FloatArray, size_wh: tuple[int, int]) -> list[float]:
    """The ``PIXEL_MEASURES`` of one face; NaN where too little of it is in the image.

    Args:
        crop: ``(S, S, 3) uint8`` RGB, cut by ``matrix``.
        matrix: ``(2, 3)``, from the image's pixels to the crop's.
        size_wh: the image's size.
    """
    face, background = face_region(), background_region()
    visible = visible_region(matrix, size_wh)
    inside = face
    if visible is not None:
        face, background = face & visible, background & visible
        # What lies outside the image is black: its border would pass for the sharpest edge of a blurred face.
        inside = face & np.asarray(cv2.erode(visible, np.ones((_REACH, _REACH), np.uint8)), np.uint8)
    luma = np.asarray(cv2.transform(crop, _LUMA), np.uint8)
    pixels = int(np.count_nonzero(face))
    if pixels < _LEAST_FACE:
        return [np.nan] * len(PIXEL_MEASURES)
    shares = _histogram(luma, face)
    levels = np.arange(256) / 255
    mean = float(shares @ levels)
    variance = float(shares @ (levels - mean) ** 2)
    filled = shares[shares > 0]
    return [
        mean,
        variance,
        float(shares[:_DARK].sum()),
        float(shares[_BRIGHT:].sum()),
        float(-(filled * np.log2(filled)).sum()),
        _uniformity(luma, face),
        _sharpness(luma, inside, variance),
        _unnatural(crop, face),
        _unrest(luma, background),
    ]


def _histogram(luma: ImageArray, region: ImageArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    counts = cv2.calcHist([luma], [0], region, [256], [0, 256]).ravel().astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1.0), np.float64)


def _uniformity(luma: ImageArray, face: ImageArray) -> float:
    """The histogram that the left and the right half of the face share, 0..1; NaN where too little of one is seen."""
    middle = CROP_SIZE // 2
    if min(np.count_nonzero(face[:, :middle]), np.count_nonzero(face[:, middle:])) < _LEAST_FACE:
        return float("nan")
    left, right = (_histogram(luma[:, part], face[:, part]) for part in (slice(0, middle), slice(middle, None)))
    # In steps of eight levels: halves of some thousand pixels fill no finer histogram evenly.
    return float(np.minimum(left.reshape(32, 8).sum(axis=1), right.reshape(32, 8).sum(axis=1)).sum())


def _sharpness(luma: ImageArray, face: ImageArray, variance: float) -> float:
    """Energy of the Laplacian over the variance of luminance, in decibels: no change of contrast moves it.

    Smoothed a little before, or noise, were it only that of rounding to 8 bits, would pass for detail where all is
    blurred.
    """
    if variance * 255**2 < 1 or int(np.count_nonzero(face)) < _LEAST_FACE:
        return float("nan")
    edges = cv2.Laplacian(cv2.GaussianBlur(luma.astype(np.float32), (0, 0), _SMOOTHING), cv2.CV_32F)
    _, deviation = cv2.meanStdDev(edges, mask=face)
    return float(10 * np.log10(max(float(deviation[0, 0]) ** 2, 1e-3) / (variance * 255**2)))


def _unnatural(crop: ImageArray, face: ImageArray) -> float:
    """Distance in CIELAB of the face's mean color from the range of skin."""
    mean = np.asarray(cv2.mean(crop, face)[:3], np.float32) / 255
    _, a, b = cv2.cvtColor(mean.reshape(1, 1, 3), cv2.COLOR_RGB2Lab)[0, 0].astype(float)
    off_a = max(_SKIN_A[0] - a, a - _SKIN_A[1], 0.0)
    off_b = max(_SKIN_B[0] - b, b - _SKIN_B[1], 0.0)
    return float(np.hypot(off_a, off_b))


def _unrest(luma: ImageArray, background: ImageArray) -> float:
    """Mean length of the luminance gradient in the background, of full scale a pixel; NaN where there is little."""
    # A pixel less all around, so that the border of the image counts as no edge.
    region = cv2.erode(background, np.ones((3, 3), np.uint8), borderValue=0)
    if int(np.count_nonzero(region)) < _LEAST_BACKGROUND:
        return float("nan")
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8)
    return float(cv2.mean(cv2.magnitude(across, down), region)[0]) / 255


def blockiness(image: ImageArray, xyxy: FloatArray, reduction: int, blocks: int) -> float:
    """How much larger steps of luminance are between the blocks of a JPEG than inside them, as a share.

    JPEG compresses blocks of 8 by 8 pixels; coarsely compressed, their borders show. Where the blocks begin does not
    matter, so an image that was cut, or saved anew without loss, is measured right.

    Args:
        image: uint8 RGB, decoded at ``1/reduction``.
        xyxy: the face's box in the original's pixels; its middle is looked at.
        reduction: see ``image``.
        blocks: at ``1/blocks`` of the original's size it is measured: 1 or 2, at least ``reduction``.

    Returns:
        0 or more; NaN where the box has too few pixels.
    """
    period = _BLOCK // blocks
    half = _LARGEST_PATCH * blocks // reduction // 2
    corners = np.asarray(xyxy, np.float64) / reduction
    center = (corners[:2] + corners[2:]) / 2
    low = np.maximum(np.maximum(corners[:2], center - half), 0).astype(int)
    step = blocks // reduction
    low -= low % step
    high = np.minimum(np.minimum(corners[2:], center + half), image.shape[1::-1]).astype(int)
    high -= (high - low) % step
    if (high - low < _LEAST_PATCH * _BLOCK // reduction).any():
        return float("nan")
    patch = np.asarray(cv2.transform(image[low[1] : high[1], low[0] : high[0]], _LUMA), np.uint8)
    if step > 1:
        size_wh = (patch.shape[1] // step, patch.shape[0] // step)
        patch = np.asarray(cv2.resize(patch, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    values = patch.astype(np.float32)
    return max(_stepping(values, period), _stepping(np.ascontiguousarray(values.T), period))


def _stepping(values: FloatArray, period: int) -> float:
    """The same along one axis: the largest mean step of the ``period`` phases against the mean of the others."""
    steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
    phases = np.asarray([steps[phase::period].mean() for phase in range(period)])
    rest = (phases.sum() - phases.max()) / (period - 1)
    # Below a step of half a level there is nothing to see.
    return float((phases.max() - rest) / max(rest, 0.5))
