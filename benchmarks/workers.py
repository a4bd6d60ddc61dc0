"""Workers: processes that run one pipeline on demand and sleep in between."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["PEERS", "Run", "Worker"]

PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one worker over a list of photos.

    Attributes:
        seconds: wall clock from the first path to the last embedding.
        faces: faces found and embedded in each photo, -1 for a photo that could not be read.
        cpu_seconds: processor time that the worker and its children took meanwhile.
    """

    seconds: float
    faces: list[int]
    cpu_seconds: float


class Worker:
    """A process that runs a pipeline on demand and sleeps in between; a context manager."""

    def __init__(
        self, python: Path, script: Path, options: Mapping[str, Any], environ: Mapping[str, str], threads: int
    ) -> None:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self._process = subprocess.Popen(
            [str(python), str(script), json.dumps(dict(options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # An OpenMP thread that has nothing to do sleeps, so that the other workers have the cores.
            env={**os.environ, **limits, "OMP_WAIT_POLICY": "PASSIVE", **environ},
        )
        self._watched = psutil.Process(self._process.pid)
        self.about: dict[str, str] = self._answer()["about"]

    def _answer(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise RuntimeError("expected a pipe on the worker's stdout")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker {self._process.args!r} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu_seconds(self) -> float:
        """Processor time that the worker and its children have taken since they started."""
        processes = [self._watched, *self._watched.children(recursive=True)]
        return float(sum(sum(process.cpu_times()[:2]) for process in processes))

    def run(self, photos: Sequence[Path]) -> Run:
        """Run the photos end to end.

        Raises:
            RuntimeError: the worker has ended; its reason is on stderr.
        """
        if self._process.stdin is None:
            raise RuntimeError("expected a pipe on the worker's stdin")
        before = self.cpu_seconds()
        self._process.stdin.write(json.dumps({"photos": [str(photo) for photo in photos]}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return Run(float(answer["seconds"]), list(answer["faces"]), self.cpu_seconds() - before)

    def close(self) -> None:
        """End the worker by closing its stdin."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
