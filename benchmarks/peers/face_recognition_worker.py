"""The pipeline of face_recognition: ``load_image_file``, ``face_locations`` (HOG), ``face_encodings``, its defaults.

The library itself runs on one core. Its command line spreads photos over processes and shrinks large ones first;
the options ``processes`` and ``longest_side`` do the same.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from protocol import UNREADABLE, Pipeline, serve


def load_models() -> None:
    """Load the library's five models, which importing it does."""
    importlib.import_module("face_recognition")


def faces_of(path: str, longest_side: int | None) -> int:
    """Find and embed the faces of one photo; gives their number."""
    import face_recognition
    import numpy as np
    import PIL.Image

    try:
        image = face_recognition.load_image_file(path)
    except OSError:
        return UNREADABLE
    if longest_side is not None and max(image.shape) > longest_side:
        small = PIL.Image.fromarray(image)
        small.thumbnail((longest_side, longest_side), PIL.Image.Resampling.LANCZOS)
        image = np.array(small)
    locations = face_recognition.face_locations(image)
    return len(face_recognition.face_encodings(image, locations))


def load(options: dict[str, Any]) -> tuple[Pipeline, dict[str, str]]:
    """The pipeline in ``processes`` processes, on photos of at most ``longest_side`` pixels (None: any)."""
    import dlib

    load_models()
    processes, longest_side = int(options["processes"]), options["longest_side"]
    faces = functools.partial(faces_of, longest_side=longest_side)
    about = {
        "face_recognition": version("face_recognition"),
        "dlib-bin": version("dlib-bin"),
        "AVX": "yes" if dlib.USE_AVX_INSTRUCTIONS else "no",
        "processes": str(processes),
        "longest side": "any" if longest_side is None else str(longest_side),
    }
    if processes == 1:
        return lambda paths: [faces(path) for path in paths], about

    pool = multiprocessing.get_context("forkserver").Pool(processes, initializer=load_models)

    def spread(paths: Sequence[str]) -> list[int]:
        return pool.map(faces, paths, chunksize=1)

    return spread, about


if __name__ == "__main__":
    serve(load)
