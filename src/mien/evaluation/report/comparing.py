"""The page of several runs over the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mien.errors import BadInput
from mien.evaluation.comparing import ComparedFigure, RunComparison
from mien.evaluation.figures import Figure
from mien.evaluation.report.page import render
from mien.evaluation.report.pair_plots import det_plot, precision_plot, roc_plot
from mien.evaluation.report.svg import require_packages
from mien.evaluation.report.views import Cell, Grid, Tile, fact_lines, row
from mien.evaluation.report.wording import PERCENT, percent, titled
from mien.evaluation.uncertainty import Uncertainty

__all__ = ["comparison_report"]

_LEAST_P = 1e-4
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    title: str
    definition: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    a_text: str
    b_text: str
    difference_text: str
    interval: str
    p_text: str
    better: str
    note: str


@dataclass(frozen=True, slots=True)
class _Table:
    title: str
    a: str
    b: str
    level: float
    rows: tuple[_Row, ...]


def comparison_report(comparisons: Sequence[RunComparison], uncertainty: Uncertainty) -> str:
    """The report of one run compared with others, their curves over each other.

    Args:
        comparisons: of one and the same first run with each other one.
        uncertainty: how their intervals were made; the bands of the curves are made alike, and their replicates told.

    Raises:
        BadInput: there is nothing compared, too many runs, or the first run is not the same in all.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    require_packages()
    if not 0 < len(comparisons) < len(_LETTERS):
        raise BadInput(f"expected 1 to {len(_LETTERS) - 1} comparisons, got {len(comparisons)}")
    first = comparisons[0].a
    if any(found.a is not first for found in comparisons):
        raise BadInput("expected comparisons of one first run with others, got several first runs")
    runs = [first, *(found.b for found in comparisons)]
    names = [f"{letter} ({run.space.split('@')[0]})" for letter, run in zip(_LETTERS, runs, strict=False)]
    labels = [f"{letter}: {run.space}" for letter, run in zip(_LETTERS, runs, strict=False)]
    trials = [(label, run.comparisons.as_transactions()) for label, run in zip(labels, runs, strict=True)]
    rows = [
        tuple(_row(line, labels[0][0], labels[k][0]) for line in found.rows) for k, found in enumerate(comparisons, 1)
    ]
    pairs = first.comparisons
    people = len(set(pairs.left_identities.tolist()) | set(pairs.right_identities.tolist()))
    how = uncertainty
    return render(
        run=None,
        title=f"{' and '.join(dict.fromkeys(run.space.split('@')[0] for run in runs))} on {first.name}",
        kind=f"Comparison of {len(runs)} runs on the same pairs",
        lead=" ".join(_sentence(found, names[0], names[k]) for k, found in enumerate(comparisons, 1)),
        tiles=[tile for k, found in enumerate(comparisons, 1) for tile in _tiles(found, labels[0][0], labels[k][0])],
        source=f"{first.name}, {len(pairs):,} pairs, trials {first.digest} · {' · '.join(labels)}",
        plots=[
            det_plot(trials, how),
            roc_plot(trials),
            precision_plot(trials),
        ],
        groups_of_rows=[],
        comparison=[
            _Table(f"{labels[0]} against {labels[k]}", labels[0][0], labels[k][0], how.level, found)
            for k, found in enumerate(rows, 1)
        ],
        groups=None,
        tables=[
            grid for k, found in enumerate(comparisons, 1) for grid in _fold_grids(found, labels[0][0], labels[k][0])
        ],
        quality_cut=None,
        worst=[],
        faces=False,
        facts=[
            ("comparisons", f"{len(pairs):,}: {int(pairs.mated.sum()):,} mated, {int((~pairs.mated).sum()):,} not"),
            ("people", f"{people:,}"),
            ("bootstrap", f"{how.replicates} replicates over people, seed {how.seed}, level {how.level:g}"),
        ],
        notes=list(dict.fromkeys(note for found in comparisons for note in found.notes)),
        acquisition=None,
        setups=[
            (label, [("file", Path(run.path).name), *fact_lines(run.facts)])
            for label, run in zip(labels, runs, strict=True)
        ],
    )


def _row(line: ComparedFigure, a: str, b: str) -> _Row:
    low, high = line.interval.low, line.interval.high
    return _Row(
        line.name,
        titled(line.name),
        line.definition,
        line.a,
        line.b,
        line.difference,
        low,
        high,
        line.p,
        percent(line.a),
        percent(line.b),
        f"{100 * line.difference:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
        _likelihood(line.p),
        {"A": a, "B": b}.get(line.better, line.better),
        line.note,
    )


def _fold_grids(found: RunComparison, a: str, b: str) -> list[Grid]:
    folds = found.folds
    if folds is None:
        return []
    rows = tuple(
        (
            str(number + 1),
            (Cell(percent(x), x), Cell(percent(y), y), Cell(f"{100 * (x - y):+.2f}", x - y)),
        )
        for number, x, y in zip(folds.folds.tolist(), folds.a.tolist(), folds.b.tolist(), strict=True)
    )
    note = (
        f"Difference in percentage points: {100 * folds.mean:+.2f} ± {100 * folds.standard_error:.2f}, mean and "
        f"standard error over folds; paired t-test p {_likelihood(folds.p, sign='= ')}."
    )
    return [Grid(f"Accuracy by fold, {a} and {b}", "Fold", (a, b, "Difference"), rows, (note,))]


def _likelihood(p: float, *, sign: str = "") -> str:
    return f"{sign}{p:.2g}" if p >= _LEAST_P else f"< {_LEAST_P:g}"


def _key(found: RunComparison) -> ComparedFigure | None:
    """The figure that a comparison is summed up by: TMR at FMR 1e-3, or what there is."""
    by_name = {line.name: line for line in found.rows}
    return next(
        (
            by_name[name]
            for name in ("tmr_at_fmr_1e-3", "tmr_at_fmr_1e-2", "eer")
            if name in by_name and not by_name[name].note.startswith("not supported")
        ),
        None,
    )


def _sentence(found: RunComparison, a: str, b: str) -> str:
    line = _key(found)
    if line is None:
        return ""
    if line.better == "undecided":
        return f"{a} and {b} cannot be told apart by {titled(line.name)} (p {_likelihood(line.p, sign='= ')})."
    better, worse = (a, b) if line.better == "A" else (b, a)
    return (
        f"{better} is better than {worse}: {titled(line.name)} differs by {100 * abs(line.difference):.2f} points "
        f"(p {_likelihood(line.p, sign='= ')})."
    )


def _tiles(found: RunComparison, a: str, b: str) -> list[Tile]:
    tiles = []
    for line in dict.fromkeys((_key(found), *(line for line in found.rows if line.name in ("eer", "auc")))):
        if line is None:
            continue
        figure = row(Figure(line.name, line.difference, line.definition, interval=line.interval))
        told = _row(line, a, b)
        detail = f"{told.interval}; {'undecided' if line.better == 'undecided' else f'{told.better} is better'}"
        text = f"{told.a_text.removesuffix(PERCENT)} : {told.b_text}"
        tiles.append(
            Tile(replace(figure, value=text), f"{told.title}, {a} : {b}", f"{told.difference_text} points, {detail}")
        )
    return tiles
