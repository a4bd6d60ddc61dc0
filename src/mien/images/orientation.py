"""EXIF orientation: read the one tag that matters, turn the pixels upright.

Of a file's EXIF data only tag 0x0112 of the first directory is read (CIPA DC-008, section 4.6.4; the layout
is TIFF 6.0, section 2), so damaged or oversized metadata elsewhere in the file can do no harm.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from mien.types import ImageArray

__all__ = ["apply_orientation", "read_orientation", "upright_size"]

_UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
# A camera writes some tens of tags; the bound keeps a hostile directory of 65,535 from costing time.
_MOST_TAGS = 512
_FIELD_TYPES = {1: "B", 3: "H", 4: "I"}


def read_orientation(exif: bytes) -> int:
    r"""The orientation that EXIF data states.

    Args:
        exif: the data, with or without its leading ``Exif\0\0``.

    Returns:
        1 to 8; 1 (upright) also when the data is damaged or says nothing.
    """
    tiff = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return _UPRIGHT
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (tags,) = struct.unpack_from(order + "H", tiff, start)
        for index in range(min(tags, _MOST_TAGS)):
            at = start + 2 + 12 * index
            tag, field_type, count = struct.unpack_from(order + "HHI", tiff, at)
            if tag == _ORIENTATION_TAG:
                if count != 1 or field_type not in _FIELD_TYPES:
                    return _UPRIGHT
                (value,) = struct.unpack_from(order + _FIELD_TYPES[field_type], tiff, at + 8)
                return int(value) if 1 <= value <= 8 else _UPRIGHT
    except struct.error:
        return _UPRIGHT
    return _UPRIGHT


def upright_size(stored_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height once ``orientation`` is applied: 5 to 8 swap the sides."""
    width, height = stored_wh
    return (height, width) if orientation >= 5 else (width, height)


def apply_orientation(image: ImageArray, orientation: int) -> ImageArray:
    """The ``(H, W, 3)`` image turned upright; the image itself when it is so already."""
    turned: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    if orientation == 2:
        turned = cv2.flip(image, 1)
    elif orientation == 3:
        turned = cv2.rotate(image, cv2.ROTATE_180)
    elif orientation == 4:
        turned = cv2.flip(image, 0)
    elif orientation == 5:
        turned = cv2.transpose(image)
    elif orientation == 6:
        turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    elif orientation == 7:
        turned = cv2.flip(cv2.transpose(image), -1)
    elif orientation == 8:
        turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    else:
        return image
    return np.asarray(turned, dtype=np.uint8)
