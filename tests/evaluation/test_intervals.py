from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_making import comparisons_of, simulated

from mien.errors import BadInput
from mien.evaluation import (
    ErrorRates,
    auc_interval,
    bootstrap,
    clustered_interval,
    eer_interval,
    fmr_interval,
    fnmr_interval,
    threshold_interval,
    tmr_at_fmr_interval,
    wilson,
)
from mien.evaluation.clustering import Clustering, correlation
from mien.evaluation.intervals import student_quantile


def test_wilson_is_the_published_formula() -> None:
    # 7 of 50 at 95 %, a textbook case: 0.0695 to 0.2619.
    found = wilson(7, 50)
    assert found.low == pytest.approx(0.0695, abs=1e-4)
    assert found.high == pytest.approx(0.2619, abs=1e-4)
    assert 0.14 in found
    assert 0.3 not in found


def test_wilson_without_errors_has_a_width() -> None:
    assert wilson(0, 100).low == 0
    assert wilson(0, 100).high == pytest.approx(1.959964**2 / (100 + 1.959964**2), rel=1e-6)
    assert wilson(100, 100).high == 1
    assert wilson(100, 100).low == pytest.approx(1 - wilson(0, 100).high)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_holds_the_rate_within_0_and_1(trials: int, share: float, level: float) -> None:
    errors = share * trials
    found = wilson(errors, trials, level)
    assert 0 <= found.low <= errors / trials + 1e-12
    assert errors / trials - 1e-12 <= found.high <= 1
    wider = wilson(errors, trials, (1 + level) / 2)
    assert wider.low <= found.low + 1e-12
    assert wider.high >= found.high - 1e-12


@pytest.mark.parametrize(
    ("errors", "trials", "level"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0)]
)
def test_wilson_refuses_what_is_no_proportion(errors: float, trials: float, level: float) -> None:
    with pytest.raises(BadInput):
        wilson(errors, trials, level)


def test_comparisons_that_share_nobody_are_independent() -> None:
    people = np.arange(1000)
    errors = people % 10 == 0
    for right in (people, people + 1000):
        found = clustered_interval(errors, people, right)
        assert found.method == "clustered-wilson"
        assert found.low == pytest.approx(wilson(100, 1000).low, rel=2e-3)
        assert found.high == pytest.approx(wilson(100, 1000).high, rel=2e-3)


def test_copies_of_a_comparison_add_nothing() -> None:
    rng = np.random.default_rng(2)
    people, errors = np.arange(400), rng.random(400) < 0.2
    once = clustered_interval(errors, people, people)
    copied = clustered_interval(np.repeat(errors, 25), np.repeat(people, 25), np.repeat(people, 25))
    assert copied.low == pytest.approx(once.low)
    assert copied.high == pytest.approx(once.high)


def test_the_variance_is_that_of_every_couple_of_comparisons_that_share_someone() -> None:
    rng = np.random.default_rng(3)
    left = rng.integers(0, 12, 80)
    right = (left + rng.integers(1, 12, 80)) % 12
    errors = rng.random(12)[left] + rng.random(12)[right] > 1.1
    off = errors - errors.mean()
    shares = (left[:, None] == left) | (left[:, None] == right) | (right[:, None] == left) | (right[:, None] == right)
    variance = float(off @ shares @ off) / 80**2 * 12 * 11 / 10**2
    clustering = Clustering.of(errors, left, right)
    assert clustering.effect == pytest.approx(variance / (errors.mean() * (1 - errors.mean()) / 80))
    assert 3 < clustering.freedom < 100
    worth = 80 / clustering.effect
    expected = wilson(errors.mean() * worth, worth, freedom=clustering.freedom)
    found = clustered_interval(errors, left, right)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


def test_the_quantiles_are_those_of_student_s_tables() -> None:
    for freedom, expected in ((2, 4.303), (5, 2.571), (12, 2.179), (60, 2.000), (math.inf, 1.960)):
        assert student_quantile(0.95, freedom) == pytest.approx(expected, rel=0.04 if freedom == 2 else 2e-3)
    assert wilson(7, 50, freedom=9).high > wilson(7, 50).high


def test_rarer_errors_cluster_less_and_what_is_known_of_it_grows_surer() -> None:
    common = Clustering(effect=5.0, error=1.0)
    rare = common.at(0.25)
    assert (rare.effect, rare.error) == (3.0, 0.5)
    assert rare.freedom > common.freedom
    assert common.at(0).effect == 1
    assert common.at(7) == common


def test_sums_over_the_same_people_go_together() -> None:
    people, signs = np.arange(50), np.where(np.arange(50) % 2, 1.0, -1.0)
    pairs = (people, people)
    assert correlation(signs, pairs, signs, pairs) == pytest.approx(1, abs=0.03)
    assert correlation(signs, pairs, -signs, pairs) == pytest.approx(-1, abs=0.03)
    assert correlation(signs, pairs, signs, (people + 50, people + 50)) == 0
    assert correlation(signs, pairs, np.zeros(50), pairs) == 0


