"""Pictures of a run: its loss, rate and speed, what it scored, and how its class centers lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import BadCheckpoint, MissingExtra
from mien.training.checkpoints import latest, read_checkpoint
from mien.training.heads import whole_centers
from mien.training.logs import read_log

__all__ = ["plot_run"]

_MOST_CENTERS = 20_000
_SMOOTH = 0.9


def plot_run(run: Path) -> list[Path]:
    """Draw a run into its folder ``plots/``.

    Returns:
        The pictures: ``loss.png``, ``evaluation.png`` (where it was evaluated), ``margin.png`` (where the loss has a
        margin) and ``centers.png`` (where it has class centers).

    Raises:
        BadCheckpoint: the folder holds no run, or its last checkpoint is damaged.
        MissingExtra: matplotlib is not there.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise MissingExtra("plots need matplotlib: pip install 'mien[train]'") from error
    lines = read_log(run)
    if not lines:
        raise BadCheckpoint(f"{run}: expected the folder of a run, found no step in its log")
    steps = [line for line in lines if line["kind"] == "step"]
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    made: list[Path] = []

    def figure(rows: int, height: float) -> tuple[Any, Any]:
        drawn = matplotlib.figure.Figure(figsize=(8, height), dpi=110, layout="constrained")
        return drawn, drawn.subplots(rows, 1, squeeze=False)[:, 0]

    def keep(drawn: Any, name: str) -> None:
        made.append(folder / name)
        drawn.savefig(made[-1])

    if steps:
        drawn, axes = figure(3, 8)
        _curve(axes[0], steps, "loss", "loss")
        _curve(axes[1], steps, "rate", "learning rate", smooth=False)
        _curve(axes[2], steps, "images_per_second", "images a second")
        axes[2].set_ylim(bottom=0)
        axes[2].set_xlabel("step")
        keep(drawn, "loss.png")
    # With several data sets, each has a head, and its number behind the names.
    heads = [
        name.removeprefix("target_cosine") for name in (steps[-1] if steps else {}) if name.startswith("target_cos")
    ]
    if heads:
        margins = any(f"margin{head}" in steps[-1] for head in heads)
        drawn, axes = figure(4 if margins else 3, 10 if margins else 8)
        for head in heads:
            _curve(axes[0], steps, f"target_cosine{head}", "angle to own center, °", degrees=True)
            _curve(axes[1], steps, f"norm{head}", "norm of features")
            _curve(axes[2], steps, f"accuracy{head}", "own center nearest")
            if margins:
                _curve(axes[3], steps, f"margin{head}", "mean margin")
        axes[2].set_ylim(0, 1)
        axes[-1].set_xlabel("step")
        keep(drawn, "margin.png")
    if evaluations:
        drawn, axes = figure(2, 6)
        for name in dict.fromkeys(line["protocol"] for line in evaluations):
            own = [line for line in evaluations if line["protocol"] == name]
            axes[0].errorbar(
                [line["step"] for line in own],
                [100 * line["accuracy"] for line in own],
                [100 * (line.get("standard_error") or 0.0) for line in own],
                marker="o",
                capsize=3,
                label=name,
            )
            axes[1].plot([line["step"] for line in own], [100 * line["eer"] for line in own], marker="o", label=name)
        axes[0].set_ylabel("accuracy, %\n(± standard error)")
        axes[1].set_ylabel("EER, %")
        axes[1].set_ylim(bottom=0)
        axes[1].set_xlabel("step")
        axes[0].legend()
        for axis in axes:
            axis.grid(alpha=0.3)
        keep(drawn, "evaluation.png")
    angles = _nearest_angles(run)
    if len(angles):
        drawn, axes = figure(1, 4)
        axes[0].hist(angles, bins=60, range=(0, 120), color="tab:blue")
        axes[0].set_xlabel("angle of each class center to the nearest other one, °")
        axes[0].set_ylabel("classes")
        axes[0].set_title(f"{len(angles)} centers: median {np.median(angles):.1f}°, least {angles.min():.1f}°")
        keep(drawn, "centers.png")
    return made


def _curve(
    axis: Any, lines: list[dict[str, Any]], name: str, label: str, *, smooth: bool = True, degrees: bool = False
) -> None:
    """One value over steps; where it is rough, its exponential average as well."""
    own = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    if own:
        at, values = np.asarray(own, np.float64).T
        values = np.degrees(np.arccos(np.clip(values, -1, 1))) if degrees else values
        (line,) = axis.plot(at, values, alpha=0.35 if smooth else 1, linewidth=1)
        if smooth:
            axis.plot(at, _averaged(values), color=line.get_color())
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)


def _averaged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    averaged = np.empty_like(values)
    mean = values[0]
    for k, value in enumerate(values):
        mean = _SMOOTH * mean + (1 - _SMOOTH) * value
        averaged[k] = mean
    return averaged


def _nearest_angles(run: Path) -> NDArray[np.float32]:
    """The angle of each class center to the nearest other one, in degrees; at most 20,000 of them."""
    found = latest(run / "checkpoints")
    if found is None:
        return np.empty(0, np.float32)
    own = read_checkpoint(found).own
    angles = []
    for number in range(len(own[0]["heads"])):
        centers = whole_centers([own[rank]["heads"][number] for rank in sorted(own)])[:_MOST_CENTERS]
        if len(centers) < 2:
            continue
        unit = torch.nn.functional.normalize(centers.float(), dim=1)
        for start in range(0, len(unit), 1024):
            part = unit[start : start + 1024] @ unit.T
            part[torch.arange(len(part)), torch.arange(start, start + len(part))] = -1
            angles.append(torch.rad2deg(torch.arccos(part.max(dim=1).values.clamp(-1, 1))).numpy())
    return np.concatenate(angles) if angles else np.empty(0, np.float32)
