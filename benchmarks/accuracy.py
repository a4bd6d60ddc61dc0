"""Accuracy on LFW and CFP pairs, by the sets' own folds, with mien's defaults.

For each fold the threshold is the one that is best on the other folds; the mean over the folds and its standard
error are printed, with the true match rate at a false match rate of 1e-3 over all pairs, and how many images no
face was found in (such a pair counts as the lowest score there is, that is, as no match).

    python benchmarks/accuracy.py [--embedder NAME ...] [--set lfw cfp-ff cfp-fp] [--flip] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien

Pair = tuple[Path, Path, bool]
LOWEST = -1.0
FMR = 1e-3


def lfw_folds(root: Path) -> list[list[Pair]]:
    """The folds of LFW's ``pairs.txt``: its first line says how many, and how many pairs of each kind one has."""
    lines = (root / "pairs.txt").read_text(encoding="utf-8").splitlines()
    folds, per_kind = map(int, lines[0].split())

    def image(name: str, number: str) -> Path:
        return root / "images" / name / f"{name}_{int(number):04d}.jpg"

    pairs: list[Pair] = []
    for line in lines[1:]:
        cells = line.split("\t")
        if len(cells) == 3:
            pairs.append((image(cells[0], cells[1]), image(cells[0], cells[2]), True))
        elif len(cells) == 4:
            pairs.append((image(cells[0], cells[1]), image(cells[2], cells[3]), False))
    return [pairs[2 * per_kind * k : 2 * per_kind * (k + 1)] for k in range(folds)]


def cfp_folds(root: Path, kind: str) -> list[list[Pair]]:
    """The folds of CFP's protocol ``FF`` (frontal against frontal) or ``FP`` (frontal against profile)."""

    def listing(letter: str) -> dict[int, Path]:
        lines = (root / "Protocol" / f"Pair_list_{letter}.txt").read_text(encoding="utf-8").splitlines()
        return {int(n): root / p.removeprefix("../") for n, p in (line.split() for line in lines if line.strip())}

    first, second = listing("F"), listing("P" if kind == "FP" else "F")

    def pairs(file: Path, same: bool) -> Iterator[Pair]:
        for line in file.read_text(encoding="utf-8").split():
            a, b = map(int, line.split(","))
            yield first[a], second[b], same

    return [
        [*pairs(fold / "same.txt", True), *pairs(fold / "diff.txt", False)]
        for fold in sorted((root / "Protocol" / "Split" / kind).iterdir())
    ]


def templates(recognizer: mien.Recognizer, files: list[Path]) -> dict[Path, NDArray[np.float32]]:
    """The template of each file's main face: a large one near the middle; files without a face are left out."""
    found = {}
    started = time.monotonic()
    for k, (file, outcome) in enumerate(zip(files, recognizer.iter_analyze(files), strict=True)):
        analysis = outcome.result
        if isinstance(analysis, mien.Analysis) and len(analysis):
            box = analysis.faces.xyxy
            shift = (box[:, :2] + box[:, 2:]) / 2 - np.asarray(analysis.size_wh, np.float32) / 2
            main = int(np.argmax(analysis.faces.areas - 2 * (shift**2).sum(axis=1)))
            found[file] = analysis.templates.vectors[main]
        if k % 200 == 199 and sys.stderr.isatty():
            left = (time.monotonic() - started) / (k + 1) * (len(files) - k - 1)
            print(f"\r{k + 1} of {len(files)}, {left:.0f} s left ", end="", file=sys.stderr)
    return found


def best_threshold(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The distinct score at which ``score >= threshold`` is right most often (the lowest of equals)."""
    grid = np.unique(scores)
    mated, non_mated = np.sort(scores[same]), np.sort(scores[~same])
    right = len(mated) - np.searchsorted(mated, grid) + np.searchsorted(non_mated, grid)
    return float(grid[np.argmax(right)])


def measure(recognizer: mien.Recognizer, name: str, folds: list[list[Pair]]) -> dict[str, object]:
    """Accuracy, standard error, true match rate and images without a face of one set."""
    files = sorted({file for fold in folds for a, b, _ in fold for file in (a, b)})
    found = templates(recognizer, files)
    scores = [
        np.asarray([float(found[a] @ found[b]) if a in found and b in found else LOWEST for a, b, _ in fold])
        for fold in folds
    ]
    same = [np.asarray([s for *_, s in fold]) for fold in folds]
    accuracy = []
    for k in range(len(folds)):
        others = [j for j in range(len(folds)) if j != k]
        limit = best_threshold(np.concatenate([scores[j] for j in others]), np.concatenate([same[j] for j in others]))
        accuracy.append(float(((scores[k] >= limit) == same[k]).mean()))
    every, mated = np.concatenate(scores), np.concatenate(same)
    non_mated = np.sort(every[~mated])[::-1]
    at_fmr = float((every[mated] > non_mated[int(FMR * len(non_mated))]).mean())
    return {
        "set": name,
        "space": recognizer.space,
        "folds": len(folds),
        "pairs": len(every),
        "accuracy_percent": 100 * float(np.mean(accuracy)),
        "standard_error_percent": 100 * float(np.std(accuracy, ddof=1) / np.sqrt(len(accuracy))),
        "tmr_at_fmr_1e-3": at_fmr,
        "images": len(files),
        "not_found": len(files) - len(found),
    }


def main() -> int:
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description="accuracy on LFW and CFP pairs with mien's defaults")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MIEN_DATA", root)), help="MIEN_DATA")
    parser.add_argument("--embedder", nargs="+", default=["sface", "dlib-resnet"])
    parser.add_argument("--set", nargs="+", default=["lfw", "cfp-ff", "cfp-fp"], choices=["lfw", "cfp-ff", "cfp-fp"])
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
            folds = (
                lfw_folds(options.data / "lfw") if name == "lfw" else cfp_folds(options.data / "cfp", name[-2:].upper())
            )
            row = measure(recognizer, name, folds)
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
