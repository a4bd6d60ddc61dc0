"""Who runs against whom: mien's settings, each peer's options, and the ratio to reach."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from environments import ENVIRONMENTS, environment
from insightface_models import free_size_folder, original_folder
from photo_sets import models_folder
from workers import PEERS, Worker

__all__ = ["COMPARISONS", "Comparison", "Contender", "Pair", "Plan", "Unavailable", "mien_environ", "runtimes"]

SAME_SIZE = 640
"""Longest side of the photos on which mien and insightface detect at one size: the only one of the shipped file."""


class Unavailable(Exception):
    """A comparison cannot run here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One pipeline with its settings, and how to start it.

    Attributes:
        name: what the tables call it.
        script: the worker's file in ``peers/``.
        options: what the worker is told.
        peer: the environment in ``peers/``, or None for the one that this program runs in.
        warm_up: how many photos to run before timing; None for all, which lets a runtime see every size.
    """

    name: str
    script: str
    options: Mapping[str, Any]
    peer: str | None = None
    warm_up: int | None = None

    def start(self, threads: int) -> Worker:
        """A loaded worker."""
        python = Path(sys.executable) if self.peer is None else environment(self.peer)
        return Worker(python, PEERS / self.script, {"threads": threads, **self.options}, mien_environ(), threads)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all contenders of a run have in common.

    Attributes:
        threads: cores and threads for each.
        score: the detection score below which nothing is a face, for mien and for the peers that take one.
        runtimes: the runtimes in which mien runs.
    """

    threads: int
    score: float
    runtimes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A ratio to print: mien's contender, the peer's, and the target, or None for a ratio printed for the record."""

    mien: str
    peer: str
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """mien against a peer.

    Attributes:
        title: one line for people.
        contenders: everyone who runs.
        pairs: what to compare with what; pairs whose contenders do not run here are left out.
        most_photos: how many photos of a set to use at most, where all of them would take too long.
        longest_side: to what side to resize the photos beforehand, or None for the photos as they are.
    """

    title: str
    contenders: Callable[[Plan], list[Contender]]
    pairs: tuple[Pair, ...]
    most_photos: Mapping[str, int] = field(default_factory=dict)
    longest_side: int | None = None


def mien_environ() -> dict[str, str]:
    """A cache for the benchmarks alone, so that the user's own stays as it is."""
    return {"MIEN_CACHE": str(ENVIRONMENTS / "mien-cache")}


def runtimes() -> list[str]:
    """The runtimes that are installed here."""
    return ["onnx", *(["openvino"] if find_spec("openvino") is not None else [])]


def _miens(plan: Plan, models: tuple[tuple[str, str, str], ...] = (), **settings: Any) -> list[Contender]:
    """One contender for each runtime with all photos in one call, and one for ONNX Runtime with a call a photo."""
    ways = [(f"mien {runtime}", runtime, False) for runtime in plan.runtimes]
    if "onnx" in plan.runtimes:
        ways.append(("mien onnx, one by one", "onnx", True))
    return [
        Contender(
            name,
            "mien_worker.py",
            {
                "settings": {"runtime": runtime, "threads": plan.threads, "min_score": plan.score, **settings},
                "models": models,
                "one_by_one": one_by_one,
            },
        )
        for name, runtime, one_by_one in ways
    ]


def _against_face_recognition(plan: Plan) -> list[Contender]:
    peers: list[tuple[str, dict[str, Any]]] = [
        ("face_recognition", {"processes": 1, "longest_side": None}),
        ("face_recognition, as its command line", {"processes": plan.threads, "longest_side": 1600}),
    ]
    return [
        *_miens(plan, embedder="dlib-resnet"),
        *(Contender(name, "face_recognition_worker.py", o, "face_recognition", warm_up=4) for name, o in peers),
    ]


def _insightface(name: str, folder: tuple[Path, str], det_size: tuple[int, int] | None, plan: Plan) -> Contender:
    root, model = folder
    options = {"root": str(root), "name": model, "det_size": det_size, "score": plan.score}
    return Contender(name, "insightface_worker.py", options, "insightface")


def _user_models() -> tuple[tuple[str, str, str], ...]:
    folder = models_folder()
    files = (
        (folder / "scrfd_500m_bnkps.onnx", "scrfd", "scrfd-500m"),
        (folder / "mobilefacenet.onnx", "arcface", "mobilefacenet"),
    )
    for file, _, _ in files:
        if not file.is_file():
            raise Unavailable(f"there is no {file}")
    return tuple((str(file), template, name) for file, template, name in files)


def _against_insightface(plan: Plan) -> list[Contender]:
    models = _user_models()
    free = free_size_folder(models)
    return [
        *_miens(plan, models, detector="scrfd-500m", embedder="mobilefacenet"),
        _insightface("insightface 640", original_folder(models), None, plan),
        _insightface("insightface 256", free, (256, 256), plan),
        _insightface("insightface 128 and 640, its default", free, None, plan),
    ]


def _against_insightface_at_one_size(plan: Plan) -> list[Contender]:
    models = _user_models()
    # mien's SCRFD finds faces from 20 pixels up, so asking for these keeps the photos at their own scale.
    return [
        *_miens(plan, models, detector="scrfd-500m", embedder="mobilefacenet", min_face=20),
        _insightface("insightface 640", original_folder(models), (SAME_SIZE, SAME_SIZE), plan),
    ]


def _against_opencv(plan: Plan) -> list[Contender]:
    options = {
        "detector": "face_detection_yunet_2023mar_int8bq.onnx",
        "embedder": "face_recognition_sface_2021dec_int8bq.onnx",
        "score": plan.score,
    }
    return [*_miens(plan), Contender("opencv", "opencv_worker.py", options, "opencv")]


def _pairs(peer: str, target: float | None) -> tuple[Pair, ...]:
    """The peer against each of mien's contenders, those with all photos in one call with the target."""
    return (
        Pair("mien onnx", peer, target),
        Pair("mien openvino", peer, target),
        Pair("mien onnx, one by one", peer),
    )


COMPARISONS = {
    "face_recognition": Comparison(
        "face_recognition (HOG and dlib's descriptor) against mien with dlib-resnet",
        _against_face_recognition,
        (*_pairs("face_recognition", 8.0), *_pairs("face_recognition, as its command line", None)),
        # HOG takes seconds for a photo of several megapixels.
        most_photos={"photos": 40},
    ),
    "insightface": Comparison(
        f"insightface against mien on the same two files, detecting at one size (longest side {SAME_SIZE})",
        _against_insightface_at_one_size,
        _pairs("insightface 640", 1.5),
        longest_side=SAME_SIZE,
    ),
    "insightface-defaults": Comparison(
        "insightface against mien on the same two files, each at its own detection sizes",
        _against_insightface,
        (
            *_pairs("insightface 640", None),
            *_pairs("insightface 256", None),
            *_pairs("insightface 128 and 640, its default", None),
        ),
    ),
    "opencv": Comparison(
        "OpenCV's FaceDetectorYN and FaceRecognizerSF against mien's defaults, on the same weights",
        _against_opencv,
        _pairs("opencv", 2.5),
    ),
}
"""The comparisons by name, as ``--only`` takes them."""
