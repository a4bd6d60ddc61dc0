"""mien's time against the time of the runtime calls that it makes.

mien analyzes the photos once while every call into the runtime is recorded with its exact input tensors. Then
mien's whole pipeline (from paths) and the replay of these calls alone, on the same loaded networks, take turns in
one process. The ratio says what decoding, resizing, box decoding, alignment and Python add to the networks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import busy_seconds
from measuring import interleave, ratio, spread
from photo_sets import photo_sets

from mien.errors import MienError
from mien.recognizer import Recognizer, Settings

__all__ = ["compare", "main"]

TARGET = 1.15
Call = Callable[[], object]


@contextmanager
def recorded(runtime: str) -> Iterator[list[tuple[tuple[int, ...], Call]]]:
    """While inside, collect each call into the runtime: its input's shape, and the call itself to make again.

    The inputs are copied, for mien may use its buffers again.
    """
    calls: list[tuple[tuple[int, ...], Call]] = []
    owner: Any
    if runtime == "onnx":
        import onnxruntime

        owner, method = onnxruntime.InferenceSession, "run"
    else:
        import openvino

        owner, method = openvino.InferRequest, "infer"
    original = getattr(owner, method)

    def record(self: Any, *args: Any, **kwargs: Any) -> Any:
        if runtime == "onnx":
            outputs, feeds = args
            kept = {name: np.array(tensor) for name, tensor in feeds.items()}
            shape = next(iter(kept.values())).shape
            calls.append((shape, partial(original, self, outputs, kept, **kwargs)))
        else:
            tensor = np.array(args[0][0])
            calls.append((tensor.shape, partial(original, self, [tensor], **kwargs)))
        return original(self, *args, **kwargs)

    setattr(owner, method, record)
    try:
        yield calls
    finally:
        setattr(owner, method, original)


def compare(photos: Sequence[Path], settings: dict[str, Any], *, rounds: int, seed: int = 0) -> dict[str, Any]:
    """Time mien and its bare runtime calls in turns; a JSON object with medians and the ratio."""
    recognizer = Recognizer(Settings(**settings))
    recognizer.warmup()
    paths = tuple(photos)
    with recorded(settings["runtime"]) as calls:
        found = recognizer.analyze(paths, errors="return")

    def whole() -> float:
        start = time.perf_counter()
        recognizer.analyze(paths, errors="return")
        return time.perf_counter() - start

    def bare() -> float:
        start = time.perf_counter()
        for _, call in calls:
            call()
        return time.perf_counter() - start

    whole()
    bare()
    process, wall, busy = time.process_time(), time.perf_counter(), busy_seconds()
    cpu: dict[str, list[float]] = {"mien": [], "bare": []}

    def counted(name: str, work: Callable[[], float]) -> float:
        before = time.process_time()
        seconds = work()
        cpu[name].append(time.process_time() - before)
        return seconds

    turns = {"mien": partial(counted, "mien", whole), "bare": partial(counted, "bare", bare)}
    seconds = interleave(turns, rounds=rounds, seed=seed)
    others = busy_seconds() - busy - (time.process_time() - process)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    others_share = max(0.0, others) / (time.perf_counter() - wall) / (cores if cores is not None else 1)
    shapes: Counter[str] = Counter()
    for shape, _ in calls:
        shapes["x".join(map(str, shape[1:]))] += shape[0]
    faces = [-1 if isinstance(one, MienError) else len(one.faces) for one in found]
    counts = {
        "faces": sum(count for count in faces if count > 0),
        "photos_with_a_face": sum(count > 0 for count in faces),
        "unreadable": sum(count < 0 for count in faces),
    }
    rows = []
    for name, values in seconds.items():
        times = spread(values, len(photos))
        rate = {"images_per_second": 1000 / times.median, "ms_a_photo": asdict(times), "seconds": values}
        own = spread(cpu[name], len(photos)).median
        rows.append({"name": name, **counts, **rate, "cpu_ms_a_photo": own, "idle_share": 0.0})
    title = f"mien with {settings['runtime']} against the {len(calls)} runtime calls that it makes"
    over = ratio(f"mien {settings['runtime']} over bare", seconds["mien"], seconds["bare"], TARGET, "≤")
    return {
        "title": title,
        "settings": settings,
        "photos": len(photos),
        "others_share": others_share,
        "inputs": dict(shapes.most_common()),
        "contenders": rows,
        "ratios": [over.as_json()],
    }


def main() -> int:
    """Compare on one set of photos; the JSON object goes to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--settings", type=json.loads, default={"runtime": "onnx", "threads": 2}, help="JSON")
    parser.add_argument("--photos", type=Path, help="a folder of photos, or a text file of paths, one a line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.photos is not None and options.photos.is_file():
        photos = [Path(line) for line in options.photos.read_text(encoding="utf-8").splitlines()]
    else:
        photos = next(iter(photo_sets([options.photos] if options.photos else []).values()))
    print(json.dumps(compare(photos, options.settings, rounds=options.rounds, seed=options.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
