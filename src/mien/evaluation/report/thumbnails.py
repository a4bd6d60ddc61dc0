"""Small pictures of faces, inside the page itself."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from mien.alignment import cut_chips, needed_reduction
from mien.errors import MienError
from mien.evaluation.acquisition import Acquired
from mien.evaluation.protocols import Sample
from mien.images import open_image

__all__ = ["Thumbnails"]

_SIDE = 128
_ROOM = 1.4
_QUALITY = 82


class Thumbnails:
    """The faces of samples, cut out where they were found; each is looked up once.

    Args:
        samples: the images.
        acquired: where their faces are.
    """

    def __init__(self, samples: tuple[Sample, ...], acquired: Acquired) -> None:
        self._samples, self._acquired = samples, acquired
        self._made: dict[int, str | None] = {}

    def of(self, number: int) -> str | None:
        """A sample's face as a ``data:`` address, or None where there is no face or the image is gone."""
        if number < 0:
            return None
        if number not in self._made:
            self._made[number] = self._cut(number)
        return self._made[number]

    def _cut(self, number: int) -> str | None:
        box = self._acquired.xyxy[number].astype(np.float64)
        if not np.isfinite(box).all() or not (box[2:] > box[:2]).all():
            return None
        side = _ROOM * float((box[2:] - box[:2]).max())
        corner = (box[:2] + box[2:]) / 2 - side / 2
        scale = _SIDE / side
        matrix = np.array([[[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]]], np.float32)
        try:
            picture = open_image(self._samples[number].source)
            reduction = needed_reduction(matrix, picture.reductions)
            chip = cut_chips(picture.pixels(reduction), matrix, _SIDE, reduction)[0]
        except MienError:
            # The measuring is done: an image that has gone since leaves its place empty.
            return None
        encoded = cv2.imencode(".jpg", chip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode('ascii')}"
