"""Accuracy on LFW and CFP pairs, by the sets' own folds, with mien's defaults.

All of it is ``mien.evaluation``, as in ``mien evaluate pairs``, which also gives intervals and thresholds. Printed are
the mean accuracy over the folds and its standard error, the true match rate at a false match rate of 1e-3 over all
pairs, and how many images no face was found in (a pair of such an image counts as no match in both).

    python benchmarks/accuracy.py [--embedder NAME ...] [--set lfw cfp-ff cfp-fp] [--flip] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mien
from mien.evaluation import ErrorRates, PairKind, Uncertainty, evaluate_pairs, read_pairs

FMR = 1e-3
SETS: tuple[PairKind, ...] = ("lfw", "cfp-ff", "cfp-fp")


def measure(recognizer: mien.Recognizer, data: Path, name: PairKind) -> dict[str, Any]:
    """Accuracy, standard error, true match rate and images without a face of one set."""
    protocol = read_pairs(data / ("lfw" if name == "lfw" else "cfp"), name)
    results = evaluate_pairs(
        recognizer, protocol, progress=progress(len(protocol.samples)), uncertainty=Uncertainty(replicates=0)
    )
    facts = results.acquisition
    return {
        "set": name,
        "space": recognizer.space,
        "folds": 0 if results.folds is None else len(results.folds.folds),
        "pairs": len(protocol),
        "accuracy_percent": 100 * value(results.figure("accuracy").value),
        "standard_error_percent": 100 * value(results.figure("accuracy_standard_error").value),
        "tmr_at_fmr_1e-3": ErrorRates.of(results.comparisons.as_transactions()).tmr_at_fmr(FMR),
        "images": facts.samples,
        "not_found": facts.samples - facts.acquired,
    }


def value(found: float | None) -> float:
    return float("nan") if found is None else found


def progress(images: int) -> Callable[[int], None]:
    """Tells on a terminal how many images are done."""
    done, started = 0, time.monotonic()

    def told(step: int) -> None:
        nonlocal done
        done += step
        if done and done % 200 == 0 and sys.stderr.isatty():
            left = (time.monotonic() - started) / done * (images - done)
            print(f"\r{done} of {images}, {left:.0f} s left ", end="", file=sys.stderr)

    return told


def main() -> int:
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description="accuracy on LFW and CFP pairs with mien's defaults")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MIEN_DATA", root)), help="MIEN_DATA")
    parser.add_argument("--embedder", nargs="+", default=["sface", "dlib-resnet"])
    parser.add_argument("--set", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--flip", action="store_true", help="average the templates of chip and mirror image")
    parser.add_argument("--runtime", choices=["onnx", "openvino"], default="onnx")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"no data in {options.data} (set MIEN_DATA)", file=sys.stderr)
        return 1
    rows = []
    for embedder in options.embedder:
        recognizer = mien.Recognizer(mien.Settings(embedder=embedder, flip=options.flip, runtime=options.runtime))
        for name in options.set:
            row = measure(recognizer, options.data, name)
            rows.append(row)
            print(
                f"\r{row['space']:24} {name:7} {row['accuracy_percent']:6.2f} ± {row['standard_error_percent']:.2f} % "
                f"  TMR at FMR 1e-3 {row['tmr_at_fmr_1e-3']:.3f}   {row['pairs']} pairs in {row['folds']} folds, "
                f"no face in {row['not_found']} of {row['images']} images",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