def test_rates_at_a_threshold_leave_the_other_kind_and_failures_out() -> None:
    scores = np.array([0.9, 0.2, np.nan, 0.8, 0.1, 0.05, np.nan])
    trials = comparisons_of(scores, [1, 1, 1, 0, 0, 0, 0], np.arange(7), [0, 1, 2, 9, 9, 8, 8])
    assert 1 / 3 in fmr_interval(trials, 0.5)
    assert 1 / 2 in fnmr_interval(trials, 0.5)
    assert fnmr_interval(trials, 0.2).low == 0
    assert fnmr_interval(trials, 0.2).high < 1
    assert fmr_interval(trials, 0.8).low > 0
    assert fmr_interval(trials, float(np.nextafter(0.8, 1))).low == 0


def test_without_an_error_people_who_cluster_are_worth_fewer_trials() -> None:
    """40 people of 50 comparisons each that are alike: no error in 2,000 comparisons is no error of 40 people."""
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(40), 50)
    scores = rng.normal(0, 1, 40)[people] + rng.normal(0, 1e-3, 2000)
    trials = comparisons_of(scores, np.ones(2000), people, people)
    assert fnmr_interval(trials, -10).high > 2 * wilson(0, 2000).high


def test_no_comparisons_of_a_kind_are_refused() -> None:
    trials = comparisons_of([0.5, np.nan], [1, 0], [0, 0], [0, 1])
    assert fnmr_interval(trials, 0.1).low == 0
    with pytest.raises(BadInput, match="got none"):
        fmr_interval(trials, 0.1)
    with pytest.raises(BadInput, match="one shape"):
        clustered_interval(np.zeros(2, bool), np.zeros(3, np.int64), np.zeros(2, np.int64))


def test_a_threshold_s_interval_is_read_off_the_rates_backwards() -> None:
    scores = np.arange(1000) / 10 - 50
    trials = comparisons_of(scores, np.zeros(1000), np.arange(1000), np.arange(1000) + 1000)
    found = threshold_interval(trials, 0.1)
    half = 1.96 * math.sqrt(0.1 * 0.9 / 1000)
    assert found.low == pytest.approx(-50 + 100 * (1 - 0.1 - half), abs=0.3)
    assert found.high == pytest.approx(-50 + 100 * (1 - 0.1 + half), abs=0.3)
    assert found.method == "clustered-wilson"
    with pytest.raises(BadInput):
        threshold_interval(trials.subset(slice(0, 0)), 0.1)


def test_a_threshold_that_none_may_pass_is_not_bounded() -> None:
    """Of 1,000 comparisons none may pass at a rate of 0.003, of which 3 are expected, but not at one of 0.01."""
    scores = np.arange(1000.0)
    trials = comparisons_of(scores, np.zeros(1000), np.arange(1000), np.arange(1000) + 1000)
    assert threshold_interval(trials, 0.003).high == math.inf
    assert threshold_interval(trials, 0.003).low < 997
    assert 990 <= threshold_interval(trials, 0.01).high < 1000
    assert threshold_interval(trials, 0).high == math.inf


def test_tmr_at_an_fmr_is_as_uncertain_as_the_rate_and_the_threshold() -> None:
    trials = simulated(3, people=400, samples=2, pairs=4000)
    rates = ErrorRates.of(trials)
    found = tmr_at_fmr_interval(trials, 0.01)
    at_point = fnmr_interval(trials, rates.threshold_at_fmr(0.01))
    assert rates.tmr_at_fmr(0.01) in found
    assert found.method == "combined"
    assert found.high - found.low > 1.2 * (at_point.high - at_point.low)
    more = simulated(3, people=400, samples=2, pairs=40_000)
    assert found.high - found.low > tmr_at_fmr_interval(more, 0.01).high - tmr_at_fmr_interval(more, 0.01).low
    # Of 4,000 comparisons 0.4 are expected to match: the threshold may be anywhere above.
    assert tmr_at_fmr_interval(trials, 1e-4).low == 0


def test_eer_and_auc_have_the_bootstrap_s_intervals_without_its_replicates() -> None:
    trials = simulated(4, people=150, samples=3, pairs=3000)
    for interval, statistic in ((eer_interval, ErrorRates.eer), (auc_interval, ErrorRates.auc)):
        found, drawn = interval(trials), bootstrap(trials, statistic, replicates=400)
        assert statistic(ErrorRates.of(trials)) in found
        assert found.high - found.low == pytest.approx(drawn.high - drawn.low, rel=0.2)
        copies = interval(trials.subset(np.repeat(np.arange(len(trials)), 5)))
        assert copies.high - copies.low == pytest.approx(found.high - found.low, rel=0.02)


def test_kinds_wholly_apart_count_each_person_as_one_trial() -> None:
    people = np.arange(50)
    trials = comparisons_of(
        np.append(np.full(50, 9.0), np.zeros(50)),
        np.arange(100) < 50,
        np.tile(people, 2),
        np.append(people, people + 50),
    )
    assert eer_interval(trials).high == pytest.approx(wilson(0, 100).high)
    assert auc_interval(trials).low == pytest.approx(wilson(100, 100).low)
    with pytest.raises(BadInput, match="0 non-mated"):
        auc_interval(trials.subset(slice(0, 50)))
