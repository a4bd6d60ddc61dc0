"""Start a script as several processes of one training run, as torchrun would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def start(script: Path, world: int, *arguments: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), *arguments],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def wait(processes: list[subprocess.Popen[str]], timeout_s: float) -> list[tuple[int | None, str, str]]:
    """Exit code, output and errors of each; what has not ended in time is ended here, and its code is None."""
    end = time.monotonic() + timeout_s
    found: list[tuple[int | None, str, str]] = []
    for process in processes:
        try:
            output, errors = process.communicate(timeout=max(0.1, end - time.monotonic()))
            found.append((process.returncode, output, errors))
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            found.append((None, output, errors))
    return found
