from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.evaluation import ErrorRates, support, transaction_rates

Scores = NDArray[np.float64]
MATED = [0.5, 0.7, 0.8, 0.9]
NON_MATED = [0.1, 0.2, 0.3, 0.6, 0.7]
few_scores = st.lists(st.integers(-6, 6).map(lambda v: v * 2.5), min_size=1, max_size=30)


def random_scores(seed: int, decimals: int | None = None) -> tuple[Scores, Scores]:
    """Overlapping scores far outside 0..1, with ties where rounded."""
    rng = np.random.default_rng(seed)
    mated, non_mated = rng.normal(40, 30, 700), rng.normal(-50, 30, 2300)
    return (mated, non_mated) if decimals is None else (mated.round(decimals), non_mated.round(decimals))


def test_toy_rates_by_hand() -> None:
    rates = ErrorRates(MATED, NON_MATED)
    assert rates.fmr(0.6) == 2 / 5
    assert rates.fnmr(0.7) == 1 / 4
    assert rates.fmr(np.array([0.0, 0.65, 2.0])).tolist() == [1.0, 1 / 5, 0.0]
    assert (rates.mated, rates.non_mated) == (4, 5)


def test_toy_thresholds_by_hand() -> None:
    rates = ErrorRates(MATED, NON_MATED)
    assert rates.threshold_at_fmr(0.2) == np.nextafter(0.6, 1)
    assert rates.threshold_at_fmr(0.39) == np.nextafter(0.6, 1)
    assert rates.threshold_at_fmr(1e-6) == np.nextafter(0.7, 1)
    assert rates.threshold_at_fmr(0) == np.nextafter(0.7, 1)
    assert rates.threshold_at_fmr(1) == 0.1
    assert rates.fnmr_at_fmr(0.2) == 1 / 4
    assert rates.tmr_at_fmr(0) == 2 / 4


def test_tied_non_mated_scores_match_together() -> None:
    rates = ErrorRates([0.5], [0.1, 0.4, 0.4, 0.4])
    assert rates.threshold_at_fmr(0.5) == np.nextafter(0.4, 1)
    assert rates.threshold_at_fmr(0.75) == np.nextafter(0.1, 1)


def test_toy_auc_and_eer_by_hand() -> None:
    # Of 20 couples the mated score is higher in 17 (0.5: 3, 0.7: 4, 0.8: 5, 0.9: 5) and equal in one.
    rates = ErrorRates(MATED, NON_MATED)
    assert rates.auc() == pytest.approx(17.5 / 20)
    # At 0.7 FMR 1/5 and FNMR 1/4; at 0.6 2/5 and 1/4; the line between them meets FMR = FNMR at 1/4.
    assert rates.eer() == pytest.approx(1 / 4)
    assert rates.eer_threshold() == 0.7


def test_perfect_and_inverted_scores() -> None:
    perfect = ErrorRates([1e6, 2e6], [-5e6, -4e6])
    assert (perfect.eer(), perfect.auc(), perfect.tmr_at_fmr(0)) == (0, 1, 1)
    inverted = ErrorRates([-2, -1], [1, 2])
    assert (inverted.eer(), inverted.auc(), inverted.tmr_at_fmr(0)) == (1, 0, 0)
    constant = ErrorRates([3, 3], [3, 3, 3])
    assert (constant.eer(), constant.auc(), constant.fmr(3), constant.fnmr(3)) == (0.5, 0.5, 1, 0)


@pytest.mark.parametrize("decimals", [None, -1])
def test_curves_equal_those_of_scikit_learn(decimals: int | None) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    mated, non_mated = random_scores(1, decimals)
    truth, scores = np.repeat([1, 0], [len(mated), len(non_mated)]), np.concatenate([mated, non_mated])
    rates = ErrorRates(mated, non_mated)
    fmr, fnmr, thresholds = rates.det()

    false, true, limits = metrics.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(fmr[::-1], false, atol=1e-12)
    np.testing.assert_allclose(1 - fnmr[::-1], true, atol=1e-12)
    np.testing.assert_array_equal(thresholds[-2::-1], limits[1:])
    assert rates.auc() == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    assert rates.auc() == pytest.approx(metrics.auc(false, true), abs=1e-12)

    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    mine = rates.pr()
    np.testing.assert_allclose(mine[0], precision, atol=1e-12)
    np.testing.assert_allclose(mine[1], recall, atol=1e-12)

    # The same equal error rate from scikit-learn's curve: where the ROC crosses the other diagonal.
    crossing = np.interp(0, true + false - 1, false)
    assert rates.eer() == pytest.approx(crossing, abs=1e-12)


@pytest.mark.parametrize("decimals", [None, -1])
def test_rates_equal_those_of_pyeer(decimals: int | None) -> None:
    pyeer = pytest.importorskip("pyeer.eer_stats")
    mated, non_mated = random_scores(2, decimals)
    rates = ErrorRates(mated, non_mated)
    thresholds, fmr, fnmr = pyeer.calculate_roc(mated, non_mated)
    np.testing.assert_allclose(rates.fmr(thresholds), fmr, atol=1e-12)
    np.testing.assert_allclose(rates.fnmr(thresholds), fnmr, atol=1e-12)
    # pyeer's EER is the middle between FMR and FNMR at one threshold; the crossing of the line lies between the two.
    _, low, high, _ = pyeer.get_eer_values(fmr, fnmr)
    assert min(low, high) - 1e-12 <= rates.eer() <= max(low, high) + 1e-12


