"""Annotated images: a box, five landmarks and a label for each face."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mien.cli.fonts import font_for, writable
from mien.cli.whole_files import replacing
from mien.errors import OutputError

if TYPE_CHECKING:
    from mien.types import Faces, ImageArray

__all__ = ["KNOWN", "UNKNOWN", "Album", "annotate"]

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]

KNOWN: Color = (46, 204, 113)
"""RGB of a face that has a name."""
UNKNOWN: Color = (255, 176, 0)
"""RGB of a face that has none."""

_INK: Color = (0, 0, 0)
_FAST_PNG = 1


def annotate(image: ImageArray, faces: Faces, labels: list[str], colors: list[Color]) -> ImageArray:
    """A copy of ``image`` (``uint8 (H, W, 3)`` RGB) with each face marked; an empty label is left out."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    width_px = max(2, round(min(canvas.size) / 250))
    taken: list[Box] = []
    for box, points, color in zip(faces.xyxy.tolist(), faces.landmarks.tolist(), colors, strict=True):
        left, top, right, bottom = box
        pen.rectangle((left, top, max(right, left), max(bottom, top)), outline=color, width=width_px)
        dot = max(1.5, (right - left) / 40)
        for x, y in points:
            pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=color)
    for box, label, color in zip(faces.xyxy.tolist(), labels, colors, strict=True):
        if label:
            _write_label(pen, canvas.size, box, label, color, width_px, taken)
    return np.asarray(canvas)


def _write_label(
    pen: ImageDraw.ImageDraw,
    size_wh: tuple[int, int],
    box: Box,
    label: str,
    color: Color,
    width_px: int,
    taken: list[Box],
) -> None:
    """Write a label above the face's box, or below it, or inside, whichever is free and on the image."""
    width, height = size_wh
    left, top, right, bottom = box
    shorter = min(width, height)
    points = round(min(max((right - left) / 6, shorter / 36, 12), max(shorter / 18, 12)))
    font = font_for(label, points)
    text = writable(label, font)
    reach = pen.textbbox((0, 0), text, font=font)
    pad = max(2, points // 4)
    wide, high = reach[2] - reach[0] + 2 * pad, reach[3] - reach[1] + 2 * pad
    x = min(max(left - width_px / 2, 0), max(width - wide, 0))
    best: Box | None = None
    for y in (top - high, bottom, top, bottom - high):
        placed = (x, y, x + wide, y + high)
        if y < 0 or y + high > height:
            continue
        if best is None:
            best = placed
        if not any(_overlap(placed, other) for other in taken):
            best = placed
            break
    if best is None:
        best = (x, 0, x + wide, high)
    taken.append(best)
    pen.rectangle(best, fill=color)
    pen.text((best[0] + pad - reach[0], best[1] + pad - reach[1]), text, fill=_INK, font=font)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class Album:
    """A folder that annotated images go to, as PNG files called after the originals.

    Args:
        folder: made where there is none.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error

    def save(self, below: str, image: ImageArray) -> Path:
        """Write ``image`` (RGB), whole or not at all; where to.

        Args:
            below: path of the original, from the folder on that it was found in.
            image: ``uint8 (H, W, 3)`` RGB.

        Raises:
            OutputError: the file cannot be written.
        """
        path = self._free(self._folder / PurePath(below).with_suffix(".png"))
        _, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, _FAST_PNG])
        with replacing(path) as temporary:
            temporary.write_bytes(encoded.tobytes())
        return path

    def _free(self, path: Path) -> Path:
        """``path``, numbered where this run has written it already."""
        free, number = path, 1
        while free in self._used:
            number += 1
            free = path.with_name(f"{path.stem}-{number}.png")
        self._used.add(free)
        return free
