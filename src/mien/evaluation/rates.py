"""Error rates of 1:1 comparisons and the curves made of them (ISO/IEC 19795-1)."""

from __future__ import annotations

import math
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.evaluation.comparisons import Comparisons, ScoreArray

__all__ = ["ErrorRates", "Support", "checked_rate", "support", "transaction_rates"]

Support = Literal["rule_of_30", "rule_of_3", "unsupported"]


class ErrorRates:
    """FMR and FNMR at any threshold, and what follows from them. A comparison matches where ``score >= threshold``.

    A comparison may have a weight, which counts it so many times; that is how the bootstrap resamples.
    Every threshold given out is float64: compare with scores in float64 too.

    Args:
        mated: ``(m,)`` scores of mated comparisons, any finite range, higher is more alike.
        non_mated: ``(k,)`` scores of non-mated comparisons.
        mated_weights: ``(m,)`` not negative, or None for 1 each.
        non_mated_weights: ``(k,)`` not negative, or None for 1 each.

    Raises:
        BadInput: one of the two kinds is missing or weighs nothing, or a score is NaN or infinite.
    """

    __slots__ = ("_mated", "_mated_below", "_non_mated", "_non_mated_from")

    def __init__(
        self,
        mated: ArrayLike,
        non_mated: ArrayLike,
        mated_weights: ArrayLike | None = None,
        non_mated_weights: ArrayLike | None = None,
    ) -> None:
        self._mated, weights = _sorted("mated", mated, mated_weights)
        self._mated_below = _sums_before(weights)
        self._non_mated, weights = _sorted("non-mated", non_mated, non_mated_weights)
        self._non_mated_from = _sums_from(weights)
        if not (self._mated_below[-1] > 0 and self._non_mated_from[0] > 0):
            raise BadInput(
                "expected mated and non-mated comparisons that were made, got "
                f"{len(self._mated)} mated of weight {self._mated_below[-1]:g} and "
                f"{len(self._non_mated)} non-mated of weight {self._non_mated_from[0]:g}"
            )

    @classmethod
    def of(cls, comparisons: Comparisons) -> ErrorRates:
        """The rates of the comparisons that were made; those without a score are left out (see ``transaction_rates``).

        Raises:
            BadInput: all that were made are of one kind.
        """
        return cls(comparisons.mated_scores, comparisons.non_mated_scores)

    @classmethod
    def presorted(
        cls,
        mated: ScoreArray,
        non_mated: ScoreArray,
        mated_weights: ScoreArray | None,
        non_mated_weights: ScoreArray | None,
    ) -> ErrorRates | None:
        """The same from scores in ascending order, unchecked, for resampling; None where a kind weighs nothing."""
        new = cls.__new__(cls)
        new._mated, new._non_mated = mated, non_mated
        new._mated_below = _sums_before(np.ones(len(mated)) if mated_weights is None else mated_weights)
        new._non_mated_from = _sums_from(np.ones(len(non_mated)) if non_mated_weights is None else non_mated_weights)
        return new if new._mated_below[-1] > 0 and new._non_mated_from[0] > 0 else None

    @property
    def mated(self) -> int:
        """How many mated comparisons there are."""
        return len(self._mated)

    @property
    def non_mated(self) -> int:
        """How many non-mated comparisons there are."""
        return len(self._non_mated)

    @overload
    def fmr(self, threshold: float) -> float: ...
    @overload
    def fmr(self, threshold: ScoreArray) -> ScoreArray: ...
    def fmr(self, threshold: float | ScoreArray) -> float | ScoreArray:
        """False match rate: the share of non-mated comparisons at or above each threshold."""
        sums = self._non_mated_from
        rates = sums[np.searchsorted(self._non_mated, threshold, side="left")] / sums[0]
        return rates if np.ndim(threshold) else float(rates)

    @overload
    def fnmr(self, threshold: float) -> float: ...
    @overload
    def fnmr(self, threshold: ScoreArray) -> ScoreArray: ...
    def fnmr(self, threshold: float | ScoreArray) -> float | ScoreArray:
        """False non-match rate: the share of mated comparisons below each threshold."""
        sums = self._mated_below
        rates = sums[np.searchsorted(self._mated, threshold, side="left")] / sums[-1]
        return rates if np.ndim(threshold) else float(rates)

    def threshold_at_fmr(self, rate: float) -> float:
        """The lowest threshold whose false match rate is no more than ``rate``.

        It is the float64 right above the highest non-mated score that may not match. Where not even one non-mated
        comparison may match, that is the one above all of them, and where all may, the lowest score there is.

        Raises:
            BadInput: the rate is not within 0..1.
        """
        checked_rate(rate)
        # The rate from each score on falls along the sorted scores; a tie is decided by its first.
        over = int(np.searchsorted(-(self._non_mated_from[:-1] / self._non_mated_from[0]), -rate, side="left"))
        if over == 0:
            return float(min(self._mated[0], self._non_mated[0]))
        return float(np.nextafter(self._non_mated[over - 1], np.inf))

    def fnmr_at_fmr(self, rate: float) -> float:
        """FNMR at the lowest threshold whose FMR is no more than ``rate``."""
        return self.fnmr(self.threshold_at_fmr(rate))

    def tmr_at_fmr(self, rate: float) -> float:
        """True match rate, 1 - FNMR, at the lowest threshold whose FMR is no more than ``rate``."""
        return 1 - self.fnmr_at_fmr(rate)

    def det(self) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
        """Every operating point: ``(fmr, fnmr, thresholds)``, thresholds ascending.

        Thresholds are all distinct scores and, last, the float64 above the highest, where nothing matches. With
        1 - fnmr for the height it is the ROC curve.
        """
        scores = np.unique(np.concatenate([self._mated, self._non_mated]))
        thresholds = np.append(scores, np.nextafter(scores[-1], np.inf))
        return self.fmr(thresholds), self.fnmr(thresholds), thresholds

    def eer(self) -> float:
        """Equal error rate: where the ROC, its points joined by straight lines, meets FMR = FNMR."""
        after = self.eer_threshold()
        # At the lowest score FMR is 1 and FNMR 0, so there is always a score before.
        below = [s[k - 1] for s in (self._mated, self._non_mated) if (k := int(np.searchsorted(s, after))) > 0]
        before = float(max(below))
        gap_before, gap_after = self.fmr(before) - self.fnmr(before), self.fnmr(after) - self.fmr(after)
        share = gap_before / (gap_before + gap_after)
        return self.fmr(before) + share * (self.fmr(after) - self.fmr(before))

    def eer_threshold(self) -> float:
        """The lowest of ``det``'s thresholds at which FNMR is at least FMR."""
        top = float(np.nextafter(max(self._mated[-1], self._non_mated[-1]), np.inf))
        # FNMR - FMR never falls, so it is found by halving, without the whole curve.
        return min(self._first_crossed(self._mated, top), self._first_crossed(self._non_mated, top))

    def _first_crossed(self, scores: ScoreArray, otherwise: float) -> float:
        low, high = 0, len(scores)
        while low < high:
            middle = (low + high) // 2
            if self.fnmr(float(scores[middle])) >= self.fmr(float(scores[middle])):
                high = middle
            else:
                low = middle + 1
        return float(scores[low]) if low < len(scores) else otherwise

    def auc(self) -> float:
        """Area under the ROC: how often a mated score is above a non-mated one, a tie counted as half."""
        weights = np.diff(self._mated_below)
        lower = self._non_mated_from[0] - self._non_mated_from[np.searchsorted(self._non_mated, self._mated, "left")]
        not_higher = (
            self._non_mated_from[0] - self._non_mated_from[np.searchsorted(self._non_mated, self._mated, "right")]
        )
        return float(weights @ (lower + not_higher) / 2 / (self._mated_below[-1] * self._non_mated_from[0]))

    def pr(self) -> tuple[ScoreArray, ScoreArray, ScoreArray]:
        """``(precision, recall, thresholds)`` at the thresholds of ``det``.

        Precision is of these very comparisons: it depends on how many of them are mated. Where nothing matches it is 1.
        """
        fmr, fnmr, thresholds = self.det()
        hits, false = (1 - fnmr) * self._mated_below[-1], fmr * self._non_mated_from[0]
        found = hits + false
        precision = np.divide(hits, found, out=np.ones_like(found), where=found > 0)
        return precision, 1 - fnmr, thresholds

    def supported(self, rate: float) -> Support:
        """Whether there are enough non-mated comparisons to speak of this false match rate; see ``support``."""
        return support(rate, self.non_mated)