def test_weights_count_a_comparison_so_many_times() -> None:
    rng = np.random.default_rng(4)
    mated, non_mated = random_scores(5, -1)
    once, twice = rng.integers(0, 4, len(mated)), rng.integers(0, 4, len(non_mated))
    weighted = ErrorRates(mated, non_mated, once, twice)
    repeated = ErrorRates(np.repeat(mated, once), np.repeat(non_mated, twice))
    grid = np.linspace(-200, 200, 81)
    np.testing.assert_allclose(weighted.fmr(grid), repeated.fmr(grid))
    np.testing.assert_allclose(weighted.fnmr(grid), repeated.fnmr(grid))
    assert weighted.auc() == pytest.approx(repeated.auc())
    assert weighted.eer() == pytest.approx(repeated.eer())
    for rate in (0.3, 0.01, 1e-3, 1e-5):
        assert weighted.fnmr_at_fmr(rate) == pytest.approx(repeated.fnmr_at_fmr(rate))


@given(few_scores, few_scores)
@settings(max_examples=200, deadline=None)
def test_rates_are_counts_and_thresholds_the_lowest(mated: list[float], non_mated: list[float]) -> None:
    rates = ErrorRates(mated, non_mated)
    fmr, fnmr, thresholds = rates.det()
    for k, threshold in enumerate(thresholds):
        assert fmr[k] == sum(s >= threshold for s in non_mated) / len(non_mated)
        assert fnmr[k] == sum(s < threshold for s in mated) / len(mated)
    assert (np.diff(fmr) <= 0).all()
    assert (np.diff(fnmr) >= 0).all()
    assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (1, 0, 0, 1)
    assert 0 <= rates.eer() <= 1
    for rate in (0, 0.1, 0.25, 1 / 3, 0.5, 0.9):
        threshold = rates.threshold_at_fmr(rate)
        assert rates.fmr(threshold) <= rate
        assert rates.fmr(float(np.nextafter(threshold, -np.inf))) > rate


@given(few_scores, few_scores, st.floats(0.01, 50), st.floats(-100, 100))
@settings(deadline=None)
def test_scale_and_shift_change_no_rate(mated: list[float], non_mated: list[float], scale: float, by: float) -> None:
    before = ErrorRates(mated, non_mated)
    after = ErrorRates(np.array(mated) * scale + by, np.array(non_mated) * scale + by)
    assert after.eer() == pytest.approx(before.eer())
    assert after.auc() == pytest.approx(before.auc())
    assert after.tmr_at_fmr(0.1) == before.tmr_at_fmr(0.1)


@given(few_scores, few_scores)
@settings(deadline=None)
def test_auc_and_eer_are_the_others_when_kinds_change_places(mated: list[float], non_mated: list[float]) -> None:
    rates, swapped = ErrorRates(mated, non_mated), ErrorRates(-np.array(non_mated), -np.array(mated))
    assert swapped.auc() == pytest.approx(rates.auc())
    assert swapped.eer() == pytest.approx(rates.eer())


@pytest.mark.parametrize(
    ("mated", "non_mated", "message"),
    [
        ([], [0.1], "0 mated of weight 0 and 1 non-mated"),
        ([0.1], [], "1 mated of weight 1 and 0 non-mated"),
        ([], [], "expected mated and non-mated"),
        ([0.1, math.nan], [0.2], "NaN or infinity in 1 of 2"),
        ([0.1], [math.inf], "NaN or infinity"),
        ([[0.1]], [0.2], r"shape \(n,\)"),
    ],
)
def test_scores_of_one_kind_or_not_finite_are_refused(mated: list[float], non_mated: list[float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ErrorRates(mated, non_mated)


def test_bad_weights_and_rates_are_refused() -> None:
    with pytest.raises(BadInput, match="0 or more"):
        ErrorRates([1], [0], [-1], [1])
    with pytest.raises(BadInput, match="of weight 0"):
        ErrorRates([1], [0], [1], [0])
    for rate in (-0.1, 1.5, math.nan):
        with pytest.raises(BadInput, match=r"0\.\.1"):
            ErrorRates([1], [0]).threshold_at_fmr(rate)


def test_how_many_trials_support_a_rate() -> None:
    assert support(1e-3, 30_000) == "rule_of_30"
    assert support(3e-4, 100_000) == "rule_of_30"
    assert support(1e-3, 29_999) == "rule_of_3"
    assert support(1e-3, 3000) == "rule_of_3"
    assert support(1e-3, 2999) == "unsupported"
    assert support(0, 10**9) == "unsupported"
    assert ErrorRates([1], np.zeros(300)).supported(0.1) == "rule_of_30"
    with pytest.raises(BadInput):
        support(2, 10)


def test_failures_count_in_transactions() -> None:
    far, frr = transaction_rates(0.01, 0.05, 0.2)
    assert far == pytest.approx(0.008)
    assert frr == pytest.approx(0.24)
    far, frr = transaction_rates(0.01, 0.05, 0.2, 0.5)
    assert far == pytest.approx(0.005)
    assert frr == pytest.approx(0.24)
    with pytest.raises(BadInput):
        transaction_rates(0.01, 1.05, 0.2)
