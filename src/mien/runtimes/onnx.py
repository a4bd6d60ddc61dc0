"""ONNX Runtime behind the ``Network`` interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.errors import RuntimeFailed
from mien.runtimes.network import RuntimeOptions
from mien.runtimes.telemetry import import_onnxruntime
from mien.types import FloatArray

__all__ = ["OnnxNetwork"]

_LOG_FATAL_ONLY = 4  # failures come back as exceptions; the same text on stderr would be noise


class OnnxNetwork:
    """A network in ONNX Runtime.

    Args:
        path: an ONNX file with one image input.
        options: threads and execution providers.

    Raises:
        RuntimeFailed: ONNX Runtime refused the file, or has none of the providers.
    """

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        onnxruntime = import_onnxruntime()
        session = onnxruntime.SessionOptions()
        session.log_severity_level = _LOG_FATAL_ONLY
        if options.threads is not None:
            session.intra_op_num_threads = options.threads
        # Each session has threads of its own, which wait for work by spinning: those of the detector would go on
        # doing so while the embedder runs, on the same cores. Alternating, both together took half the time so.
        session.add_session_config_entry("session.force_spinning_stop", "1")
        # Pictures come in many sizes: plans made for one size would be kept for each of them.
        session.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), session, providers=list(options.providers))
        except Exception as error:  # the binding raises a class of its own for each status code
            raise RuntimeFailed(f"ONNX Runtime cannot load {path}: {_first_line(error)}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise RuntimeFailed(f"{path}: expected one input, got {[i.name for i in inputs]}")
        self._input = inputs[0]
        self._outputs = tuple(str(o.name) for o in self._session.get_outputs())

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(n, 3, H, W)``; None where any size goes."""
        return tuple(d if isinstance(d, int) and d > 0 else None for d in self._input.shape)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names, in order."""
        return self._outputs

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """See ``Network.run``."""
        try:
            outputs = self._session.run(None, {self._input.name: batch})
        except Exception as error:  # see above
            raise RuntimeFailed(f"ONNX Runtime failed on {batch.shape}: {_first_line(error)}") from error
        return [np.asarray(o, dtype=np.float32) for o in outputs]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