def support(rate: float, trials: int) -> Support:
    """How well a number of trials supports an error rate.

    By the rule of 30 (Doddington; ISO/IEC 19795-1) at least 30 errors are needed to be 90 % sure that the true rate
    is within 30 % of the measured one: ``rate * trials >= 30``. By the rule of 3 no error among ``3 / rate``
    independent trials shows, with 95 % confidence, that the rate is no higher. Both take the trials as independent,
    which comparisons of few people are not: both are necessary, not sufficient.

    Returns:
        ``"rule_of_30"``, ``"rule_of_3"`` (a bound can be stated, no rate) or ``"unsupported"``.

    Raises:
        BadInput: the rate is not within 0..1.
    """
    checked_rate(rate)
    # A hair of slack, for 0.0003 * 100_000 is 29.999999999999996 in float64.
    expected = rate * trials * (1 + 1e-12)
    return "rule_of_30" if expected >= 30 else "rule_of_3" if expected >= 3 else "unsupported"


def transaction_rates(fmr: float, fnmr: float, fta: float, fta_non_mated: float | None = None) -> tuple[float, float]:
    """False accept and false reject rates of whole transactions of one attempt (ISO/IEC 19795-1).

    ``FAR = FMR * (1 - FTA)`` and ``FRR = FTA + FNMR * (1 - FTA)``: who is not acquired is rejected.

    Args:
        fmr: false match rate of the comparisons that were made, 0..1.
        fnmr: their false non-match rate, 0..1.
        fta: the share of mated comparisons that could not be made, 0..1 (``Comparisons.failure_shares``).
        fta_non_mated: the share of non-mated ones; None for the same.

    Returns:
        ``(far, frr)``.

    Raises:
        BadInput: a rate is not within 0..1.
    """
    other = fta if fta_non_mated is None else fta_non_mated
    for rate in (fmr, fnmr, fta, other):
        checked_rate(rate)
    return fmr * (1 - other), fta + fnmr * (1 - fta)


