"""mien's own pipeline under the peers' protocol: ``Recognizer.analyze`` on paths."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol import UNREADABLE, Pipeline, serve

_RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}


def load(options: dict[str, Any]) -> tuple[Pipeline, dict[str, str]]:
    """A warm ``Recognizer`` with ``settings``.

    ``models`` are the user's own files to add first, each a file, a card template and a name. With ``one_by_one``
    every photo is a call of its own; without, all photos go into one call.
    """
    from mien import zoo
    from mien.errors import MienError
    from mien.recognizer import Recognizer, Settings

    for file, template, name in options["models"]:
        zoo.add(Path(file), template, name=name, accept_license=True)
    settings = Settings(**options["settings"])
    recognizer = Recognizer(settings)
    recognizer.warmup()
    one_by_one = bool(options["one_by_one"])

    def run(paths: Sequence[str]) -> list[int]:
        batches = [(path,) for path in paths] if one_by_one else [tuple(paths)]
        analyses = [found for batch in batches for found in recognizer.analyze(batch, errors="return")]
        return [UNREADABLE if isinstance(found, MienError) else len(found.faces) for found in analyses]

    about = {
        "mien": version("mien"),
        _RUNTIMES[settings.runtime]: version(_RUNTIMES[settings.runtime]),
        "opencv": version("opencv-python-headless"),
        "threads": str(settings.threads),
        "precision": settings.precision,
        "detector": settings.detector,
        "embedder": settings.embedder,
        "score": str(settings.min_score),
    }
    return run, about


if __name__ == "__main__":
    serve(load)
