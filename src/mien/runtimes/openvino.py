"""OpenVINO behind the ``Network`` interface (extra ``openvino``)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import MissingExtra, RuntimeFailed
from mien.runtimes.network import RuntimeOptions
from mien.runtimes.openvino_graph import restore_prelus
from mien.types import FloatArray

__all__ = ["OpenVinoNetwork"]


class OpenVinoNetwork:
    """A network in OpenVINO on the CPU.

    A compiled model runs several requests at once, but a request serves one thread at a time: idle
    requests wait in a pool, which grows to the largest number of threads ever inside ``run``.

    Args:
        path: an ONNX file with one image input.
        options: threads and precision.

    Raises:
        MissingExtra: OpenVINO is not installed.
        RuntimeFailed: OpenVINO refused the file.
    """

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra("the openvino runtime is not installed: pip install 'mien[openvino]'") from error
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": options.precision, "PERFORMANCE_HINT": "LATENCY"}
        if options.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        try:
            core = openvino.Core()
            source = core.read_model(str(path))
            # Before compilation: what compiles away leaves its names on the outputs too.
            self._outputs = tuple(o.get_any_name() for o in source.outputs)
            restore_prelus(source)
            self._model: Any = core.compile_model(source, "CPU", settings)
        except RuntimeError as error:
            raise RuntimeFailed(f"OpenVINO cannot load {path}: {str(error).strip().splitlines()[0]}") from error
        if len(self._model.inputs) != 1:
            raise RuntimeFailed(f"{path}: expected one input, got {len(self._model.inputs)}")
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(n, 3, H, W)``; None where any size goes."""
        return tuple(int(d.get_length()) if d.is_static else None for d in self._model.inputs[0].partial_shape)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names, in order."""
        return self._outputs

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """See ``Network.run``."""
        with self._lock:
            request = self._idle.pop() if self._idle else None
        if request is None:
            request = self._model.create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True)
            outputs = [np.array(results[k], dtype=np.float32) for k in range(len(self._outputs))]
        except RuntimeError as error:
            raise RuntimeFailed(f"OpenVINO failed on {batch.shape}: {str(error).strip().splitlines()[0]}") from error
        with self._lock:
            self._idle.append(request)
        return outputs
