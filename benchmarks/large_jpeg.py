"""A 12-megapixel JPEG end to end, from its path against from fully decoded pixels.

Given a path, mien decodes a JPEG at the scale that detection needs; given pixels, the caller has decoded it all.
Both take turns; the ratio of their medians is what the scaled decoding saves. The boxes must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from contenders import mien_environ
from environments import ENVIRONMENTS
from machine import use_cores
from measuring import interleave, ratio, spread
from photo_sets import data_folder, photo_sets

from mien.evaluation.machine import describe_machine
from mien.images import load
from mien.recognizer import Recognizer, Settings
from mien.types import Analysis

SIZE_WH = (4000, 3000)
QUALITY = 92
TARGET = 2.0
MOST_MOVED_PX = 1.0
_NOISE = 4.0
_CHOSEN = ("photos/face_recognition/obama_and_biden.jpg", "photos/groups/12.jpg", "photos/groups/3.jpg")


def main() -> int:
    """Measure each photo with each smallest face; 0 if every target is reached, else 1."""
    parser = argparse.ArgumentParser(description="a 12-megapixel JPEG from its path against fully decoded")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photo", type=Path, action="append", help="a photo with faces to enlarge")
    parser.add_argument("--min-face", type=int, action="append", help="smallest face, px; -1 adapts (40 and -1)")
    parser.add_argument("--json", type=Path, help="where to write everything measured")
    options = parser.parse_args()
    use_cores(options.threads)
    os.environ.update(mien_environ())
    photos = options.photo or [p for p in (data_folder() / name for name in _CHOSEN) if p.is_file()]
    results = []
    for photo in photos or photo_sets()["samples"][-1:]:
        large = enlarged(photo)
        for min_face in options.min_face or [40, -1]:
            recognizer = Recognizer(Settings(threads=options.threads, min_face=min_face)).warmup()
            results.append({"photo": photo.name, "min_face": min_face, **measure(recognizer, large, options.rounds)})
            print(_line(results[-1]), flush=True)
    if options.json:
        report = {"machine": describe_machine(), "rounds": options.rounds, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(r["ratio"]["reached"] and r["boxes_hold"] for r in results) else 1


def enlarged(photo: Path) -> Path:
    """A 4000x3000 JPEG of the photo with mild sensor noise, made once.

    Raises:
        SystemExit: the photo cannot be read.
    """
    target = ENVIRONMENTS / "large-jpeg" / f"{photo.stem}.jpg"
    if not target.is_file():
        image = cv2.imread(str(photo))
        if image is None:
            raise SystemExit(f"{photo}: cannot be read")
        large = np.asarray(cv2.resize(image, SIZE_WH, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        large += np.random.default_rng(0).normal(0, _NOISE, large.shape).astype(np.float32)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), np.clip(large, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return target


def measure(recognizer: Recognizer, photo: Path, rounds: int) -> dict[str, Any]:
    """Time one photo both ways, and compare what they find."""

    def by_path() -> Analysis:
        return recognizer.analyze(photo)

    def in_full() -> Analysis:
        return recognizer.analyze(load(photo))

    def timed(ways: dict[str, Any], name: str) -> float:
        start = time.perf_counter()
        ways[name]()
        return time.perf_counter() - start

    ways = {"from its path": by_path, "fully decoded": in_full}
    quick, full = by_path(), in_full()
    seconds = interleave({name: partial(timed, ways, name) for name in ways}, rounds=rounds)
    same = len(quick) == len(full)
    # Best score first in both, but near-equal scores may swap places: each box against its nearest.
    moved = [float(np.abs(full.faces.xyxy - box).max(axis=1).min()) for box in quick.faces.xyxy] if len(full) else []
    likeness = quick.templates.vectors @ full.templates.vectors.T
    return {
        "faces": [len(quick), len(full)],
        "moved_px": max(moved, default=0.0),
        "boxes_hold": same and max(moved, default=0.0) <= MOST_MOVED_PX,
        "least_cosine": float(likeness.max(axis=1).min()) if likeness.size else 1.0,
        "ms": {name: spread(values, 1).median for name, values in seconds.items()},
        "seconds": seconds,
        "ratio": ratio("speed-up", seconds["fully decoded"], seconds["from its path"], TARGET).as_json(),
    }


def _line(result: dict[str, Any]) -> str:
    times, gain = result["ms"], result["ratio"]
    verdict = "reached" if gain["reached"] else "NOT REACHED"
    moved = "holds" if result["boxes_hold"] else "FALLS SHORT"
    return (
        f"{result['photo']}, min_face {result['min_face']}: {times['from its path']:.0f} ms from its path, "
        f"{times['fully decoded']:.0f} ms fully decoded: {gain['value']:.2f} "
        f"(rounds {gain['low']:.2f} to {gain['high']:.2f}), target ≥ {TARGET:g}: {verdict}; "
        f"faces {result['faces'][0]} and {result['faces'][1]}, boxes moved at most {result['moved_px']:.2f} px "
        f"(≤ {MOST_MOVED_PX:g}: {moved}), least cosine {result['least_cosine']:.4f}"
    )


if __name__ == "__main__":
    sys.exit(main())
