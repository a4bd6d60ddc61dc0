"""One instance of n threads against n instances of one thread: the trade of latency for throughput."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mien.evaluation.speed.scenes import Scene
from mien.evaluation.speed.timing import Times
from mien.recognizer import Recognizer, Settings

__all__ = ["Way", "measure_scaling"]

_WARM_CALLS = 2


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use n threads, and what it gives.

    Attributes:
        kind: ``threads``: one instance whose models use n threads; ``instances``: n instances of one thread each, in
            threads of one process.
        n: how many.
        times: of single calls, one image each, while all instances are at work.
        images_per_second: of all instances together.
    """

    kind: Literal["threads", "instances"]
    n: int
    times: Times
    images_per_second: float


def measure_scaling(
    settings: Settings,
    scene: Scene,
    most: int,
    *,
    seconds: float,
    progress: Callable[[], None] | None = None,
) -> list[Way]:
    """Both ways for 1, 2, 4… threads up to ``most``.

    Args:
        settings: of the recognizers; their threads are set here.
        scene: the image that each call analyzes.
        most: most threads in all.
        seconds: how long to measure each way.
        progress: called after each.
    """
    counts = sorted({min(2**k, most) for k in range(most.bit_length() + 1)})
    ways: list[Way] = []
    for n in counts:
        for kind, threads, instances in (("threads", n, 1), ("instances", 1, n)):
            if kind == "instances" and n == 1:
                continue  # the same as one instance of one thread
            recognizers = [
                Recognizer(settings.model_copy(update={"threads": threads})).warmup() for _ in range(instances)
            ]
            times, rate = _at_work(recognizers, scene, seconds)
            ways.append(Way("threads" if kind == "threads" else "instances", n, times, rate))
            if progress is not None:
                progress()
    return ways


def _at_work(recognizers: list[Recognizer], scene: Scene, seconds: float) -> tuple[Times, float]:
    """Single calls of all of them side by side, and how many there were a second."""
    taken: list[list[float]] = [[] for _ in recognizers]
    faults: list[BaseException] = []
    ready = threading.Barrier(len(recognizers))

    def work(recognizer: Recognizer, mine: list[float]) -> None:
        try:
            for _ in range(_WARM_CALLS):
                recognizer.analyze(scene.content)
            ready.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                start = time.perf_counter()
                recognizer.analyze(scene.content)
                mine.append(time.perf_counter() - start)
        except BaseException as error:
            faults.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in zip(recognizers, taken, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise next((f for f in faults if not isinstance(f, threading.BrokenBarrierError)), faults[0])
    # Each instance's own rate: the last calls of the others end at other moments.
    rate = sum(len(mine) / sum(mine) for mine in taken)
    return Times.of([call for mine in taken for call in mine]), rate
