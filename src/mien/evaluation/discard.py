"""Error-versus-discard: what a quality score is worth, by the errors that go when the worst samples do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons, ScoreArray
from mien.evaluation.rates import ErrorRates, checked_rate

__all__ = ["PARTIAL_AREAS", "DiscardCurve", "error_versus_discard"]

PARTIAL_AREAS = (0.05, 0.2, 0.3)
"""How far partial areas are customarily taken: the shares of comparisons discarded."""


@dataclass(frozen=True, slots=True, eq=False)
class DiscardCurve:
    """FNMR at a fixed threshold over the share of mated comparisons discarded, worst quality first.

    The curve is a step: ``errors[k]`` holds from ``fractions[k]`` up to the next. Comparisons of equal quality go
    together, so no order among them is made up.

    Attributes:
        fractions: ``(k,) float64``, the share discarded, ascending from 0.
        errors: ``(k,) float64``, FNMR of those that remain.
        qualities: ``(k,) float64``, the lowest quality that remains.
        threshold: the score at or above which a comparison matches, the same for all of the curve.
        comparisons: how many mated comparisons there were before discarding.
        false_non_matches: how many of them were errors.
    """

    fractions: ScoreArray
    errors: ScoreArray
    qualities: ScoreArray
    threshold: float
    comparisons: int
    false_non_matches: int

    def error_at(self, fraction: float) -> float:
        """FNMR after discarding as much as whole steps allow, at most ``fraction`` of the comparisons."""
        checked_rate(fraction)
        return float(self.errors[int(np.searchsorted(self.fractions, fraction, side="right")) - 1])

    def ideal_at(self, fraction: ArrayLike) -> ScoreArray:
        """FNMR if each discarded comparison were an error, as long as there are any: no quality score does better."""
        share = np.asarray(fraction, dtype=np.float64)
        first = self.false_non_matches / self.comparisons
        kept = np.where(share < first, 1 - share, 1.0)
        return np.asarray(np.where(share < first, (first - share) / kept, 0.0), dtype=np.float64)

    def area(self, limit: float = 1.0) -> float:
        """The area under the curve from 0 to ``limit`` (a partial AUC, not divided by the limit); lower is better."""
        checked_rate(limit)
        ends = np.minimum(np.append(self.fractions[1:], 1.0), limit)
        return float((self.errors * np.maximum(ends - np.minimum(self.fractions, limit), 0)).sum())

    def ideal_area(self, limit: float = 1.0) -> float:
        """The area under the ideal curve from 0 to ``limit``."""
        checked_rate(limit)
        first = self.false_non_matches / self.comparisons
        end = min(limit, first)
        # The integral of (first - x) / (1 - x); where all are errors it is 1 everywhere.
        return end if first == 1 else float(end + (1 - first) * np.log1p(-end))

    def level_area(self, limit: float = 1.0) -> float:
        """The area from 0 to ``limit`` if discarding changed nothing, as with a quality that says nothing."""
        checked_rate(limit)
        return limit * self.false_non_matches / self.comparisons

    def gain(self, limit: float = 1.0) -> float:
        """How much of the ideal's gain over a useless quality was had: 1 the ideal, 0 useless, less is harmful.

        It is ``(level_area - area) / (level_area - ideal_area)``, and 0 where there was no error to discard.
        """
        possible = self.level_area(limit) - self.ideal_area(limit)
        return (self.level_area(limit) - self.area(limit)) / possible if possible > 0 else 0.0


def error_versus_discard(
    comparisons: Comparisons, qualities: ArrayLike, *, fmr: float = 1e-3, threshold: float | None = None
) -> DiscardCurve:
    """The error-versus-discard characteristic of a quality score (ISO/IEC 29794-1; Grother and Tabassi 2007).

    A comparison's quality is the lower one of its two samples. The threshold is fixed before anything is
    discarded. Comparisons that were not made are left out: they are failures to acquire, whatever the quality.

    Args:
        comparisons: the trials; the non-mated ones serve for the threshold alone.
        qualities: ``(samples,)``, the quality of each sample by its number, higher is better, any range.
        fmr: the false match rate that the threshold is chosen for.
        threshold: the threshold itself, which then replaces ``fmr`` (non-mated comparisons are not needed).

    Raises:
        BadInput: there is no mated comparison with a score, none to choose the threshold by, or a sample that was
            compared has no quality (NaN) or none of that number.
    """
    made = comparisons.compared
    limit = ErrorRates.of(made).threshold_at_fmr(fmr) if threshold is None else float(threshold)
    mated = made.subset(made.mated)
    if not len(mated):
        raise BadInput("expected mated comparisons that were made, got none")
    values = np.asarray(qualities, dtype=np.float64)
    last = int(max(mated.left.max(), mated.right.max()))
    if values.ndim != 1 or last >= len(values) or min(mated.left.min(), mated.right.min()) < 0:
        raise BadInput(f"expected the qualities of samples 0..{last}, got shape {values.shape}")
    of_pairs = np.minimum(values[mated.left], values[mated.right])
    if np.isnan(of_pairs).any():
        raise BadInput(f"expected a quality for every sample compared, got NaN in {np.isnan(of_pairs).sum()} pairs")
    order = np.argsort(of_pairs, kind="stable")
    of_pairs, wrong = of_pairs[order], mated.scores[order] < limit
    remaining_wrong = np.cumsum(wrong[::-1])[::-1]
    starts = np.flatnonzero(np.concatenate([[True], of_pairs[1:] != of_pairs[:-1]]))
    return DiscardCurve(
        fractions=starts / len(wrong),
        errors=remaining_wrong[starts] / (len(wrong) - starts),
        qualities=of_pairs[starts],
        threshold=limit,
        comparisons=len(wrong),
        false_non_matches=int(wrong.sum()),
    )
