"""Full evaluations of models by the program's own commands: reports, and the paired comparison of the first two.

    python benchmarks/evaluations.py [--embedder sface dlib-resnet] [--set lfw cfp-ff cfp-fp people] [--out DIR]

Each run is `mien evaluate pairs` or `identify` with `--quality --report --json-report`; what is printed is read from
their JSON. With `--out` the reports and the templates stay in that folder, and the next call takes the templates up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from photo_sets import data_folder

SETS = {"lfw": "lfw", "cfp-ff": "cfp", "cfp-fp": "cfp", "people": "people"}
_FIGURES = ("fta", "fte", "accuracy", "eer", "tmr_at_fmr_1e-2", "rank_1", "tpir_at_fpir_1e-1", "tpir_at_fpir_1e-2")


def main() -> int:
    """Run all, print a block for each run; 0 if every command went through."""
    parser = argparse.ArgumentParser(description="full evaluations of models")
    parser.add_argument("--embedder", nargs="+", default=["sface", "dlib-resnet"])
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS), dest="sets")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--out", type=Path, help="keep reports and templates here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.out is None else options.out
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.sets:
            for embedder in options.embedder:
                show(f"{embedder} on {name}", evaluated(folder, embedder, name, options.runtime))
            if name != "people" and len(options.embedder) > 1:
                compare(folder, name, options.embedder[:2])
    return 0


def evaluated(folder: Path, embedder: str, name: str, runtime: str) -> dict[str, Any]:
    """One run's results, as its JSON report has them."""
    place = data_folder() / SETS[name]
    kind = ["identify", str(place), "--splits", "5"] if name == "people" else ["pairs", str(place), "--protocol", name]
    report = folder / f"{embedder}-{name}.json"
    kept = folder / f"{embedder}-{SETS[name]}.kept"
    command = [
        sys.executable,
        "-m",
        "mien",
        "evaluate",
        *kind,
        "--embedder",
        embedder,
        "--runtime",
        runtime,
        "--quality",
    ]
    command += [
        "--keep-templates",
        str(kept),
        "--json-report",
        str(report),
        "--report",
        str(report.with_suffix(".html")),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def show(title: str, results: dict[str, Any]) -> None:
    """The main figures with their intervals, by quality, and what discarding by quality gains."""
    figures = {figure["name"]: figure for figure in results["figures"]}
    samples = results["acquisition"]["samples"]
    print(f"{title}: {samples} images")
    for name in _FIGURES:
        if name in figures:
            error = figures.get(f"{name}_standard_error")
            spread = "" if error is None else f" ± {100 * error['value']:.2f}"
            print(f"  {name:<20} {told(figures[name])}{spread}")
    for part in results["slices"]:
        inner = {figure["name"]: figure for figure in part["figures"]}
        error = inner.get("fnmr") or inner.get("fnir") or inner.get("fpir")
        if error is not None:
            print(f"  {part['kind']} {part['name']:<10} {error['name']} {told(error)}")
    gains = [f"{figures[f'edc_gain_{share}']['value']:.2f}" for share in (5, 20, 30) if f"edc_gain_{share}" in figures]
    if gains:
        print(f"  error versus discard: up to 5, 20, 30 % discarded, {', '.join(gains)} of the way to the ideal")
    sys.stdout.flush()


def told(figure: dict[str, Any]) -> str:
    """A rate in percent with its interval."""
    value, interval = figure["value"], figure["interval"]
    text = "-" if value is None else f"{100 * value:.2f} %"
    if interval is not None and value is not None:
        return f"{text} ({100 * interval['low']:.2f} to {100 * interval['high']:.2f})"
    return text


def compare(folder: Path, name: str, embedders: list[str]) -> None:
    """What the paired comparison of two runs says."""
    files = [str(folder / f"{embedder}-{name}.json") for embedder in embedders]
    command = [sys.executable, "-m", "mien", "evaluate", "compare", *files]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"{embedders[0]} (A) against {embedders[1]} (B) on {name}:")
    print("\n".join(f"  {line}" for line in done.stdout.splitlines() if line.strip()))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
