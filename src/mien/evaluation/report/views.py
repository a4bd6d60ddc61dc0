"""Results arranged as a page shows them: rows of tables, key figures, couples of faces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.evaluation.differential import Differentials
from mien.evaluation.figures import Figure, Slice, finite
from mien.evaluation.group_figures import equity_figures, group_figures
from mien.evaluation.report.wording import origin, shown, span, titled

__all__ = [
    "Cell",
    "Couple",
    "Face",
    "Grid",
    "Row",
    "Tile",
    "cell",
    "cross_grids",
    "equity_rows",
    "fact_lines",
    "grouped_rows",
    "grouped_table",
    "row",
    "slice_grids",
]

_PARTS = (
    ("Trials", r"mated|non_mated|enrolled|mated_searches|non_mated_searches|ft[ae].*"),
    ("Accuracy over folds", r"accuracy.*"),
    ("Over all thresholds", r"eer|auc|rank_\d+"),
    ("At false match rates", r".*_at_fmr_.*"),
    ("At false positive identification rates", r".*_at_fpir_.*"),
    ("At the operating threshold", r".*_operating"),
    ("At the model's own threshold", r".*_default"),
    ("Error versus discard", r"edc_.*"),
    ("Further", r".*"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure in a table: what is read, and the very numbers behind it (None where there is none)."""

    name: str
    title: str
    value: str
    interval: str
    origin: str
    note: str
    definition: str
    raw: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure with a few words about it."""

    figure: Row
    label: str
    detail: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a grid: what is read, and the number behind it."""

    text: str
    raw: float | None = None
    small: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with a header a row and a header a column; ``corner`` says what the rows are."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Face:
    """A sample: what it is called, a ``data:`` address of its face or None, and its part in the comparison."""

    name: str
    picture: str | None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Couple:
    """Samples that were compared, their score, and whether it is an error at the threshold."""

    faces: tuple[Face, ...]
    score: float
    wrong: bool
    remark: str = ""


def row(figure: Figure) -> Row:
    """A figure as a row."""
    interval = figure.interval
    return Row(
        figure.name,
        titled(figure.name),
        shown(figure.value, figure.unit),
        span(interval, figure.unit),
        origin(figure.name),
        figure.note,
        figure.definition,
        finite(figure.value),
        None if interval is None else finite(interval.low),
        None if interval is None else finite(interval.high),
    )


def grouped_rows(figures: Sequence[Figure]) -> list[tuple[str, list[Row]]]:
    """All figures, each under the heading where it belongs."""
    found: dict[str, list[Row]] = {}
    noted = ""
    for figure in figures:
        heading = next(title for title, pattern in _PARTS if re.fullmatch(pattern, figure.name))
        rows, new = found.setdefault(heading, []), row(figure)
        # A threshold is as well supported as the rate just above that it belongs to.
        same = bool(rows) and new.name.startswith("threshold_at") and figure.note == noted
        rows.append(replace(new, note="") if same else new)
        noted = figure.note
    return [(title, found[title]) for title, _ in _PARTS if title in found]


def cell(figure: Figure) -> Cell:
    """A figure in a grid, its interval below it."""
    return Cell(
        "–" if figure.value is None else shown(figure.value, figure.unit),
        finite(figure.value),
        span(figure.interval, figure.unit),
    )


def slice_grids(slices: Sequence[Slice]) -> list[Grid]:
    """A grid for each way in which the trials were parted."""
    grids = []
    for kind in dict.fromkeys(part.kind for part in slices):
        parts = [part for part in slices if part.kind == kind]
        # Parts of one kind can have figures of their own: where each has the same, they make one grid.
        for names in dict.fromkeys(tuple(figure.name for figure in part.figures) for part in parts):
            rows = [
                (part.name, tuple(cell(figure) for figure in part.figures))
                for part in parts
                if tuple(figure.name for figure in part.figures) == names
            ]
            columns = tuple(titled(name).removesuffix(" comparisons") for name in names)
            grids.append(Grid(f"By {kind}", "Part", columns, tuple(rows)))
    return grids


def grouped_table(found: Differentials) -> Grid:
    """Each group's error rates; what makes one unreliable is said below."""
    rows, notes = [], []
    for (name, figures), other, same in zip(group_figures(found), found.fmr, found.fnmr, strict=True):
        counts = (max(other.people, same.people), other.comparisons, same.comparisons)
        rows.append((name, (*(Cell(f"{count:,}", count) for count in counts), *(cell(figure) for figure in figures))))
        notes += [f"{name}, {titled(figure.name)}: {figure.note}." for figure in figures if figure.note]
    if found.left_out:
        notes.append(f"Comparisons of a sample without a group, left out: {found.left_out:,}.")
    return Grid(
        "Error rates by group", "Group", ("People", "Non-mated", "Mated", "FMR", "FNMR"), tuple(rows), tuple(notes)
    )


def cross_grids(found: Differentials) -> list[Grid]:
    """FMR of a sample of one group with one of another; FNMR too, where people have samples in several groups."""
    grids: list[Grid] = []
    for title, rates, counts in (
        ("False match rate across groups", found.cross_fmr, found.cross_non_mated),
        ("False non-match rate across groups", found.cross_fnmr, found.cross_mated),
    ):
        if grids and counts.sum() == counts.trace():
            continue
        rows = [
            (
                name,
                tuple(
                    Cell(shown(rate, "rate"), finite(rate), f"{count:,}") if count else Cell("–")
                    for rate, count in zip(of_group, trials, strict=True)
                ),
            )
            for name, of_group, trials in zip(found.names, rates.tolist(), counts.tolist(), strict=True)
        ]
        note = "Below each rate, how many comparisons it is of; whichever sample stands first."
        grids.append(Grid(title, "Group", found.names, tuple(rows), (note,)))
    return grids


def equity_rows(found: Differentials) -> list[Row]:
    """How far the groups are apart."""
    return [row(figure) for figure in equity_figures(found)]


def fact_lines(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """With what, where and when something was measured, from ``RunFacts.to_json``; what is not there is left out."""
    licenses = dict(run.get("licenses") or {})
    lines = []
    for part in ("embedder", "detector"):
        if part in run:
            license_id = licenses.get(run[part])
            lines.append((part, f"{run[part]}, license {license_id}" if license_id else str(run[part])))
    for name, label in (
        ("space", "embedding space"),
        ("default_threshold", "model's own threshold"),
        ("face", "face taken"),
        ("date", "date"),
        ("seed", "seed"),
        ("replicates", "bootstrap replicates"),
        ("level", "level of intervals"),
    ):
        if name in run:
            lines.append((label, str(run[name])))
    for name in ("settings", "machine", "versions"):
        found = {key: value for key, value in dict(run.get(name) or {}).items() if value is not None}
        if found:
            lines.append((name, ", ".join(f"{key} {_plain(key, value)}" for key, value in found.items())))
    return lines


def _plain(name: str, value: object) -> str:
    # Where a file lies is nobody's business whom the page is passed on to.
    if name == "calibration":
        return Path(str(value)).name
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
