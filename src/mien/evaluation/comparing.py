"""Whether one run is better than another on the same pairs, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mien.errors import BadInput
from mien.evaluation.bootstrap import paired_bootstrap
from mien.evaluation.figures import finite
from mien.evaluation.intervals import Interval
from mien.evaluation.pair_figures import FALSE_MATCH_RATES
from mien.evaluation.paired_folds import PairedFolds, compare_folds
from mien.evaluation.rates import ErrorRates
from mien.evaluation.stored_runs import StoredRun
from mien.evaluation.uncertainty import Uncertainty, rate_name, support_note

__all__ = ["ComparedFigure", "RunComparison", "compare_runs"]


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of two runs.

    Attributes:
        name: the figure's.
        definition: what it is.
        a: of the first run.
        b: of the second.
        difference: a less b.
        interval: of the difference.
        p: two-sided, the probability of a difference at least as large if there were none in truth: by the paired
            bootstrap over people, that of ``accuracy`` by the paired t-test over folds.
        better: ``A``, ``B``, or ``undecided`` where p is not below 1 - level.
        note: what a reader has to know about it, or empty.
    """

    name: str
    definition: str
    a: float
    b: float
    difference: float
    interval: Interval
    p: float
    better: str
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RunComparison:
    """Two runs side by side.

    Attributes:
        a: the first run.
        b: the second.
        rows: the figures of both.
        folds: their accuracies fold by fold, or None where they are not in the same folds.
        notes: what a reader has to know of the whole.
    """

    a: StoredRun
    b: StoredRun
    rows: tuple[ComparedFigure, ...]
    folds: PairedFolds | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Both runs' files and spaces, the figures, and the accuracies by fold."""
        return {
            "kind": "comparison",
            "protocol": {"name": self.a.name, "digest": self.a.digest, "pairs": len(self.a.comparisons)},
            "a": {"path": self.a.path, "space": self.a.space},
            "b": {"path": self.b.path, "space": self.b.space},
            "figures": [
                {
                    "name": row.name,
                    "definition": row.definition,
                    "a": row.a,
                    "b": row.b,
                    "difference": row.difference,
                    "interval": {
                        "low": finite(row.interval.low),
                        "high": finite(row.interval.high),
                        "level": row.interval.level,
                        "method": row.interval.method,
                    },
                    "p": row.p,
                    "better": row.better,
                    "note": row.note,
                }
                for row in self.rows
            ],
            "folds": None if self.folds is None else _folds_json(self.folds),
            "notes": list(self.notes),
        }


def compare_runs(a: StoredRun, b: StoredRun, uncertainty: Uncertainty) -> RunComparison:
    """Compare two runs over the same trials; a comparison that was not made counts as a non-match.

    Args:
        a: a run.
        b: another one, over the same pairs.
        uncertainty: how intervals are made.

    Raises:
        BadInput: the runs are over different pairs, people are too few to draw from, or there are fewer than 2
            replicates.
    """
    if a.digest != b.digest or a.name != b.name:
        raise BadInput(
            f"expected two runs over the same pairs, got {a.path} of {a.name} {a.digest} "
            f"and {b.path} of {b.name} {b.digest}"
        )
    first, second = a.comparisons.as_transactions(), b.comparisons.as_transactions()
    of_a, of_b = ErrorRates.of(first), ErrorRates.of(second)
    asked: list[tuple[str, str, Callable[[ErrorRates], float], bool, str]] = [
        ("eer", "Equal error rate.", ErrorRates.eer, False, ""),
        ("auc", "Area under the ROC.", ErrorRates.auc, True, ""),
    ]
    for rate in FALSE_MATCH_RATES:
        if rate * of_a.non_mated >= 1:
            label = rate_name(rate)
            words = f"True match rate, each run at its own threshold of FMR {label}."
            _, note = support_note(rate, of_a.non_mated, "non-mated comparisons")
            asked.append((f"tmr_at_fmr_{label}", words, partial(ErrorRates.tmr_at_fmr, rate=rate), True, note))
    folds, notes = _folds(a, b)
    rows = [] if folds is None else [_accuracy(folds, uncertainty.level)]
    for name, words, statistic, higher, note in asked:
        found = paired_bootstrap(
            first,
            second,
            statistic,
            replicates=uncertainty.replicates,
            seed=uncertainty.seed,
            level=uncertainty.level,
            progress=uncertainty.told,
        )
        better = _better(found.difference, found.p, uncertainty.level, higher=higher)
        rows.append(
            ComparedFigure(
                name, words, statistic(of_a), statistic(of_b), found.difference, found.interval, found.p, better, note
            )
        )
    return RunComparison(a, b, tuple(rows), folds, notes)


def _better(difference: float, p: float, level: float, *, higher: bool) -> str:
    if p >= 1 - level:
        return "undecided"
    return "A" if (difference > 0) is higher else "B"


def _folds(a: StoredRun, b: StoredRun) -> tuple[PairedFolds | None, tuple[str, ...]]:
    if a.comparisons.folds is None and b.comparisons.folds is None:
        return None, ()
    try:
        return compare_folds(a.comparisons, b.comparisons), ()
    except BadInput as error:
        return None, (f"accuracies over folds are not compared: {error}",)


def _accuracy(folds: PairedFolds, level: float) -> ComparedFigure:
    return ComparedFigure(
        "accuracy",
        "Mean over folds of the share decided rightly, by the threshold that is best on the other folds; the interval "
        "and p of the difference are Student's, paired by fold.",
        float(folds.a.mean()),
        float(folds.b.mean()),
        folds.mean,
        folds.interval(level),
        folds.p,
        _better(folds.mean, folds.p, level, higher=True),
        f"difference ± {100 * folds.standard_error:.2f} standard error over {len(folds.folds)} folds; paired t-test",
    )


def _folds_json(folds: PairedFolds) -> dict[str, Any]:
    return {
        "fold": folds.folds.tolist(),
        "a": folds.a.tolist(),
        "b": folds.b.tolist(),
        "difference": folds.differences.tolist(),
        "mean": folds.mean,
        "standard_error": folds.standard_error,
        "p": folds.p,
        "method": "paired-t",
    }
