"""What becomes of a photo in a pack: stored as it is, or as an aligned chip."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from mien.errors import BadImage, BadInput, MienError
from mien.evaluation import FaceRule
from mien.images import open_image
from mien.images.headers import read_header
from mien.quality import MeasuredScorer
from mien.recognizer import Recognizer
from mien.recognizer.assessing import assess_image
from mien.training.data.aligning import Chip, arcface_points, iter_chips
from mien.training.data.listing import Listing, Photo
from mien.types import Faces, FloatArray, ImageArray

__all__ = ["JPEG_QUALITY", "Encoding", "Form", "PackSettings", "Prepared", "Refused", "encode", "prepare"]

Form = Literal["as-is", "align", "aligned"]
Encoding = Literal["jpeg", "png"]

JPEG_QUALITY = 95
"""Of chips that are encoded, with colors at half the resolution (4:2:0), as libjpeg does by default."""

_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "JPEG": ".jpg", "PNG": ".png"}
_PNG_DEPTH, _PNG_KIND = 24, 25
_PNG_OPAQUE_KINDS = (0, 2, 3)  # gray, color, palette: those without an alpha channel


@dataclass(frozen=True, slots=True)
class PackSettings:
    """How images are packed.

    Attributes:
        form: ``as-is`` keeps photos; ``align`` finds the face of each and stores its chip; ``aligned`` takes them for
            chips that are aligned already.
        size: side of the chips in pixels.
        encoding: of what has to be encoded: ``jpeg`` (see ``JPEG_QUALITY``) or ``png``, which loses nothing.
        face: which face of several, with ``align``.
        quality: measure the unified quality of chips.
        license: of images that have none of their own.
        note: for people.
        shard_bytes: a shard is closed once it has as many bytes.
        workers: threads, or with ``align`` processes; 1 works in this process.

    Raises:
        BadInput: a value is out of range, or quality was asked for photos.
    """

    form: Form = "as-is"
    size: int = 112
    encoding: Encoding = "jpeg"
    face: FaceRule = "central"
    quality: bool = False
    license: str = ""
    note: str = ""
    shard_bytes: int = 1 << 30
    workers: int = 1

    def __post_init__(self) -> None:
        for name, least in (("size", 16), ("shard_bytes", 1), ("workers", 1)):
            if getattr(self, name) < least:
                raise BadInput(f"{name}: expected {least} or more, got {getattr(self, name)}")
        if self.quality and self.form == "as-is":
            raise BadInput("quality: expected chips, to be aligned or aligned already, got photos as they are")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image as it is stored."""

    number: int
    name: str
    identity: str
    data: bytes
    suffix: str
    size_wh: tuple[int, int]
    landmarks: tuple[float, ...] | None
    quality: float | None
    score: float | None
    license: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that is not stored.

    Attributes:
        number: its place in the listing.
        name: what messages call it.
        identity: whom it shows, as far as known.
        code: the error's.
        message: why, for people.
    """

    number: int
    name: str
    identity: str
    code: str
    message: str


def prepare(
    listing: Listing, numbers: Iterable[int], settings: PackSettings, recognizer: Recognizer | None
) -> Iterator[Prepared | Refused]:
    """What becomes of images, in order.

    Args:
        listing: the images.
        numbers: which of them.
        settings: how.
        recognizer: finds the faces, with ``align``.

    Raises:
        BadInput: faces are to be found and there is no recognizer.
        MienError: what is no single image's fault.
    """
    if settings.form == "align":
        if recognizer is None:
            raise BadInput("align: expected a recognizer to find the faces with, got none")
        yield from _cut(listing, numbers, settings, recognizer)
        return
    for number in numbers:
        photo: Photo | None = None
        try:
            photo = listing.load(number)
            yield _kept(number, photo, settings)
        except MienError as error:
            yield _refused(listing, number, photo, error)


def encode(pixels: ImageArray, encoding: Encoding) -> bytes:
    """An RGB image as JPEG or PNG."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if encoding == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    done, data = cv2.imencode(_SUFFIXES[encoding], np.ascontiguousarray(pixels[:, :, ::-1]), parameters)
    if not done:
        raise BadImage(f"expected an image that can be encoded as {encoding}, got {pixels.shape}")
    return data.tobytes()


