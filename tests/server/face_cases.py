"""Drawn faces and a recognizer that finds them, for tests of the faces API that need no models."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from server_cases import AppClient, app_of, settings_in

import mien
from mien.testing import FakeDetector, FakeEmbedder, draw_face

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PNG = {"Content-Type": "image/png"}
PEOPLE = "/v1/galleries/default"


def drawn(*colors: tuple[int, int, int], size: int = 96) -> bytes:
    """A PNG with a face of each color, the first one largest."""
    image = np.zeros((size, size * max(1, len(colors)), 3), np.uint8)
    for number, color in enumerate(colors):
        left = number * size
        draw_face(image, (left + 8, 8, left + 64 - 4 * number, 64 - 4 * number), color)
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def fake_recognizer(**settings: object) -> mien.Recognizer:
    """Finds bright boxes and tells them apart by their colors; takes every quality unless told otherwise."""
    given = mien.Settings(**{"quality": "off", **settings})
    return mien.Recognizer(given, detector=FakeDetector(), embedder=FakeEmbedder())


@contextmanager
def fake_app(folder: Path, recognizer: mien.Recognizer | None = None, **settings: object) -> Iterator[AppClient]:
    """The application with the fake recognizer, no limit on the rate of requests, and empty galleries."""
    values = {"rate_per_minute": 0, **settings}
    with app_of(settings_in(folder, **values), recognizer or fake_recognizer()) as client:
        yield client
