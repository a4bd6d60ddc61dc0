from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from trial_making import comparisons_of

from mien.errors import BadInput
from mien.evaluation import Comparisons, differentials

NAN = float("nan")


def two_groups(rates: tuple[float, ...] = (0.02, 0.04), people: int = 60, seed: int = 1) -> Comparisons:
    """Groups whose FMR at 0 is as given and whose FNMR is 0.1, with 4,000 non-mated and ``people`` * 5 mated each."""
    rng = np.random.default_rng(seed)
    parts: list[list[NDArray[np.float64]]] = []
    for group, rate in enumerate(rates):
        left = rng.integers(0, people, 4000)
        right = (left + rng.integers(1, people, 4000)) % people
        mated = np.repeat(np.arange(people), 5)
        scores = np.append(
            np.where(rng.random(4000) < rate, 1.0, -1.0), np.where(rng.random(len(mated)) < 0.1, -1.0, 1.0)
        )
        same = np.append(np.zeros(4000), np.ones(len(mated)))
        who = [np.append(end, mated).astype(np.float64) + 1000 * group for end in (left, right)]
        parts.append([scores, same, *who, np.full(len(scores), group, np.float64)])
    scores, same, a, b, groups = (np.concatenate([p[k] for p in parts]) for k in range(5))
    whole = [v.astype(np.int64) for v in (a, b, groups)]
    return comparisons_of(scores, same, whole[0], whole[1], None, whole[2], whole[2])


def test_toy_groups_by_hand() -> None:
    trials = comparisons_of(
        scores=[1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, NAN, 1],
        mated=[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
        left_people=[1, 1, 2, 2, 7, 7, 1, 1, 7, 7, 1, 1, 9],
        right_people=[2, 3, 3, 3, 8, 9, 1, 1, 7, 7, 7, 8, 1],
        left_groups=[0, 0, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3],
        right_groups=[0, 0, 0, 0, 3, 3, 0, 0, 3, 3, 3, 3, -1],
    )
    found = differentials(trials, 0.5, names=["a", "b", "c", "d"])
    assert found.names == ("a", "d")
    assert found.numbers.tolist() == [0, 3]
    assert [g.rate for g in found.fmr] == [1 / 4, 1]
    assert [g.rate for g in found.fnmr] == [1 / 2, 1 / 2]
    assert [(g.errors, g.comparisons, g.people) for g in found.fmr] == [(1, 4, 3), (2, 2, 3)]
    assert found.cross_fmr.tolist() == [[1 / 4, 0], [0, 1]]
    assert found.cross_non_mated.tolist() == [[4, 1], [1, 2]]
    assert np.isnan(found.cross_fnmr[0, 1])
    assert found.fmr_max_min.value == pytest.approx(4)
    assert found.fmr_max_mean.value == pytest.approx(1 / math.sqrt(1 / 4))
    assert (found.fnmr_max_min.value, found.fnmr_max_mean.value) == (1, 1)
    assert found.fdr.value == pytest.approx(1 - 0.5 * 3 / 4)
    assert found.left_out == 1
    assert "1 errors, fewer than 30; 3 people, fewer than 30" in str(found.fmr[0].remark)


def test_intervals_hold_what_is_true() -> None:
    found = differentials(two_groups(), 0.0)
    for group, true in zip(found.fmr, (0.02, 0.04), strict=True):
        assert group.interval is not None
        assert true in group.interval
        assert group.remark is None
    assert found.fmr_max_min.interval is not None
    assert 2 in found.fmr_max_min.interval
    assert 1 not in found.fmr_max_min.interval
    of_fmr = differentials(two_groups(), 0.0, alpha=1).fdr
    assert of_fmr.interval is not None
    assert of_fmr.value in of_fmr.interval
    # The difference of two independent shares of 4,000 has a standard error of 0.0039.
    assert of_fmr.interval.high - of_fmr.interval.low == pytest.approx(2 * 1.96 * 0.0039, rel=0.3)


def test_a_group_without_errors_makes_the_ratio_infinite() -> None:
    found = differentials(two_groups((0.0, 0.04)), 0.0)
    assert found.fmr_max_min.value == math.inf
    assert found.fmr_max_min.interval is None
    assert found.fmr[0].interval is not None
    assert found.fmr[0].interval.high > 0
    alike = differentials(two_groups((0.0, 0.0)), 0.0).fmr_max_min
    assert alike.value == 1
    assert alike.interval is not None
    assert (alike.interval.low, alike.interval.high) == (1, math.inf)


def test_ratios_of_groups_alike_in_truth_hold_1() -> None:
    """The highest of three over the lowest is well above 1 by chance; that it is so is allowed for."""
    held = 0
    for seed in range(60):
        found = differentials(two_groups((0.03, 0.03, 0.03), seed=seed), 0.0)
        assert found.fmr_max_min.interval is not None
        assert found.fmr_max_min.value in found.fmr_max_min.interval
        held += 1 in found.fmr_max_min.interval
        assert found.fdr.interval is not None
        assert found.fdr.value in found.fdr.interval
    assert 53 <= held <= 60


def test_one_group_has_rates_but_no_differential() -> None:
    found = differentials(two_groups((0.02,)), 0.0)
    assert len(found.fmr) == 1
    assert math.isnan(found.fmr_max_min.value)
    assert math.isnan(found.fdr.value)
    assert found.fdr.interval is None


def test_a_person_in_two_groups_has_a_cross_rate() -> None:
    trials = comparisons_of([1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 2], None, [0, 0, 1, 0], [0, 1, 0, 1])
    found = differentials(trials, 0.5)
    assert found.cross_fnmr[0, 1] == found.cross_fnmr[1, 0] == 0.5
    assert found.cross_mated.tolist() == [[1, 2], [2, 0]]
    assert math.isnan(found.fnmr[1].rate)
    assert found.fnmr[1].remark == "no comparisons"


def test_what_has_no_groups_is_refused() -> None:
    with pytest.raises(BadInput, match="without"):
        differentials(comparisons_of([1], [1], [1], [1]), 0.5)
    with pytest.raises(BadInput, match="known groups"):
        differentials(comparisons_of([1], [1], [1], [1], None, [-1], [0]), 0.5)
    with pytest.raises(BadInput, match=r"groups 0\.\.1, got 1"):
        differentials(two_groups(), 0.5, names=["a"])
    with pytest.raises(BadInput, match=r"0\.\.1"):
        differentials(two_groups(), 0.5, alpha=2)
