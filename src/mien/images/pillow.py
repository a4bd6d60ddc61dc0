"""Pillow: the rarer formats, and images that a caller holds as Pillow's own.

The plugin of the format is called directly, never ``Image.open``: no other parser can be reached with hostile
bytes, and Pillow's process-wide pixel limit, which warns or raises, is not in the way of this package's own.
"""

from __future__ import annotations

import threading
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from mien.errors import BadImage
from mien.images.arrays import grey_to_rgb, over_white
from mien.images.orientation import apply_orientation, upright_size
from mien.types import ImageArray

__all__ = ["decode_with_pillow", "load_pillow_image", "open_with_pillow", "pillow_to_rgb", "size_with_pillow"]

_WIDTH_TAG, _HEIGHT_TAG, _ORIENTATION_TAG = 256, 257, 274
# Pillow reads a file-backed image on first use and is not safe against two threads doing so at once.
_LOADING = threading.Lock()


def open_with_pillow(image_format: str, data: bytes, name: str) -> ImageFile.ImageFile:
    """Read the header of an encoded image; ``image_format`` is one of ``mien.images.headers.FORMATS``.

    Raises:
        BadImage: it cannot be read.
    """
    stream = BytesIO(data)
    # Hostile bytes make Pillow's parsers raise nearly anything: SyntaxError, struct.error, KeyError, ...
    try:
        if image_format == "JPEG":
            from PIL.JpegImagePlugin import JpegImageFile

            return JpegImageFile(stream)
        if image_format == "PNG":
            from PIL.PngImagePlugin import PngImageFile

            return PngImageFile(stream)
        if image_format == "WebP":
            from PIL.WebPImagePlugin import WebPImageFile

            return WebPImageFile(stream)
        if image_format == "BMP":
            from PIL.BmpImagePlugin import BmpImageFile

            return BmpImageFile(stream)
        if image_format == "TIFF":
            from PIL.TiffImagePlugin import TiffImageFile

            return TiffImageFile(stream)
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile(stream)
    except Exception as error:
        raise BadImage(f"{name}: unreadable {image_format}: {_reason(error)}") from error


def size_with_pillow(image_format: str, data: bytes, name: str) -> tuple[int, int]:
    """Width and height of an encoded image as ``decode_with_pillow`` will give it.

    Raises:
        BadImage: its header cannot be read.
    """
    image = open_with_pillow(image_format, data, name)
    try:
        return _loaded_size(image)
    except Exception as error:
        raise BadImage(f"{name}: unreadable {image_format}: {_reason(error)}") from error


def _loaded_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Pillow turns a TIFF upright while it loads it; before that, ``size`` is so or not, by Pillow's version."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return image.size
    width, height = tags.get(_WIDTH_TAG), tags.get(_HEIGHT_TAG)
    orientation = tags.get(_ORIENTATION_TAG)
    if not isinstance(width, int) or not isinstance(height, int):
        return image.size
    return upright_size((width, height), orientation if orientation in range(1, 9) else 1)


def decode_with_pillow(image_format: str, data: bytes, decoded_wh: tuple[int, int], name: str) -> ImageArray:
    """Decode a whole image, its first frame if it has several.

    Returns:
        ``uint8 (H, W, 3)`` RGB, of the size that the header gave.

    Raises:
        BadImage: truncated, damaged, of unknown range, or not of the size ``decoded_wh``.
    """
    image = open_with_pillow(image_format, data, name)
    width, height = decoded_wh
    # The limit was checked on the header's size: a file that tells Pillow another one gets no memory.
    if sorted(image.size) != sorted(decoded_wh):
        raise BadImage(f"{name}: damaged {image_format}: expected {width}×{height} pixels, got {image.size}")
    try:
        image.load()
    except Exception as error:
        raise BadImage(f"{name}: unreadable {image_format}: {_reason(error)}") from error
    pixels = pillow_to_rgb(image, name)
    if pixels.shape != (height, width, 3):
        raise BadImage(f"{name}: damaged {image_format}: expected {width}×{height} pixels, got {image.size}")
    return pixels


def load_pillow_image(image: Image.Image, name: str) -> int:
    """Make a caller's image hold its pixels, and read its EXIF orientation.

    Returns:
        1 to 8, still to be applied.

    Raises:
        BadImage: its file is truncated, damaged or closed.
    """
    try:
        with _LOADING:
            image.load()
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:
        raise BadImage(f"{name}: {_reason(error)}") from error
    return orientation if orientation in range(1, 9) else 1


def pillow_to_rgb(image: Image.Image, name: str, orientation: int = 1) -> ImageArray:
    """The pixels of a loaded image: ``uint8 (H, W, 3)`` RGB, upright, on white where it is transparent.

    Raises:
        BadImage: 32-bit or float pixels, whose range nothing states.
    """
    try:
        pixels = _to_rgb(image, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadImage(f"{name}: {_reason(error)}") from error
    return apply_orientation(pixels, orientation)


def _to_rgb(image: Image.Image, name: str) -> ImageArray:
    # Before version 11, Pillow gave 16-bit grey PNG as 32-bit integers.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return grey_to_rgb((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise BadImage(f"{name}: expected 8 or 16 bits a channel, got 32 bits (mode {image.mode}) of unknown range")
    if image.has_transparency_data:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text else type(error).__name__
