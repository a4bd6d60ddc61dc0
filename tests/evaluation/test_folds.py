from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_making import comparisons_of

from mien.errors import BadInput
from mien.evaluation import Comparisons, best_threshold, k_fold_accuracy

NAN = float("nan")


def trials(scores: list[float], mated: list[int], folds: list[int] | None) -> Comparisons:
    numbers = np.arange(len(scores))
    return comparisons_of(scores, mated, numbers, np.where(mated, numbers, -1), folds)


def test_toy_folds_of_unequal_size_by_hand() -> None:
    # Fold 1 alone is split best by 5, the lowest of 5 and 8; fold 0 by 7. So fold 0 gets 5 and errs at the 6.
    found = k_fold_accuracy(trials([9, 7, 6, 8, 5, 1, 4], [1, 1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1]))
    assert found.folds.tolist() == [0, 1]
    assert found.thresholds.tolist() == [5, 7]
    assert found.accuracies.tolist() == pytest.approx([2 / 3, 3 / 4])
    assert found.trials.tolist() == [3, 4]
    assert found.mean == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert found.pooled == pytest.approx(5 / 7)
    assert found.standard_error == pytest.approx(abs(3 / 4 - 2 / 3) / 2)


def test_a_failure_is_a_non_match_whatever_the_threshold() -> None:
    with_failures = k_fold_accuracy(trials([9, 1, NAN, NAN, 9, 1, NAN], [1, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]))
    assert with_failures.thresholds.tolist() == [9, 9]
    assert with_failures.accuracies.tolist() == [3 / 4, 1]


def test_scores_outside_of_0_to_1_are_as_good_as_any() -> None:
    rng = np.random.default_rng(1)
    scores, mated, folds = rng.normal(0, 1, 300), rng.integers(0, 2, 300), rng.integers(0, 7, 300)
    plain = k_fold_accuracy(trials(list(scores + 2 * mated), list(mated), list(folds)))
    moved = k_fold_accuracy(trials(list((scores + 2 * mated) * 1e4 - 5e5), list(mated), list(folds)))
    assert moved.accuracies.tolist() == plain.accuracies.tolist()


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 2)), min_size=4, max_size=25))
@settings(deadline=None)
def test_folds_equal_the_slow_way(rows: list[tuple[int, bool, int]]) -> None:
    scores, mated, folds = ([r[k] for r in rows] for k in range(3))
    if len(set(mated)) < 2 or len(set(folds)) < 2:
        return
    found = k_fold_accuracy(trials([float(s) for s in scores], [int(m) for m in mated], folds))
    for k, fold in enumerate(sorted(set(folds))):
        others = [(s, m) for s, m, f in rows if f != fold]
        grid = sorted({s for s, _ in others})
        right = [sum((s >= t) == m for s, m in others) for t in [*grid, 10]]
        threshold = [*map(float, grid), float(np.nextafter(grid[-1], np.inf))][right.index(max(right))]
        here = [(s >= threshold) == m for s, m, f in rows if f == fold]
        assert found.thresholds[k] == threshold
        assert found.accuracies[k] == pytest.approx(sum(here) / len(here))


def test_the_best_threshold_is_the_lowest_of_equals() -> None:
    assert best_threshold(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 3
    assert best_threshold(np.array([1.0, 1.0]), np.array([True, False])) == 1
    assert best_threshold(np.array([1.0, 2.0]), np.array([False, False])) == np.nextafter(2.0, 3)
    for bad in ([], [NAN, 1.0]):
        with pytest.raises(BadInput):
            best_threshold(np.array(bad), np.ones(len(bad), bool))


@pytest.mark.parametrize(
    ("scores", "mated", "folds", "message"),
    [
        ([1.0, 2], [0, 1], None, "without"),
        ([1.0, 2], [0, 1], [3, 3], "at least 2 folds, got 1"),
        ([1.0, 2], [1, 1], [0, 1], "got 2 and 0"),
        ([1.0, NAN], [0, 1], [0, 1], "outside of fold 0"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused(
    scores: list[float], mated: list[int], folds: list[int] | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        k_fold_accuracy(trials(scores, mated, folds))
