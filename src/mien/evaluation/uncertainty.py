"""How figures get their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons
from mien.evaluation.figures import Figure
from mien.evaluation.intervals import Interval, wilson
from mien.evaluation.rate_intervals import fmr_interval, fnmr_interval
from mien.evaluation.rates import Support, support

__all__ = ["Draft", "Uncertainty", "rate_name", "support_note"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A figure whose interval is still to be made.

    Attributes:
        figure: without an interval.
        interval: makes it of the trials and, by keyword, the ``level``; or None if the figure needs none.
    """

    figure: Figure
    interval: Callable[..., Interval] | None = None


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How intervals are made.

    Attributes:
        replicates: of the bootstrap over identities, for comparisons and bands; 0 for no intervals at all.
        seed: of its random numbers.
        level: of the intervals.
        progress: called with the number of intervals made, or of replicates drawn for one, since the last call.
    """

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    progress: Callable[[int], None] | None = None

    def told(self, _done: int = 1, _of: int = 1) -> None:
        """Pass progress on: one interval or one replicate more, as the bootstrap tells it."""
        if self.progress is not None:
            self.progress(1)

    def figures(self, trials: Any, drafts: Sequence[Draft]) -> list[Figure]:
        """The figures with their intervals; where the trials do not allow one, a note says why."""
        made = []
        for draft in drafts:
            made.append(self._figure(trials, draft))
            self.told()
        return made

    def _figure(self, trials: Any, draft: Draft) -> Figure:
        figure = draft.figure
        if draft.interval is None or not self.replicates:
            return figure
        try:
            return replace(figure, interval=draft.interval(trials, level=self.level))
        except BadInput as error:
            return replace(figure, note=f"{figure.note}; no interval: {error}".removeprefix("; "))

    def at_threshold(self, comparisons: Comparisons, threshold: float) -> tuple[Interval | None, Interval | None]:
        """The intervals of FMR and of FNMR at a fixed threshold, None where there is no comparison of that kind."""
        made = comparisons.compared
        false_match = fmr_interval(made, threshold, self.level) if self.replicates and not made.mated.all() else None
        false_non_match = fnmr_interval(made, threshold, self.level) if self.replicates and made.mated.any() else None
        self.told()
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
