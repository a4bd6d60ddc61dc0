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
        p: two-sided, the probability of a difference at least as large if there were none in truth.
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
    """Two runs side by side."""

    a: StoredRun
    b: StoredRun
    rows: tuple[ComparedFigure, ...]

    def to_json(self) -> dict[str, Any]:
        """Both runs' files and spaces, and the figures."""
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
        }


def compare_runs(a: StoredRun, b: StoredRun, uncertainty: Uncertainty) -> RunComparison:
    """Compare two runs over the same trials; a comparison that was not made counts as a non-match.

    Args:
        a: a run.
        b: another one, over the same pairs.
        uncertainty: how intervals are made.

    Raises:
        BadInput: the runs are over different pairs, or people are too few to draw from.
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
    rows = []
    for name, words, statistic, higher, note in asked:
        found = paired_bootstrap(
            first,
            second,
            statistic,
            replicates=max(uncertainty.replicates, 2),
            seed=uncertainty.seed,
            level=uncertainty.level,
            progress=uncertainty.told,
        )
        better = "undecided"
        if found.p < 1 - uncertainty.level:
            better = "A" if (found.difference > 0) is higher else "B"
        rows.append(
            ComparedFigure(
                name, words, statistic(of_a), statistic(of_b), found.difference, found.interval, found.p, better, note
            )
        )
    return RunComparison(a, b, tuple(rows))