def _refused(listing: Listing, number: int, photo: Photo | None, error: MienError) -> Refused:
    identity = listing.identity(number) if photo is None else photo.identity
    return Refused(number, listing.name(number), identity, error.code, error.message)


def _cut(
    listing: Listing, numbers: Iterable[int], settings: PackSettings, recognizer: Recognizer
) -> Iterator[Prepared | Refused]:
    # The recognizer reads ahead: what it was fed, and what never came that far, wait here in order.
    waiting: deque[tuple[int, Photo | Refused]] = deque()

    def feed() -> Iterator[bytes]:
        for number in numbers:
            try:
                photo = listing.load(number)
            except MienError as error:
                waiting.append((number, _refused(listing, number, None, error)))
                continue
            waiting.append((number, Photo(photo.name, photo.identity, b"", photo.landmarks, photo.license)))
            yield photo.data

    def refused_first() -> Iterator[Refused]:
        while waiting and isinstance(waiting[0][1], Refused):
            yield waiting.popleft()[1]  # type: ignore[misc]

    chips = iter_chips(recognizer, feed(), size=settings.size, face=settings.face, quality=settings.quality)
    with closing(chips) as cut:
        for chip in cut:
            yield from refused_first()
            number, photo = waiting.popleft()
            if isinstance(photo, Refused):
                continue
            yield _chip(listing, number, photo, chip, settings)
        yield from refused_first()


def _chip(
    listing: Listing, number: int, photo: Photo, chip: Chip | MienError, settings: PackSettings
) -> Prepared | Refused:
    if isinstance(chip, MienError):
        return _refused(listing, number, photo, chip)
    return Prepared(
        number,
        photo.name,
        photo.identity,
        encode(chip.pixels, settings.encoding),
        _SUFFIXES[settings.encoding],
        (settings.size, settings.size),
        _numbers(chip.landmarks),
        chip.quality,
        chip.score,
        photo.license,
    )


def _kept(number: int, photo: Photo, settings: PackSettings) -> Prepared:
    """A photo as it is, or a chip that is aligned already."""
    pixels = open_image(photo.data).pixels()
    suffix = _suffix_as_is(photo.data)
    data = photo.data
    height, width = pixels.shape[:2]
    points = None if photo.landmarks is None else np.asarray(photo.landmarks, np.float32).reshape(5, 2)
    quality: float | None = None
    if settings.form == "aligned":
        side = settings.size
        if width != height:
            raise BadInput(f"expected an aligned image of {side}×{side} pixels, got {width}×{height}")
        if width != side:
            shrinks = width > side
            scaled = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            points = None if points is None else (points + 0.5) * np.float32(side / width) - np.float32(0.5)
            pixels, suffix, width, height = np.asarray(scaled, np.uint8), None, side, side
        points = arcface_points(side) if points is None else points
        quality = _quality(pixels, points) if settings.quality else None
    if suffix is None:
        data, suffix = encode(pixels, settings.encoding), _SUFFIXES[settings.encoding]
    landmarks = None if points is None else _numbers(points)
    return Prepared(
        number, photo.name, photo.identity, data, suffix, (width, height), landmarks, quality, None, photo.license
    )


def _suffix_as_is(data: bytes) -> str | None:
    """The suffix of a file that every reader sees alike: an upright JPEG, an opaque PNG; None for all others."""
    header = read_header(data, "image")
    if header.orientation != 1:
        return None
    if header.format == "JPEG" and header.opencv:
        return _SUFFIXES["JPEG"]
    if header.format == "PNG" and data[_PNG_DEPTH] <= 8 and data[_PNG_KIND] in _PNG_OPAQUE_KINDS:
        return None if re.search(rb"tRNS", data[: data.find(b"IDAT")]) else _SUFFIXES["PNG"]
    return None


def _quality(pixels: ImageArray, points: FloatArray) -> float:
    """The unified quality of a chip, without the detector's say: nothing was detected."""
    side = len(pixels)
    box = np.asarray([[0, 0, side, side]], np.float32)
    faces = Faces(box, np.ones(1, np.float32), points[None])
    scorer = MeasuredScorer(confidence=False)
    return float(assess_image(pixels, 1, (side, side), faces, 0, scorer).unified[0])


def _numbers(points: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in points.ravel())
