"""Real training runs, from photos to a model that is evaluated, all of it by the program's own commands.

    python benchmarks/training_runs.py losses [--work DIR] [--curves DIR] [--threads N]
    python benchmarks/training_runs.py distill [--work DIR] [--curves DIR] [--threads N]

`losses` trains one network with ArcFace, CurricularFace and the triplet loss, and evaluates it beside an untrained one;
`distill` trains one network with a teacher and without one, for as many steps. The recipes are those in
`benchmarks/recipes`. Whatever is in the work folder already is taken up: packs, checkpoints of a run that was
interrupted, models, reports. What is printed is read from the runs' own files and from the evaluations' JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photo_sets import data_folder

ROOT = Path(__file__).resolve().parent
PACKS = {"faces112": False, "people": True, "masks": True, "photos": True}
RUNS = {"losses": ("untrained", "arcface", "curricularface", "triplet"), "distill": ("untaught", "taught")}
SETS = {"losses": ("lfw",), "distill": ("lfw", "cfp-ff", "cfp-fp")}
PLACES = {"lfw": "lfw", "cfp-ff": "cfp", "cfp-fp": "cfp"}
_FIGURES = ("accuracy", "eer", "tmr_at_fmr_1e-2", "tmr_at_fmr_1e-3", "fta")


def main() -> int:
    """Train, export and evaluate what is missing, then print all; 0 if every command went through."""
    parser = argparse.ArgumentParser(description="real training runs on the measuring data")
    parser.add_argument("which", choices=RUNS)
    parser.add_argument("--work", type=Path, default=Path("training-runs"), help="folder for all that is made")
    parser.add_argument("--curves", type=Path, help="draw the accuracy in the course of the runs into this folder")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; by default one a core")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name, align in PACKS.items():
        pack(work / "packs" / name, data_folder() / name, align)
    for name in RUNS[options.which]:
        train(work, name, options.threads)
        model = export(work, name)
        show(work, name, {which: evaluate(work, model, which) for which in SETS[options.which]})
    if options.curves is not None:
        draw(work, RUNS[options.which], options.curves / f"training-{options.which}.png")
    return 0


def mien(*words: str | os.PathLike[str]) -> None:
    """One of the program's commands; what it prints goes to standard error."""
    subprocess.run([sys.executable, "-m", "mien", *words], check=True, stdout=sys.stderr)


def pack(folder: Path, photos: Path, align: bool) -> None:
    """One data set's faces; photos without one are left out and listed in the pack's folder."""
    if not (folder / "index.parquet").is_file():
        command = ["data", "pack", str(photos), "--out", str(folder), *(["--align"] if align else [])]
        # Exit code 1 says that some photos were left out.
        done = subprocess.run([sys.executable, "-m", "mien", *command], stdout=sys.stderr, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(done.returncode)


def train(work: Path, name: str, threads: int | None) -> None:
    """One run, or the rest of it."""
    run = work / "runs" / name
    if (run / "result.json").is_file() and result_of(run)["reason"] == "done":
        return
    recipe = work / "recipes" / f"{name}.toml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text((ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf-8"), encoding="utf-8")
    lfw = json.dumps(str(data_folder() / "lfw"))
    resumed = ["--resume"] if run.exists() else []
    words = [f'evaluation.protocols=[{{path={lfw}, kind="lfw"}}]', *([] if threads is None else [f"threads={threads}"])]
    mien("train", "model", recipe, "--out", run, *resumed, *words)


def export(work: Path, name: str) -> str:
    """The run's last weights as a model of mien's; its name."""
    folder, model = work / "models" / name, f"run-{name}"
    if not (folder / f"{model}.onnx").is_file():
        mien("export", work / "runs" / name, "--out", folder, "--name", model, "--last")
    mien("models", "add", folder / f"{model}.onnx", "--card", folder / f"{model}.toml", "--accept-license")
    return model


def evaluate(work: Path, model: str, which: str) -> dict[str, Any]:
    """One evaluation's results, as its JSON report has them."""
    report = work / "reports" / f"{model}-{which}.json"
    report.parent.mkdir(exist_ok=True)
    if not report.is_file():
        place = data_folder() / PLACES[which]
        words = ["--protocol", which, "--embedder", model, "--json-report", str(report)]
        mien("evaluate", "pairs", place, *words, "--report", report.with_suffix(".html"))
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def show(work: Path, name: str, reports: dict[str, dict[str, Any]]) -> None:
    """How the run went, and what its model is worth."""
    run = work / "runs" / name
    result = result_of(run)
    minutes = result["seconds"] / 60
    print(
        f"{name}: {result['steps']} steps, {result['images']:,} images in {minutes:.1f} minutes "
        f"(evaluations and waits among them), last loss {result['loss']:.3f}"
    )
    for entry in evaluations_of(run):
        accuracy, eer = entry["accuracy"], entry["eer"]
        print(f"  step {entry['step']:4}  LFW on the way: accuracy {accuracy:.4f}, EER {eer:.4f}")
    for which, report in reports.items():
        figures = {figure["name"]: figure for figure in report["figures"]}
        for figure in (figures[wanted] for wanted in _FIGURES if wanted in figures):
            bounds = figure["interval"]
            interval = "" if bounds is None else f"  ({bounds['low']:.4f} to {bounds['high']:.4f})"
            print(f"  {which:7} {figure['name']:16} {figure['value']:.4f}{interval}")
    print()


def draw(work: Path, names: Sequence[str], picture: Path) -> None:
    """Accuracy on LFW against steps, a line a run, with the standard error over the folds."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in names:
        found = evaluations_of(work / "runs" / name)
        steps = [entry["step"] for entry in found]
        values, errors = ([100 * entry[key] for entry in found] for key in ("accuracy", "standard_error"))
        axes.errorbar(steps, values, errors, label=name, marker="o", capsize=3)
    axes.axhline(50, color="gray", linestyle=":", label="guessing")
    axes.set(xlabel="steps", ylabel="accuracy on LFW, %", xlim=(0, None))
    axes.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def evaluations_of(run: Path) -> list[dict[str, Any]]:
    """A run's evaluations on the way, once each."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    found = {entry["step"]: entry for entry in map(json.loads, lines) if entry["kind"] == "evaluation"}
    return [found[step] for step in sorted(found)]


def result_of(run: Path) -> dict[str, Any]:
    """What a run's folder says of how it ended."""
    found: dict[str, Any] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main())
