"""The demo's photographs: which are enrolled, which are to be identified, and who is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mien.cli.whole_files import replacing
from mien.images import load

if TYPE_CHECKING:
    from mien.images.samples import Samples
    from mien.types import ImageArray

__all__ = ["BIDEN", "OBAMA", "Probe", "probes", "enrolled", "second_portrait"]

OBAMA, BIDEN = "Barack Obama", "Joe Biden"

_TURN_DEG = 8.0
_SCALE = 0.5
_EXPOSURE = 0.75
_JPEG_QUALITY = 60


@dataclass(frozen=True, slots=True)
class Probe:
    """A photograph to identify, and what is true of it.

    Attributes:
        path: where it lies.
        who: who is to be named in it, or None if nobody is.
        faces: how many faces it shows.
    """

    path: Path
    who: str | None
    faces: int = 1


def enrolled(samples: Samples) -> dict[str, Path]:
    """The photograph that each identity is enrolled by."""
    # The two partial faces are cut from the first photo of Obama: enrolled by the second, none of them is known.
    return {OBAMA: samples.obama[1], BIDEN: samples.biden}


def probes(samples: Samples, second_biden: Path) -> list[Probe]:
    """The photographs that are not enrolled."""
    return [
        *(Probe(path, OBAMA) for path in (samples.obama[0], samples.obama[2], *samples.obama_partial)),
        Probe(second_biden, BIDEN),
        Probe(samples.astronaut, None),
        Probe(samples.group, None, 6),
    ]


def second_portrait(original: Path, destination: Path) -> Path:
    """Another image of a person of whom there is only one photograph: mirrored, turned, smaller, darker, compressed.

    Raises:
        OutputError: it cannot be written.
    """
    image = _turned(np.ascontiguousarray(load(original)[:, ::-1]))
    darker = np.clip(image.astype(np.float32) * _EXPOSURE, 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", darker[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    with replacing(destination) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return destination


def _turned(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    size_wh = (round(width * _SCALE), round(height * _SCALE))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), _TURN_DEG, _SCALE)
    matrix[:, 2] += (size_wh[0] - width) / 2, (size_wh[1] - height) / 2
    turned = cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
