"""The calls about faces and models, as data; their keywords are those of ``Client``'s methods."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.client.call import Answer, Call
from mien.client.pictures import to_send
from mien.client.reading import Seen, analysis_of, faces_of, quality_of, size_of, verification_of
from mien.errors import BadInput
from mien.images import ImageSource
from mien.images.sources import Color
from mien.recognizer import FaceChoice
from mien.types import Analysis, Faces, FloatArray, Quality, Templates, Verification

__all__ = [
    "ModelInfo",
    "ServerInfo",
    "analyze",
    "assess",
    "calibration",
    "compare",
    "detect",
    "image_call",
    "models",
    "scores",
    "see_faces",
    "see_quality",
    "verify",
    "version",
    "whoami",
]

BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is and works with.

    Attributes:
        version: the version of mien there.
        record: everything that it says of itself.
    """

    version: str
    record: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a server knows.

    Attributes:
        name: its card's name.
        task: ``detector`` or ``embedder``.
        license: SPDX identifier or short name.
        commercial: whether it may be used commercially.
        present: whether its file is on the server.
        in_use: whether the server works with it.
        space: the embedding space, or None for a detector.
        record: everything that the server says of it.
    """

    name: str
    task: str
    license: str
    commercial: bool
    present: bool
    in_use: bool
    space: str | None
    record: dict[str, Any] = field(repr=False)


def image_call(
    path: str, source: ImageSource, color: Color, read: Any, query: dict[str, Any], repeatable: bool = True
) -> Call[Any]:
    """A call whose body is an image."""
    image = to_send(source, color)
    return Call("POST", path, read, query, body=image.content, headers=BYTES, repeatable=repeatable, about=image.name)


def see_faces(source: ImageSource, *, largest: bool = False, color: Color = "rgb") -> Call[Seen[Faces]]:
    """As ``detect``, with the image's size."""

    def read(answer: Answer) -> Seen[Faces]:
        record = answer.json()
        return Seen(size_of(record), faces_of(record["faces"]))

    return image_call("/v1/detect", source, color, read, {"largest": largest})


def detect(source: ImageSource, *, largest: bool = False, color: Color = "rgb") -> Call[Faces]:
    """The faces of an image.

    Args:
        source: a path, bytes, a file object, a Pillow image, an array or a tensor.
        largest: give back the face of the largest box alone.
        color: channel order of arrays.

    Raises:
        BadImage: it cannot be used.
    """
    return image_call("/v1/detect", source, color, lambda a: faces_of(a.json()["faces"]), {"largest": largest})


def analyze(source: ImageSource, *, largest: bool = False, color: Color = "rgb") -> Call[Analysis]:
    """The faces and templates of an image; the chips are not sent, so they have no pixels.

    The arguments and errors are those of ``detect``.
    """
    return image_call("/v1/embed", source, color, lambda a: analysis_of(a.json()), {"largest": largest})


def see_quality(source: ImageSource, *, largest: bool = False, color: Color = "rgb") -> Call[Seen[Quality]]:
    """As ``assess``, with the image's size."""

    def read(answer: Answer) -> Seen[Quality]:
        record = answer.json()
        return Seen(size_of(record), quality_of(record))

    return image_call("/v1/quality", source, color, read, {"largest": largest})


def assess(source: ImageSource, *, largest: bool = False, color: Color = "rgb") -> Call[Quality]:
    """How good the faces of an image are; the arguments and errors are those of ``detect``.

    The faces' landmarks are not sent, they are zeros.
    """
    return image_call("/v1/quality", source, color, lambda a: quality_of(a.json()), {"largest": largest})


def verify(
    a: ImageSource,
    b: ImageSource,
    *,
    threshold: float | None = None,
    fmr: float | None = None,
    face: FaceChoice = "single",
    color: Color = "rgb",
) -> Call[Verification]:
    """Whether two images show the same person.

    Args:
        a: an image of one face.
        b: the other image.
        threshold: score from which they match; None for the server's own.
        fmr: instead, the false match rate whose threshold is taken.
        face: ``"largest"`` takes the largest face where there are several.
        color: channel order of arrays.

    Raises:
        NoFace: an image shows no face.
        SeveralFaces: an image shows several, and ``face`` is ``"single"``.
        BadImage: an image cannot be used.
        CalibrationNotFound: a rate was given, and the server has no calibration.
    """
    files = tuple((name, name, to_send(source, color).content) for name, source in (("a", a), ("b", b)))
    query = {"threshold": threshold, "fmr": fmr, "face": face}
    return Call("POST", "/v1/verify", lambda x: verification_of(x.json()), query, files=files, repeatable=True)


def compare(a: Templates, b: Templates, *, threshold: float | None = None) -> Call[Verification]:
    """Whether two templates (``Templates`` of length 1) are of the same person.

    Raises:
        SpaceMismatch: they are not both of the server's space.
        BadInput: one is not of length 1.
    """
    body: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    for name, templates in (("a", a), ("b", b)):
        if len(templates) != 1:
            raise BadInput(f"expected one template, got {len(templates)}")
        body[name] = {"template": templates.vectors[0].tolist(), "space": templates.space}
    return Call("POST", "/v1/verify", lambda x: verification_of(x.json()), json=body, repeatable=True)


def scores(a: Templates, b: Templates) -> Call[FloatArray]:
    """``(m, n) float32``: the score of each of the m templates ``a`` with each of the n templates ``b``.

    Raises:
        SpaceMismatch: they are not both of the server's space.
    """
    b.require_space(a.space)
    shape = (len(a), len(b))
    body = {"space": a.space, "a": a.vectors.tolist(), "b": b.vectors.tolist()}

    def read(answer: Answer) -> FloatArray:
        return np.array(answer.json()["scores"], np.float32).reshape(shape)

    return Call("POST", "/v1/compare", read, json=body, repeatable=True)


def models() -> Call[list[ModelInfo]]:
    """The models that the server knows."""

    def read(answer: Answer) -> list[ModelInfo]:
        return [
            ModelInfo(
                m["name"],
                m["task"],
                m["license"],
                bool(m["commercial"]),
                bool(m["present"]),
                bool(m["in_use"]),
                m["space"],
                m,
            )
            for m in answer.json()["models"]
        ]

    return Call("GET", "/v1/models", read, repeatable=True)


def version() -> Call[ServerInfo]:
    """What the server is."""

    def read(answer: Answer) -> ServerInfo:
        record = answer.json()
        return ServerInfo(str(record["version"]), record)

    return Call("GET", "/v1/version", read, repeatable=True)


def whoami() -> Call[dict[str, Any]]:
    """Whose key this is, and what it may do: ``name``, ``scopes``, ``galleries``."""
    return Call("GET", "/v1/whoami", lambda a: dict(a.json()), repeatable=True)


def calibration(*, fmr: float | None = None) -> Call[dict[str, Any]]:
    """What the server's scores mean: ``space``, ``threshold``, and the thresholds of false match rates.

    Args:
        fmr: say the threshold of this rate, too.
    """
    return Call("GET", "/v1/calibration", lambda a: dict(json.loads(a.content)), {"fmr": fmr}, repeatable=True)


def listed(values: Collection[str] | None) -> list[str]:
    """Words for a query parameter that may be given several times; one word is one."""
    return [] if values is None else [values] if isinstance(values, str) else list(values)


def calibration_file() -> Call[str | None]:
    """The server's calibration as the text of a file, or None."""

    def read(answer: Answer) -> str | None:
        found = answer.json()["file"]
        return None if found is None else json.dumps(found)

    return Call("GET", "/v1/calibration", read, repeatable=True)
