"""Figures that get their intervals together, from one bootstrap over identities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mien.errors import BadInput
from mien.evaluation.bootstrap import Scale, Statistic, bootstrap_many
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.figures import Figure
from mien.evaluation.intervals import Interval, fmr_interval, fnmr_interval, wilson
from mien.evaluation.rates import Support, support

__all__ = ["Draft", "Uncertainty", "rate_name", "support_note"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A figure whose interval is still to be made.

    Attributes:
        figure: without an interval.
        statistic: what it is computed by, or None if it needs none.
    """

    figure: Figure
    statistic: Callable[[Any], float] | None = None


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How intervals are made.

    Attributes:
        replicates: of the bootstrap over identities; 0 for no intervals.
        seed: of its random numbers.
        level: of the intervals.
        progress: called with the number of replicates drawn since the last call.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    progress: Callable[[int], None] | None = None

    def told(self, _done: int, _of: int) -> None:
        """Pass the bootstrap's progress on."""
        if self.progress is not None:
            self.progress(1)

    def figures(self, comparisons: Comparisons, drafts: Sequence[Draft]) -> list[Figure]:
        """The figures, with intervals from one bootstrap; where people are too few to draw from, a note says so."""
        asked: dict[str, tuple[Statistic, Scale]] = {
            draft.figure.name: (draft.statistic, "real" if draft.figure.unit == "score" else "rate")
            for draft in drafts
            if draft.statistic is not None
        }
        found: dict[str, Interval] = {}
        reason = ""
        if self.replicates and asked:
            try:
                found = bootstrap_many(
                    comparisons,
                    asked,
                    replicates=self.replicates,
                    seed=self.seed,
                    level=self.level,
                    progress=self.told,
                )
            except BadInput as error:
                reason = f"no interval: {error}"
        figures = []
        for draft in drafts:
            figure = draft.figure
            if figure.name in asked:
                note = figure.note if not reason else f"{figure.note}; {reason}".removeprefix("; ")
                figure = replace(figure, interval=found.get(figure.name), note=note)
            figures.append(figure)
        return figures

    def at_threshold(self, comparisons: Comparisons, threshold: float) -> tuple[Interval | None, Interval | None]:
        """The intervals of FMR and of FNMR at a fixed threshold, None where there is no comparison of that kind."""
        made = comparisons.compared
        false_match = fmr_interval(made, threshold, self.level) if self.replicates and not made.mated.all() else None
        false_non_match = fnmr_interval(made, threshold, self.level) if self.replicates and made.mated.any() else None
        return false_match, false_non_match

    def of_share(self, errors: int, trials: int) -> Interval | None:
        """Wilson's interval of a share of samples."""
        return wilson(errors, trials, self.level) if self.replicates and trials else None


def rate_name(rate: float) -> str:
    """A rate as names have it: ``1e-3`` for powers of ten, else as short as it goes."""
    if rate <= 0:
        return f"{rate:g}"
    exponent = round(math.log10(rate))
    return f"1e{exponent}" if math.isclose(rate, 10.0**exponent) else f"{rate:g}"


def support_note(rate: float, trials: int, what: str) -> tuple[Support, str]:
    """How well a number of trials supports a rate, and a sentence about it where it is not well."""
    found = support(rate, trials)
    if found == "rule_of_30":
        return found, ""
    if found == "rule_of_3":
        return found, f"few errors: the rule of 30 asks for {30 / rate:,.0f} {what}, there are {trials:,}"
    return found, f"not supported: the rule of 3 asks for {3 / rate:,.0f} {what}, there are {trials:,}"
