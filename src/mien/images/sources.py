"""One image from anything that holds one: path, bytes, file object, Pillow image, array, tensor."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import BadImage, BadInput
from mien.images.arrays import array_to_rgb, as_array, check_array, is_tensor
from mien.images.decoding import decode
from mien.images.headers import SNIFF_BYTES, Header, read_header, sniff
from mien.images.orientation import upright_size
from mien.images.picture import Picture
from mien.images.pillow import load_pillow_image, pillow_to_rgb
from mien.types import ImageArray

__all__ = ["MAX_PIXELS", "Color", "ImageSource", "load", "open_image"]

Color: TypeAlias = Literal["rgb", "bgr"]
"""The order of the channels of an array or tensor."""


class Tensor(Protocol):
    """As much of a torch tensor as is used here; torch itself is not imported."""

    def detach(self) -> Any:
        """The tensor without its history."""
        ...

    def cpu(self) -> Any:
        """The tensor in main memory."""
        ...


ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any] | Picture | Tensor"
)
"""What counts as one image."""

MAX_PIXELS = 100_000_000
"""The default limit on an image's width × height."""

_JPEG_REDUCTIONS = (1, 2, 4, 8)
_CHUNK = 1 << 20
# Uncompressed, a pixel takes at most 8 bytes, four channels of 16 bits; metadata may come on top.
_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 1 << 26


def open_image(source: ImageSource, *, color: Color = "rgb", max_pixels: int = MAX_PIXELS) -> Picture:
    """Open one image: read its bytes and its header, but do not decode it.

    Encoded images may be JPEG, PNG, WebP, BMP, TIFF or GIF (the first frame of several), told by their content and
    not by their name. EXIF orientation is applied, transparency composited on white, 16 bits a channel cut to their
    high byte. Color profiles are not applied. Truncation is found here for JPEG, PNG and WebP, for the others by
    ``Picture.pixels``.

    Args:
        source: a path; ``bytes``, ``bytearray`` or ``memoryview`` of an encoded image; a file object open in binary
            mode, read from where it stands; a Pillow image (loaded now if it is not yet); an array or torch tensor,
            ``uint8`` or ``uint16``, ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``, not copied: change it
            only once the picture is no longer used; or a ``Picture``, which comes back as it is.
        color: the order of the channels of an array or tensor; it does not touch the other sources.
        max_pixels: the largest width × height, checked before anything is decoded.

    Raises:
        BadImage: no image, of another format, too large, truncated, damaged, or an array of another shape or type.
        BadInput: ``color`` is neither ``"rgb"`` nor ``"bgr"``.
    """
    if color not in ("rgb", "bgr"):
        raise BadInput(f"color: expected 'rgb' or 'bgr', got {color!r}")
    if isinstance(source, (str, os.PathLike)):
        return _open_path(os.fsdecode(source), max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open_data(bytes(source), None, "image bytes", max_pixels)
    if isinstance(source, Picture):
        _check_size(source.size_wh, max_pixels, "picture" if source.name is None else _shown(source.name))
        return source
    if isinstance(source, Image.Image):
        return _open_pillow(source, max_pixels)
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        name = _shown(name) if isinstance(name, str) else "file object"
        return _open_data(_read(cast(BinaryIO, source), name, max_pixels), None, name, max_pixels)
    if isinstance(source, np.ndarray) or is_tensor(source):
        return _open_array(source, color, max_pixels)
    raise BadImage(
        "image: expected a path, bytes, a binary file object, a Pillow image, an array or a tensor, "
        f"got {type(source).__name__}"
    )


def load(source: ImageSource, *, color: Color = "rgb", max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Decode one image: ``open_image`` and ``Picture.pixels`` in one call, with their arguments and errors.

    Returns:
        ``uint8 (H, W, 3)`` RGB, contiguous, upright.
    """
    return open_image(source, color=color, max_pixels=max_pixels).pixels()


def _open_path(path: str, max_pixels: int) -> Picture:
    name = _shown(path)
    try:
        with open(path, "rb", buffering=0) as file:
            data = _read(file, name, max_pixels)
    except (OSError, ValueError) as error:
        if os.path.isdir(path):
            raise BadImage(f"{name}: expected an image file, got a folder") from error
        reason = error.strerror if isinstance(error, OSError) else None
        raise BadImage(f"{name}: {reason.lower() if reason else error}") from error
    return _open_data(data, path, name, max_pixels)


def _open_data(data: bytes, path: str | None, name: str, max_pixels: int) -> Picture:
    header = read_header(data, name)
    _check_size(header.size_wh, max_pixels, name)
    # A side that is no multiple of r ends in a partial block, which turning would bring to the picture's start:
    # offered are the r at which pixel (x, y) always stands for the block from (r*x, r*y) on.
    turned = header.orientation != 1 and header.format == "JPEG"
    reductions = tuple(
        r
        for r in (_JPEG_REDUCTIONS if header.format == "JPEG" else (1,))
        if not turned or all(side % r == 0 for side in header.size_wh)
    )
    return Picture(header.size_wh, reductions, path, partial(_decode_data, data, header, name))


def _decode_data(data: bytes, header: Header, name: str, reduction: int) -> ImageArray:
    return decode(data, header, reduction, name)


def _open_pillow(image: Image.Image, max_pixels: int) -> Picture:
    name = "Pillow image"
    _check_size(image.size, max_pixels, name)
    orientation = load_pillow_image(image, name)
    return Picture(upright_size(image.size, orientation), (1,), None, partial(_decode_pillow, image, name, orientation))


def _decode_pillow(image: Image.Image, name: str, orientation: int, _reduction: int) -> ImageArray:
    return pillow_to_rgb(image, name, orientation)


def _open_array(source: object, color: Color, max_pixels: int) -> Picture:
    name = "tensor" if is_tensor(source) else "array"
    array = as_array(source, name)
    check_array(array, name)
    size_wh = (array.shape[1], array.shape[0])
    _check_size(size_wh, max_pixels, name)
    return Picture(size_wh, (1,), None, partial(_decode_array, array, color))


def _decode_array(array: NDArray[Any], color: Color, _reduction: int) -> ImageArray:
    return array_to_rgb(array, color)


def _check_size(size_wh: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size_wh
    if min(size_wh) < 1:
        raise BadImage(f"{name}: expected at least one pixel, got {width}×{height}")
    if width * height > max_pixels:
        raise BadImage(f"{name}: expected at most {max_pixels:,} pixels, got {width}×{height} = {width * height:,}")


def _read(file: BinaryIO, name: str, max_pixels: int) -> bytes:
    """All that is left in ``file``; a device without end, or a file that is no image, is not read through."""
    limit = _BYTES_PER_PIXEL * max_pixels + _METADATA_BYTES
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            chunk = cast(object, file.read(_CHUNK))
        except (OSError, ValueError) as error:
            raise BadImage(f"{name}: cannot be read: {error}") from error
        if not isinstance(chunk, bytes):
            raise BadImage(f"{name}: expected bytes from read(), got {type(chunk).__name__}; open it in binary mode")
        if not chunk:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not chunks and len(chunk) >= SNIFF_BYTES:
            sniff(chunk[:SNIFF_BYTES], name)
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise BadImage(f"{name}: expected at most {limit:,} bytes for {max_pixels:,} pixels, got more")


def _shown(path: str) -> str:
    """The path as messages show it: in one line, and printable on any terminal."""
    return path if path.isprintable() and path else repr(path)
