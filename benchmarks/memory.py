"""One Recognizer over thousands of images: its memory, and its answers to many threads.

By default it prints the resident memory every 500 images and the growth after warm-up. With ``--threads N`` it
analyzes photos from N threads at once and compares with one thread's results.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil
from contenders import mien_environ, runtimes
from machine import use_cores
from photo_sets import photo_sets

from mien.errors import MienError
from mien.recognizer import Recognizer, Settings
from mien.types import Analysis

_EVERY = 500
_CALL = 100
_LEAST_IMAGES = 4 * _CALL


def main() -> int:
    """Run the chosen mode; 0 if memory stays flat, or the threads' results are equal, else 1."""
    parser = argparse.ArgumentParser(description="memory over many images, or results from many threads")
    parser.add_argument("--images", type=int, help="how many to analyze (5000; with --threads 500)")
    parser.add_argument("--threads", type=int, help="compare so many threads with one")
    parser.add_argument("--runtime", choices=runtimes(), default="onnx")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--flat-mb", type=float, default=50.0, help="most growth after warm-up that counts as flat")
    options = parser.parse_args()
    if options.threads is None and options.images is not None and options.images < _LEAST_IMAGES:
        parser.error(f"--images: expected {_LEAST_IMAGES} or more to tell growth from warm-up, got {options.images}")
    use_cores(options.cores)
    os.environ.update(mien_environ())
    photos = [photo for photos in photo_sets().values() for photo in photos]
    random.Random(0).shuffle(photos)
    recognizer = Recognizer(Settings(runtime=options.runtime, threads=options.cores)).warmup()
    if options.threads is not None:
        count = 500 if options.images is None else options.images
        return compare_threads(recognizer, list(islice(cycle(photos), count)), options.threads)
    count = 5000 if options.images is None else options.images
    return watch_memory(recognizer, list(islice(cycle(photos), count)), len(photos), options.flat_mb)


def watch_memory(recognizer: Recognizer, photos: Sequence[Path], distinct: int, flat_mb: float) -> int:
    """Analyze the photos, printing resident memory; warm is what has seen every distinct photo twice."""
    process = psutil.Process()
    print(f"{len(photos)} images, {distinct} distinct; at start {_megabytes(process):.0f} MB", flush=True)
    warm_from = min(2 * distinct, len(photos) // 2)
    readings: list[tuple[int, float]] = []
    faces, start = 0, time.perf_counter()
    for first in range(0, len(photos), _CALL):
        part = tuple(photos[first : first + _CALL])
        faces += sum(len(one) for one in recognizer.analyze(part, errors="return") if isinstance(one, Analysis))
        done = first + len(part)
        gc.collect()
        readings.append((done, _megabytes(process)))
        if done % _EVERY == 0 or done == len(photos):
            elapsed = time.perf_counter() - start
            print(f"{done:6} images {faces:6} faces {readings[-1][1]:7.0f} MB {elapsed:6.0f} s", flush=True)
    warm = [reading for reading in readings if reading[0] > warm_from]
    half = len(warm) // 2
    # The peak of a stretch, for what a photo of 20 megapixels takes is given back at some later time.
    before, after = (max(size for _, size in part) for part in (warm[:half], warm[half:]))
    slope = float(np.polyfit([done for done, _ in warm], [size for _, size in warm], 1)[0]) * 1000
    verdict = "flat" if after - before <= flat_mb else "GROWS"
    print(
        f"after {warm_from} images: peak {before:.0f} MB in the first half, {after:.0f} MB in the second, growth "
        f"{after - before:+.0f} MB; trend {slope:+.1f} MB per 1000 images: {verdict}"
    )
    return 0 if after - before <= flat_mb else 1


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def compare_threads(recognizer: Recognizer, photos: Sequence[Path], threads: int) -> int:
    """Analyze the photos one after another and from ``threads`` threads; print the worst difference."""

    def analyze(photo: Path) -> Analysis | None:
        try:
            return recognizer.analyze(photo)
        except MienError:
            return None

    start = time.perf_counter()
    alone = [analyze(photo) for photo in photos]
    middle = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(analyze, photos))
    end = time.perf_counter()
    worst_box = worst_vector = 0.0
    differing = faces = 0
    for one, other in zip(alone, together, strict=True):
        if one is None or other is None or len(one) != len(other):
            differing += one is not other
            continue
        faces += len(one)
        if len(one):
            worst_box = max(worst_box, float(np.abs(one.faces.xyxy - other.faces.xyxy).max()))
            gap = np.abs(one.templates.vectors - other.templates.vectors)
            worst_vector = max(worst_vector, float(gap.max()))
    equal = differing == 0 and worst_box <= 0.01 and worst_vector <= 1e-5
    print(
        f"{len(photos)} photos, {faces} faces; 1 thread took {middle - start:.1f} s, {threads} threads took "
        f"{end - middle:.1f} s; {differing} photos differ in faces, "
        f"worst box {worst_box:.2g} px, worst vector {worst_vector:.2g}: {'equal' if equal else 'DIFFERENT'}"
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
