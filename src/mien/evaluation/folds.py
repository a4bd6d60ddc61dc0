"""Accuracy over folds: each fold is decided by the threshold that is best on the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.errors import BadInput
from mien.evaluation.comparisons import BoolArray, Comparisons, IntArray, ScoreArray

__all__ = ["FoldAccuracy", "best_threshold", "k_fold_accuracy"]


@dataclass(frozen=True, slots=True, eq=False)
class FoldAccuracy:
    """What k-fold cross-validation gave.

    Attributes:
        folds: ``(k,) int64``, the folds' numbers, ascending.
        accuracies: ``(k,) float64``, the share of each fold's comparisons that was decided rightly.
        thresholds: ``(k,) float64``, what each fold was decided with.
        trials: ``(k,) int64``, how many comparisons each fold has.
    """

    folds: IntArray
    accuracies: ScoreArray
    thresholds: ScoreArray
    trials: IntArray

    @property
    def mean(self) -> float:
        """The mean of the folds' accuracies, each fold counted once whatever its size."""
        return float(self.accuracies.mean())

    @property
    def standard_error(self) -> float:
        """The sample standard deviation of the folds' accuracies over the root of their number.

        Folds share their training data, so it is what papers on LFW print rather than an unbiased estimate.
        """
        return float(self.accuracies.std(ddof=1) / math.sqrt(len(self.accuracies)))

    @property
    def pooled(self) -> float:
        """The share of all comparisons that was decided rightly; differs from the mean where folds are unequal."""
        return float((self.accuracies * self.trials).sum() / self.trials.sum())


def k_fold_accuracy(comparisons: Comparisons) -> FoldAccuracy:
    """Accuracy with the threshold fitted on the other folds, over all their distinct scores (the lowest of equals).

    A comparison that was not made is decided as a non-match, whatever the threshold.

    Raises:
        BadInput: there are no folds or fewer than two, all trials are of one kind, or all scores are in one fold.
    """
    if comparisons.folds is None:
        raise BadInput("expected comparisons in folds, got comparisons without")
    if comparisons.mated.all() or not comparisons.mated.any():
        count = int(comparisons.mated.sum())
        raise BadInput(f"expected mated and non-mated comparisons, got {count} and {len(comparisons) - count}")
    numbers, fold = np.unique(comparisons.folds, return_inverse=True)
    if len(numbers) < 2:
        raise BadInput(f"expected at least 2 folds, got {len(numbers)}")
    made = np.flatnonzero(~np.isnan(comparisons.scores))
    order = made[np.argsort(comparisons.scores[made], kind="stable")]
    scores, mated, of = comparisons.scores[order], comparisons.mated[order], fold[order]
    trials = np.bincount(fold, minlength=len(numbers))
    # What was not made is decided rightly where it is non-mated.
    unmade = np.isnan(comparisons.scores) & ~comparisons.mated
    right = np.bincount(fold[unmade], minlength=len(numbers)).astype(np.float64)
    thresholds = np.empty(len(numbers))
    for k, number in enumerate(numbers):
        here = of == k
        if here.all():
            raise BadInput(f"expected comparisons with scores outside of fold {number}, got none")
        thresholds[k] = _best_of_sorted(scores[~here], mated[~here])
        right[k] += np.sum((scores[here] >= thresholds[k]) == mated[here])
    return FoldAccuracy(numbers.astype(np.int64), right / trials, thresholds, trials.astype(np.int64))


def best_threshold(scores: ScoreArray, mated: BoolArray) -> float:
    """The distinct score at which ``score >= threshold`` is right most often, the lowest of equals.

    Where matching nothing is right more often than any score, it is the float64 above the highest.

    Args:
        scores: ``(n,)`` without NaN.
        mated: ``(n,)`` bool.

    Raises:
        BadInput: there is no score, or one is NaN.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or np.isnan(values).any():
        raise BadInput(f"expected at least one score and no NaN, got {values.size} with {np.isnan(values).sum()} NaN")
    order = np.argsort(values, kind="stable")
    return _best_of_sorted(values[order], np.asarray(mated, dtype=np.bool_)[order])


def _best_of_sorted(scores: ScoreArray, mated: BoolArray) -> float:
    first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    mated_before = np.concatenate([[0], np.cumsum(mated)])
    starts = np.append(first, len(scores))
    right = (mated_before[-1] - mated_before[starts]) + (starts - mated_before[starts])
    best = int(np.argmax(right))
    return float(scores[first[best]]) if best < len(first) else float(np.nextafter(scores[-1], np.inf))
