from __future__ import annotations

import math

import numpy as np
import pytest
from trial_making import comparisons_of, simulated

from mien.errors import BadInput
from mien.evaluation import Comparisons, k_fold_accuracy
from mien.evaluation.paired_folds import PairedFolds, compare_folds, t_quantile, two_sided_p

# Two-sided 95 % and 99 % points from the printed tables of Student's distribution.
TABLE = {1: (12.7062, 63.6567), 2: (4.3027, 9.9248), 5: (2.5706, 4.0321), 9: (2.2622, 3.2498), 30: (2.0423, 2.7500)}


@pytest.mark.parametrize("freedom", TABLE)
def test_students_distribution_is_that_of_the_tables(freedom: int) -> None:
    for level, value in zip((0.95, 0.99), TABLE[freedom], strict=True):
        assert t_quantile(level, freedom) == pytest.approx(value, abs=6e-5)
        assert two_sided_p(value, freedom) == pytest.approx(1 - level, abs=1e-5)
        assert two_sided_p(-value, freedom) == two_sided_p(value, freedom)
    assert two_sided_p(0, freedom) == 1


@pytest.mark.parametrize("freedom", range(1, 12))
def test_students_distribution_is_scipys(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for t in (0.01, 0.5, 1.0, 3.0, 20.0):
        assert two_sided_p(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-6, abs=1e-12)


def test_by_hand() -> None:
    found = PairedFolds(np.arange(3), np.array([0.9, 0.8, 1.0]), np.array([0.8, 0.8, 0.8]))
    assert found.mean == pytest.approx(0.1)
    assert found.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert found.p == pytest.approx(1 - math.sqrt(3) / math.sqrt(5))
    interval = found.interval()
    assert (interval.low, interval.high) == pytest.approx((0.1 - 4.3027 * 0.057735, 0.1 + 4.3027 * 0.057735), abs=1e-4)
    same = PairedFolds(np.arange(3), np.full(3, 0.9), np.full(3, 0.9))
    assert (same.p, same.mean, same.standard_error) == (1, 0, 0)
    assert PairedFolds(np.arange(3), np.full(3, 0.75), np.full(3, 0.5)).p == 0


def test_each_run_is_decided_as_on_its_own() -> None:
    trials = simulated(1, 200, 2, 200)
    a = Comparisons(
        trials.scores, trials.mated, trials.left, trials.right, trials.left_identities, trials.right_identities,
        np.arange(len(trials)) % 10,
    )  # fmt: skip
    b = a.with_scores(np.where(np.arange(len(a)) % 7 == 0, np.nan, a.scores))
    found = compare_folds(a, b)
    np.testing.assert_array_equal(found.a, k_fold_accuracy(a).accuracies)
    np.testing.assert_array_equal(found.b, k_fold_accuracy(b).accuracies)
    assert found.mean == pytest.approx(k_fold_accuracy(a).mean - k_fold_accuracy(b).mean)
    assert found.p < 0.01


def test_other_folds_are_refused() -> None:
    a = comparisons_of([1, 2, 3, 4], [1, 0, 1, 0], [0, 1, 2, 3], [0, 2, 2, 4], [0, 0, 1, 1])
    b = comparisons_of([1, 2, 3, 4], [1, 0, 1, 0], [0, 1, 2, 3], [0, 2, 2, 4], [1, 1, 0, 0])
    for other in (b, comparisons_of([1, 2, 3, 4], [1, 0, 1, 0], [0, 1, 2, 3], [0, 2, 2, 4])):
        with pytest.raises(BadInput, match="same folds"):
            compare_folds(a, other)
