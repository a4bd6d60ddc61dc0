"""Images made for the tests: colors that tell the corners and channels apart, encoded in every format."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.types import ImageArray

LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
]
LOSSY: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {"quality": 95, "subsampling": 0}),
    ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
    ("WEBP", {"quality": 100}),
    ("GIF", {}),
]


def painting(width: int = 61, height: int = 43) -> ImageArray:
    """Smooth, without any symmetry: red grows rightward, green downward, blue is a blob at the top left."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    blob = np.exp(-8 * ((x - 0.2) ** 2 + (y - 0.25) ** 2))
    channels = np.stack([40 + 200 * x, 30 + 180 * y, 250 * blob], axis=-1)
    return np.asarray(np.rint(channels), dtype=np.uint8)


def encode(image: ImageArray | Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    """The image as a file of ``image_format`` (Pillow's name)."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, image_format, **options)
    return stream.getvalue()


def with_orientation(orientation: int) -> Image.Exif:
    """EXIF data that states the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    """One marker segment of a JPEG file."""
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def worst_difference(a: ImageArray, b: ImageArray) -> int:
    """The largest difference of any channel of any pixel; a failure when the shapes differ."""
    if a.shape != b.shape:
        raise AssertionError(f"shapes differ: {a.shape}, {b.shape}")
    return int(cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b)).max())


class CpuTensor:
    """The part of a torch tensor that is relied on, so that the tests need no torch."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.ndim = values.ndim

    def detach(self) -> CpuTensor:
        return self

    def cpu(self) -> CpuTensor:
        return self

    def numpy(self) -> NDArray[Any]:
        return self.values