def checked_rate(rate: float) -> float:
    """The rate itself.

    Raises:
        BadInput: it is not within 0..1.
    """
    if not (math.isfinite(rate) and 0 <= rate <= 1):
        raise BadInput(f"expected a rate within 0..1, got {rate}")
    return rate


def _sorted(kind: str, values: ArrayLike, weights: ArrayLike | None) -> tuple[ScoreArray, ScoreArray]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise BadInput(f"{kind} scores: expected shape (n,), got {scores.shape}")
    if not np.isfinite(scores).all():
        raise BadInput(
            f"{kind} scores: expected finite numbers, got NaN or infinity in {np.sum(~np.isfinite(scores))} of "
            f"{len(scores)}; leave out what was not compared and count it as failed"
        )
    if weights is None:
        return np.sort(scores), np.ones(len(scores))
    weighed = np.asarray(weights, dtype=np.float64)
    if weighed.shape != scores.shape or not (np.isfinite(weighed).all() and (weighed >= 0).all()):
        raise BadInput(f"{kind} weights: expected {scores.shape} finite weights of 0 or more, got {weighed.shape}")
    order = np.argsort(scores, kind="stable")
    return scores[order], weighed[order]


def _sums_before(weights: ScoreArray) -> ScoreArray:
    return np.concatenate([[0.0], np.cumsum(weights)])


def _sums_from(weights: ScoreArray) -> ScoreArray:
    return np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])
