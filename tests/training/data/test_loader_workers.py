"""Workers end when the loader does, when the training process does, and not in silence."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from face_packs import face_pack

from mien.errors import WorkerLost
from mien.training.data.loader import Loader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

SCRIPT = """
import sys, time
from mien.training.data import read_index
from mien.training.data.loader import Loader
batches = Loader([read_index(sys.argv[1])], batch=4, workers=2).batches()
next(batches)
print("ready", flush=True)
time.sleep(60)
"""


def workers() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader([face_pack(tmp_path, [0, 0, 1, 1, 2, 2])], batch=4, workers=2)


def test_closing_ends_them(loader: Loader) -> None:
    before = workers()
    batches = loader.batches()
    next(batches)
    assert len(workers() - before) == 2
    loader.close()
    assert workers() == before


def test_leaving_the_batches_ends_them(loader: Loader) -> None:
    before = workers()
    for number, _ in enumerate(loader.batches()):
        if number == 2:
            break
    gc.collect()
    assert workers() == before
    loader.close()


def test_a_worker_that_is_killed_is_told(loader: Loader) -> None:
    before = workers()
    batches = loader.batches()
    next(batches)
    os.kill((workers() - before).pop(), signal.SIGKILL)
    with pytest.raises(
        WorkerLost, match=r"a process that reads images ended with code -9 \(-9: it was killed, perhaps for want"
    ):
        list(itertools.islice(batches, 100))
    loader.close()
    assert workers() == before


def test_ctrl_c_is_for_the_training_process(loader: Loader) -> None:
    before = workers()
    batches = loader.batches()
    next(batches)
    for pid in workers() - before:
        os.kill(pid, signal.SIGINT)
    for _ in range(10):
        next(batches)
    loader.close()


@pytest.mark.slow
def test_they_end_with_a_training_process_that_is_killed(tmp_path: Path) -> None:
    face_pack(tmp_path, [0, 0, 1, 1, 2, 2])
    with subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(children) == 2
        running.kill()
    deadline = time.monotonic() + 30
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, "workers outlive the process that they work for"
        time.sleep(0.2)
