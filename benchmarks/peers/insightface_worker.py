"""The pipeline of insightface: ``cv2.imread`` and ``FaceAnalysis.get`` on a folder of ONNX files.

``FaceAnalysis`` sorts the folder's files into tasks by itself and runs one photo, and one face, at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol import UNREADABLE, Pipeline, serve


def load(options: dict[str, Any]) -> tuple[Pipeline, dict[str, str]]:
    """``FaceAnalysis`` on the model folder ``root/models/name``, with ``threads`` threads.

    ``det_size`` is a pair, or None for the library's default.
    """
    import cv2
    import insightface
    import onnxruntime
    from insightface.app import FaceAnalysis

    threads = int(options["threads"])
    cv2.setNumThreads(threads)
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = threads
    app = FaceAnalysis(
        name=options["name"],
        root=options["root"],
        providers=["CPUExecutionProvider"],
        sess_options=session_options,
    )
    det_size = options["det_size"]
    app.prepare(ctx_id=0, det_thresh=float(options["score"]), det_size=tuple(det_size) if det_size else None)
    if set(app.models) != {"detection", "recognition"}:
        raise ValueError(f"expected a detection and a recognition model, got {sorted(app.models)}")

    def run(paths: Sequence[str]) -> list[int]:
        counts = []
        for path in paths:
            image = cv2.imread(path)
            counts.append(UNREADABLE if image is None else len(app.get(image)))
        return counts

    detector = app.models["detection"]
    about = {
        "insightface": str(insightface.__version__),
        "onnxruntime": str(onnxruntime.__version__),
        "opencv": str(cv2.__version__),
        "threads": str(threads),
        "detection sizes": " and ".join(f"{width}x{height}" for width, height in detector.input_sizes),
    }
    return run, about


if __name__ == "__main__":
    serve(load)
