"""Evaluations as tables that are readable on 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mien.cli.output import Output

if TYPE_CHECKING:
    from mien.evaluation import AcquisitionFacts, Differentials, Figure, FoldAccuracy, Interval, Slice

__all__ = ["show_acquisition", "show_figures", "show_folds", "show_groups", "show_slices", "shown", "span", "words"]

_ABBREVIATIONS = frozenset(
    ["auc", "edc", "eer", "far", "fdr", "fmr", "fnir", "fnmr", "fpir", "frr", "fta", "fte", "tmr", "tpir"]
)
_LEAST_PERCENT = 1e-3
_MOST_DECIMALS = 6


def words(name: str) -> str:
    """A figure's name for people: ``TMR at FMR 1e-3``."""
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in name.split("_"))


def shown(value: float | None, unit: str) -> str:
    """A value with its unit."""
    if value is None:
        return "-"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "score":
        # To the last digit: applied as it stands here, a threshold gives the rates beside it.
        return f"{value:.4f}" if round(value, 4) == value else repr(float(value))
    if unit == "ratio":
        return f"{value:.3g}"
    if 0 < value < _LEAST_PERCENT:
        return f"{100 * value:.2g} %"
    # What is not all is not shown as 100 %.
    decimals = next((d for d in range(2, _MOST_DECIMALS) if value >= 1 or round(100 * value, d) < 100), _MOST_DECIMALS)
    return f"{100 * value:.{decimals}f} %"


def span(interval: Interval | None, unit: str = "rate") -> str:
    """An interval in few words."""
    if interval is None:
        return ""
    low, high = (f"{end:.4f}" if unit == "score" else shown(end, unit) for end in (interval.low, interval.high))
    return f"{low} to {high}"


def show_figures(figures: Sequence[Figure], level: float, output: Output) -> None:
    """A line for each figure, and the notes about them below."""
    if output.json_lines:
        return
    output.columns("figure", "result", f"{100 * level:g} % interval")
    errors = {f.name.removesuffix("_standard_error"): f.value for f in figures if f.name.endswith("_standard_error")}
    for figure in figures:
        if figure.name.endswith("_standard_error"):
            continue
        error = errors.get(figure.name)
        about = span(figure.interval, figure.unit)
        if error is not None:
            about = f"± {100 * error:.2f} % standard error"
        mark = " *" if figure.note else ""
        output.result({}, (words(figure.name) + mark, shown(figure.value, figure.unit), about))
    notes: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            notes.setdefault(figure.note, []).append(words(figure.name))
    for note, names in notes.items():
        output.say(f"* {', '.join(names)}:\n  {note}")


def show_acquisition(facts: AcquisitionFacts, output: Output) -> None:
    """How many images gave a template, and why the others did not."""
    reasons = ", ".join(f"{code} {count}" for code, count in facts.reasons.items())
    lost = f"; not: {reasons}" if reasons else ""
    output.say(f"templates of {facts.acquired:,} of {facts.samples:,} images{lost}")


def show_folds(folds: FoldAccuracy | None, output: Output) -> None:
    """A line for each fold."""
    if folds is None or output.json_lines:
        return
    output.columns("fold", "pairs", "accuracy", "threshold")
    rows = zip(
        folds.folds.tolist(), folds.trials.tolist(), folds.accuracies.tolist(), folds.thresholds.tolist(), strict=True
    )
    for number, pairs, accuracy, threshold in rows:
        output.result({}, (str(number + 1), str(pairs), shown(accuracy, "rate"), shown(threshold, "score")))
    output.say("")


def show_slices(slices: Sequence[Slice], output: Output) -> None:
    """A line for each part, its rates with their intervals."""
    if not slices or output.json_lines:
        return
    for kind in dict.fromkeys(part.kind for part in slices):
        parts = [part for part in slices if part.kind == kind]
        output.columns(kind, *(words(figure.name) for figure in parts[0].figures))
        for part in parts:
            output.result({}, (part.name, *(_with_span(figure) for figure in part.figures)))
        output.say("")


def show_groups(found: Differentials, level: float, output: Output) -> None:
    """A line for each group, the matrix of false match rates across groups, and what sums them up."""
    from mien.evaluation import equity_figures, group_figures

    if output.json_lines:
        return
    output.say(f"by group, at threshold {shown(found.threshold, 'score')}, {100 * level:g} % intervals:")
    output.columns("group", "pairs", "FMR", "FNMR")
    remarks = []
    for (name, figures), other, same in zip(group_figures(found), found.fmr, found.fnmr, strict=True):
        mark = " *" if any(figure.note for figure in figures) else ""
        cells = [_with_span(figure) for figure in figures]
        output.result({}, (name + mark, f"{other.comparisons + same.comparisons:,}", *cells))
        remarks += [f"* {name}, {words(figure.name)}: {figure.note}" for figure in figures if figure.note]
    for remark in remarks:
        output.say(remark)
    for kind, rates, counts in (
        ("FMR", found.cross_fmr, found.cross_non_mated),
        ("FNMR", found.cross_fnmr, found.cross_mated),
    ):
        # People of one group alone have no mated comparisons across groups: their matrix is its diagonal.
        if kind == "FMR" or (counts.sum() > counts.trace()):
            _show_matrix(kind, found.names, rates.tolist(), counts.tolist(), output)
    show_figures(equity_figures(found), level, output)
    if found.left_out:
        output.say(f"comparisons without a group left out: {found.left_out:,}")


def _show_matrix(
    kind: str, names: Sequence[str], rates: list[list[float]], counts: list[list[int]], output: Output
) -> None:
    output.say(f"{kind} of a sample of one group with one of another (of how many comparisons):")
    output.columns("group", *names)
    for name, row, trials in zip(names, rates, counts, strict=True):
        cells = [f"{shown(r, 'rate')} ({n:,})" if n else "-" for r, n in zip(row, trials, strict=True)]
        output.result({}, (name, *cells))
    output.say("")


def _with_span(figure: Figure) -> str:
    """A value and its interval in one cell."""
    value = shown(figure.value, figure.unit)
    if figure.interval is None:
        return value
    return f"{value} ({span(figure.interval, figure.unit).replace(' %', '').replace(' to ', '-')})"
