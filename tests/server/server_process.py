"""``mien serve`` as a process of its own, to be killed; and small photos that are each another one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np

from mien.images import load

STOPPED_S = 60.0


@dataclass
class ServerProcess:
    """A server's process, and where it answers."""

    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        """As the system does when memory is short: nothing of the process runs any more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=STOPPED_S)

    def stop(self) -> int:
        """As an operator does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=STOPPED_S)
        return self.process.returncode

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(data: Path, port: int, *options: str) -> Iterator[ServerProcess]:
    """``mien serve`` that answers inside the block, if the block does not end it."""
    command = [sys.executable, "-m", "mien", "serve", "--json", "--data", str(data), "--port", str(port), *options]
    with open(data.parent / f"{data.name}.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (data.parent / f"{data.name}.log").read_text(encoding="utf-8")
        yield ServerProcess(process, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=STOPPED_S)


def different_photos(portraits: list[bytes], count: int) -> list[bytes]:
    """So many small JPEG files of these portraits, no two with the same template."""
    small = [_resized(load(portrait), 240) for portrait in portraits]
    made: list[bytes] = []
    for number in range(count):
        image = small[number % len(small)].astype(np.float32)
        shade = 0.6 + 0.4 * ((number * 37) % 101) / 100
        shifted = np.roll(image * shade, (number % 7 - 3, number % 5 - 2), (0, 1))
        _, encoded = cv2.imencode(".jpg", np.clip(shifted, 0, 255).astype(np.uint8)[..., ::-1])
        made.append(encoded.tobytes())
    return made


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
