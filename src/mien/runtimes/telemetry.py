"""What inference runtimes would send to their makers, turned off."""

from __future__ import annotations

import os
from types import ModuleType

__all__ = ["import_onnxruntime"]

# Releases differ in which of them they read (onnxruntime's pull requests 27379 and 29843).
_VARIABLES = {"ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"}


def import_onnxruntime() -> ModuleType:
    """The package ``onnxruntime``, imported such that it neither sends anything nor keeps a device id.

    From 1.29 on, ONNX Runtime sends events over the network and writes an id of the machine into the user's cache
    folder, unless a variable of the environment forbids it when it is imported. Who has set that variable is not
    overruled. A program that imported onnxruntime before mien has to set the variable itself; then this stops at
    least the events that may still be stopped.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    import onnxruntime

    if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module
