"""Images to time with: of a stated size, with a stated number of faces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mien.errors import BadInput
from mien.images import ImageSource, open_image
from mien.types import ImageArray

__all__ = ["Scene", "compose", "scene_of"]

_JPEG_QUALITY = 90
_GRAY = 128


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image as a file holds it.

    Attributes:
        name: what to call it.
        content: the file's bytes.
        size_wh: width and height in pixels.
    """

    name: str
    content: bytes
    size_wh: tuple[int, int]


def scene_of(source: ImageSource, name: str) -> Scene:
    """A file of the user's own as it is; an array as a JPEG.

    Raises:
        BadImage: it cannot be used.
    """
    picture = open_image(source)
    if isinstance(source, bytes):
        content = source
    elif isinstance(picture.name, str):
        with open(picture.name, "rb") as file:
            content = file.read()
    else:
        content = _encoded(picture.pixels())
    return Scene(name, content, picture.size_wh)


def compose(portrait: ImageArray, size_wh: tuple[int, int], faces: int) -> Scene:
    """A JPEG of one size that shows a portrait so many times, in a grid, as large as fits.

    Args:
        portrait: uint8 RGB ``(H, W, 3)`` with one face.
        size_wh: the image's width and height in pixels.
        faces: how often; 0 leaves the image gray.

    Raises:
        BadInput: a size or number is out of range, or the faces would be smaller than a pixel.
    """
    width, height = size_wh
    if width < 1 or height < 1 or faces < 0:
        raise BadInput(f"expected a size of at least 1 x 1 and no less than 0 faces, got {width} x {height}, {faces}")
    image = np.full((height, width, 3), _GRAY, np.uint8)
    if faces:
        high, wide = portrait.shape[:2]
        columns = max(1, min(faces, round(math.sqrt(faces * width * high / (height * wide)))))
        rows = math.ceil(faces / columns)
        scale = min(width // columns / wide, height // rows / high)
        tile_wh = (int(wide * scale), int(high * scale))
        if min(tile_wh) < 1:
            raise BadInput(f"expected an image that holds {faces} faces, got {width} x {height}")
        tile = cv2.resize(portrait, tile_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        for k in range(faces):
            left, top = k % columns * (width // columns), k // columns * (height // rows)
            image[top : top + tile_wh[1], left : left + tile_wh[0]] = tile
    return Scene(f"{width}x{height}, {faces} face{'' if faces == 1 else 's'}", _encoded(image), size_wh)


def _encoded(image_rgb: ImageArray) -> bytes:
    done, data = cv2.imencode(".jpg", image_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise BadInput(f"expected an image that JPEG can hold, got {image_rgb.shape}")
    return bytes(data)
