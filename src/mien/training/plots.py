"""Pictures of a run: its loss, rate and speed, what it scored, and how its class centers lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import BadCheckpoint, MissingExtra, OutputError
from mien.training.checkpoints import latest, read_checkpoint
from mien.training.heads import whole_centers
from mien.training.logs import read_log
from mien.training.runs import SETTINGS
from mien.training.settings_files import read_settings

__all__ = ["plot_run"]

_MOST_CENTERS = 20_000
_SMOOTH = 0.9
_FEW = 30
_SHORT = 24


def plot_run(run: Path) -> list[Path]:
    """Draw a run into its folder ``plots/``.

    Returns:
        The pictures: ``loss.png``, ``evaluation.png`` (where it was evaluated), ``margin.png`` (where the loss has a
        margin) and ``centers.png`` (where it has class centers).

    Raises:
        BadCheckpoint: the folder holds no run, or its last checkpoint is damaged.
        MissingExtra: matplotlib is not there.
        OutputError: a picture cannot be written.
    """
    try:
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise MissingExtra("plots need matplotlib: pip install 'mien[train]'") from error
    lines = read_log(run)
    if not lines:
        raise BadCheckpoint(f"{run}: expected the folder of a run, found no step in its log")
    steps = [line for line in lines if line["kind"] == "step"]
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    folder = run / "plots"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    made: list[Path] = []

    def figure(rows: int, height: float) -> tuple[Any, Any]:
        drawn = matplotlib.figure.Figure(figsize=(8, height), dpi=110, layout="constrained")
        axes = drawn.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
        axes[0].set_title(run.resolve().name, loc="left", fontsize="medium")
        return drawn, axes

    def keep(drawn: Any, name: str) -> None:
        for axis in drawn.axes[-1:] if name != "centers.png" else ():
            axis.set_xlabel("step")
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        file = folder / name
        try:
            drawn.savefig(file)
        except OSError as error:
            raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error
        made.append(file)

    if steps:
        drawn, axes = figure(3, 8)
        _curve(axes[0], steps, "loss", "loss")
        _curve(axes[1], steps, "rate", "learning rate", smooth=False)
        _curve(axes[2], steps, "images_per_second", "images a second")
        axes[2].set_ylim(bottom=0)
        keep(drawn, "loss.png")
    # With several data sets, each has a head, and its number behind the names.
    heads = [
        name.removeprefix("target_cosine") for name in (steps[-1] if steps else {}) if name.startswith("target_cos")
    ]
    if heads:
        margins = any(f"margin{head}" in steps[-1] for head in heads)
        drawn, axes = figure(4 if margins else 3, 10 if margins else 8)
        names = _set_names(run, len(heads))
        for head, told in zip(heads, names, strict=True):
            _curve(axes[0], steps, f"target_cosine{head}", "angle to own center, °", degrees=True, name=told)
            _curve(axes[1], steps, f"norm{head}", "norm of features", name=told)
            _curve(axes[2], steps, f"accuracy{head}", "share with own\ncenter nearest", name=told)
            if margins:
                _curve(axes[3], steps, f"margin{head}", "mean margin, radians", name=told)
        axes[2].set_ylim(0, 1)
        if len(heads) > 1:
            _legend(drawn, axes[0], names)
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
        for axis in axes:
            axis.grid(alpha=0.3)
        _legend(drawn, axes[1], [])
        keep(drawn, "evaluation.png")
    sets = _nearest_angles(run)
    if sets:
        drawn, axes = figure(1, 4.4)
        names = _set_names(run, len(sets))
        legend = [
            f"{name + ': ' if len(sets) > 1 else ''}{len(angles)} centers, median {np.median(angles):.1f}°, "
            f"least {angles.min():.1f}°"
            for name, angles in zip(names, sets, strict=True)
        ]
        axes[0].hist(sets, bins=60, range=(0, 120), stacked=True, label=legend)
        axes[0].set_xlabel("angle of each class center to the nearest other one of its data set, °")
        axes[0].set_ylabel("classes")
        axes[0].yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        _legend(drawn, axes[0], [])
        keep(drawn, "centers.png")
    return made


def _set_names(run: Path, sets: int) -> list[str]:
    """What the data sets are called: their packs' folders, as far up as it takes to tell them apart."""
    packs = read_settings(run / SETTINGS).data.packs if (run / SETTINGS).is_file() else ()
    if len(packs) != sets:
        return [f"data set {number}" for number in range(sets)]  # one head for all of them, or none said which
    places = [pack.parent if pack.suffix == ".parquet" else pack for pack in packs]
    for depth in range(1, max(len(place.parts) for place in places) + 1):
        names = [Path(*place.parts[-depth:]).as_posix() for place in places]
        if len(set(names)) == sets:
            return names
    return [f"{name} ({number})" for number, name in enumerate(names)]


def _legend(drawn: Any, axis: Any, names: list[str]) -> None:
    """Above all axes, where it hides nothing; with names, each one's thick line alone."""
    handles, labels = axis.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    shown = [name for name in (names or labels) if name in found]
    columns = 1 if any(len(name) > _SHORT for name in shown) else 3
    drawn.legend([found[name] for name in shown], shown, loc="outside upper center", ncols=columns)


def _curve(
    axis: Any,
    lines: list[dict[str, Any]],
    key: str,
    label: str,
    *,
    smooth: bool = True,
    degrees: bool = False,
    name: str | None = None,
) -> None:
    """One value over steps; where there are many, its moving average as well."""
    own = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    if not own:
        return
    at, values = np.asarray(own, np.float64).T
    values = np.degrees(np.arccos(np.clip(values, -1, 1))) if degrees else values
    few = len(values) < _FEW
    smooth = smooth and not few
    (line,) = axis.plot(at, values, ".-" if few else "-", alpha=0.35 if smooth else 1, linewidth=1)
    if smooth:
        (line,) = axis.plot(at, _averaged(values), color=line.get_color())
    if name is not None:
        line.set_label(name)


def _averaged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponential average of what came before; of the first values the plain mean, so that none weighs too much."""
    averaged = np.empty_like(values)
    total = weight = 0.0
    for k, value in enumerate(values):
        total, weight = _SMOOTH * total + value, _SMOOTH * weight + 1
        averaged[k] = total / weight
    return averaged


def _nearest_angles(run: Path) -> list[NDArray[np.float32]]:
    """Of each data set, the angle of each class center to the nearest other one, in degrees; at most 20,000 of them."""
    found = latest(run / "checkpoints")
    if found is None:
        return []
    own = read_checkpoint(found).own
    sets = []
    for number in range(len(own[0]["heads"])):
        centers = whole_centers([own[rank]["heads"][number] for rank in sorted(own)])[:_MOST_CENTERS]
        if len(centers) < 2:
            continue
        unit = torch.nn.functional.normalize(centers.float(), dim=1)
        angles = []
        for start in range(0, len(unit), 1024):
            part = unit[start : start + 1024] @ unit.T
            part[torch.arange(len(part)), torch.arange(start, start + len(part))] = -1
            angles.append(torch.rad2deg(torch.arccos(part.max(dim=1).values.clamp(-1, 1))).numpy())
        sets.append(np.concatenate(angles))
    return sets
