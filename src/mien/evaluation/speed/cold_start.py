"""A process from nothing: import, models, first call, second call, and how much memory it came to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluation.speed.scenes import Scene
from mien.recognizer import Settings

__all__ = ["ColdStart", "measure_cold_start"]

_ROUNDS = 3
_PROGRAM = """
import json, sys, time
start = time.perf_counter()
import mien
imported = time.perf_counter()
settings = mien.Settings(**json.loads(sys.argv[1]))
recognizer = mien.Recognizer(settings).warmup()
loaded = time.perf_counter()
with open(sys.argv[2], "rb") as file:
    content = file.read()
recognizer.analyze(content)
first = time.perf_counter()
recognizer.analyze(content)
second = time.perf_counter()
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
except ImportError:
    peak = None
print(json.dumps([imported - start, loaded - imported, first - loaded, second - first, peak]))
"""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Medians over a few fresh processes, in milliseconds; the files are in the system's cache by then.

    Attributes:
        import_ms: importing mien.
        load_ms: finding, checking and loading the models.
        first_ms: the first call.
        second_ms: the call after it.
        peak_mib: most memory that the process held, in MiB, or None where the system does not tell.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    second_ms: float
    peak_mib: float | None


def measure_cold_start(settings: Settings, scene: Scene) -> ColdStart:
    """Start a new process three times and time what an application waits for.

    Raises:
        MienError: the process failed; the message ends with its last line.
    """
    rows = []
    given = json.dumps(settings.model_dump(mode="json"))
    environment = {name: value for name, value in os.environ.items() if name != "MIEN_SETTINGS"}
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "scene"
        photo.write_bytes(scene.content)
        for _ in range(_ROUNDS):
            command = [sys.executable, "-c", _PROGRAM, given, str(photo)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                told = (done.stderr.strip().splitlines() or ["nothing"])[-1]
                raise MienError(f"a new process could not start mien: exit code {done.returncode}, it said: {told}")
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    times = 1e3 * np.median(np.array([row[:4] for row in rows], np.float64), axis=0)
    peaks = [row[4] for row in rows if row[4] is not None]
    imported, loaded, first, second = map(float, times)
    return ColdStart(imported, loaded, first, second, float(np.median(peaks)) if peaks else None)
