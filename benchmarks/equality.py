"""Whether a photo's result depends on what stands beside it: every photo alone, then in shuffled batches.

    python benchmarks/equality.py [--photos DIR] [--sizes 1 2 7 32] [--runtime onnx|openvino]

Prints, for each batch size, the worst differences of boxes and templates; exit code 1 if the faces differ in number,
a box by more than 0.01 pixels or a template by more than 1e-5.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from photo_sets import data_folder

import mien

MOST_PIXELS = 0.01
MOST_VECTOR = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description="results in shuffled batches against those of single photos")
    parser.add_argument("--photos", type=Path, default=data_folder() / "photos")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 7, 32])
    parser.add_argument("--runtime", choices=["onnx", "openvino"], default="onnx")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    alone_by = mien.Recognizer(mien.Settings(runtime=options.runtime))
    alone = [alone_by.analyze(photo) for photo in photos]
    print(f"{len(photos)} photos, {sum(len(a) for a in alone)} faces, {options.runtime}")
    good = bool(photos)
    for size in options.sizes:
        settings = mien.Settings(runtime=options.runtime, batch=size)
        recognizer = mien.Recognizer(settings, detector=alone_by.detector, embedder=alone_by.embedder)
        order = np.random.default_rng(options.seed + size).permutation(len(photos))
        worst_box = worst_vector = 0.0
        differing = 0
        for k, found in zip(order, recognizer.analyze([photos[k] for k in order]), strict=True):
            if len(found) != len(alone[k]):
                differing += 1
            elif len(found):
                worst_box = max(worst_box, float(np.abs(found.faces.xyxy - alone[k].faces.xyxy).max()))
                difference = np.abs(found.templates.vectors - alone[k].templates.vectors)
                worst_vector = max(worst_vector, float(difference.max()))
        holds = not differing and worst_box <= MOST_PIXELS and worst_vector <= MOST_VECTOR
        good &= holds
        print(
            f"batches of {size:3}, shuffled: worst box {worst_box:.4f} px, worst vector {worst_vector:.1e}, "
            f"photos with other faces {differing}: {'holds' if holds else 'FALLS SHORT'}",
            flush=True,
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
