from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import BadInput
from mien.evaluation import (
    OpenSetTrials,
    bootstrap_open_set,
    fnir_interval,
    fpir_interval,
    rank_interval,
    threshold_at_fpir_interval,
    tpir_at_fpir_interval,
    wilson,
)

NAN = float("nan")


def searches(**changes: Any) -> OpenSetTrials:
    """Five mated searches, one of them failed, and four non-mated ones, one of them failed, in a gallery of 10."""
    given_: dict[str, Any] = {
        "mated_scores": np.array([90.0, 70, 50, NAN, 40]),
        "mated_ranks": np.array([1, 1, 2, 0, 7]),
        "non_mated_scores": np.array([60.0, 30, NAN, 20]),
        "mated_identities": np.array([1, 1, 2, 3, 4]),
        "non_mated_identities": np.array([8, 9, 8, 9]),
        "gallery_size": 10,
    }
    return OpenSetTrials(**{**given_, **changes})


def test_toy_rates_by_hand() -> None:
    found = searches()
    assert found.fnir(45) == pytest.approx(2 / 5)
    assert found.fnir(45, rank=1) == pytest.approx(3 / 5)
    assert found.fnir(None, rank=2) == pytest.approx(2 / 5)
    assert found.fnir(None) == pytest.approx(1 / 5)
    assert found.fpir(30) == 2 / 4
    assert found.fpir(60.1) == 0


def test_toy_thresholds_by_hand() -> None:
    found = searches()
    assert found.threshold_at_fpir(0.25) == np.nextafter(30, 31)
    assert found.threshold_at_fpir(0.1) == np.nextafter(60, 61)
    assert found.threshold_at_fpir(0.5) == np.nextafter(20, 21)
    # Three of four searches were made, so three of four is all there can be.
    assert found.threshold_at_fpir(0.75) == 20
    assert found.tpir_at_fpir(0.1) == pytest.approx(2 / 5)
    assert found.tpir_at_fpir(0.25) == pytest.approx(2 / 5)
    assert found.tpir_at_fpir(0.25, rank=2) == pytest.approx(3 / 5)
    assert found.tpir_at_fpir(0.25, rank=None) == pytest.approx(4 / 5)


def test_the_match_characteristic_counts_failures_as_misses() -> None:
    assert searches().cmc(8).tolist() == pytest.approx([0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.8, 0.8])
    assert searches().cmc(1).tolist() == pytest.approx([0.4])


def test_the_curve_is_the_rates_at_every_score() -> None:
    found = searches()
    for rank in (1, 2, None):
        fpir, fnir, thresholds = found.curve(rank)
        assert fpir.tolist() == [found.fpir(float(t)) for t in thresholds]
        assert fnir.tolist() == pytest.approx([found.fnir(float(t), rank) for t in thresholds])
        assert (fpir[-1], fnir[-1]) == (0, 1)


def test_trials_of_a_score_matrix() -> None:
    scores = [[0.2, 0.9, 0.5], [0.6, 0.6, 0.1], [0.3, 0.1, 0.2], [NAN, NAN, NAN], [0.4, 0.8, NAN]]
    found = OpenSetTrials.from_scores(scores, probe_identities=[20, 20, 99, 10, 30], gallery_identities=[10, 20, 30])
    assert found.mated_scores[:2].tolist() == [0.9, 0.6]
    # Two identities score 0.6; the one that comes first in the gallery ranks first.
    assert found.mated_ranks.tolist() == [1, 2, 0, 0]
    assert found.non_mated_scores.tolist() == [0.3]
    assert np.isnan(found.mated_scores[2:]).all()
    assert found.gallery_size == 3


def test_a_probe_that_was_not_acquired_raises_no_alarm() -> None:
    found = OpenSetTrials.from_scores([[NAN, NAN], [0.5, 0.7]], probe_identities=[7, 8], gallery_identities=[1, 2])
    assert found.fpir(-5) == 0.5
    assert found.fpir(0.7) == 0.5


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=20),
    st.lists(st.integers(-9, 9), min_size=1, max_size=20),
    st.floats(0, 0.99),
)
@settings(deadline=None)
def test_the_threshold_is_the_lowest_that_keeps_the_rate(
    mated: list[tuple[int, int]], non_mated: list[int], rate: float
) -> None:
    found = OpenSetTrials(
        np.array([s for s, _ in mated], float),
        np.array([r for _, r in mated]),
        np.array(non_mated, float),
        np.arange(len(mated)),
        np.arange(len(non_mated)),
        5,
    )
    threshold = found.threshold_at_fpir(rate)
    assert found.fpir(threshold) <= rate
    assert found.fpir(float(np.nextafter(threshold, -np.inf))) > rate
    assert found.fnir(threshold, 1) >= found.fnir(threshold, 3) >= found.fnir(threshold)
    assert (np.diff(found.cmc(5)) >= 0).all()
    assert found.cmc(5)[-1] == pytest.approx(1)


def test_intervals_draw_people_not_probes() -> None:
    """200 probes of 20 people, each found always or never, are worth 20 trials."""
    found_always = np.arange(20) % 4 != 0
    people = np.repeat(np.arange(20), 10)
    hit = found_always[people]
    trials = OpenSetTrials(np.where(hit, 1.0, -1.0), np.ones(200, int), np.zeros(50), people, np.arange(50), 20)
    told: list[tuple[int, int]] = []

    def fnir(some: OpenSetTrials) -> float:
        return some.fnir(0.5, 1)

    found = bootstrap_open_set(trials, fnir, replicates=400, seed=5, progress=lambda k, n: told.append((k, n)))
    assert 0.25 in found
    assert 0.3 < found.high - found.low < 0.42
    assert told[-1] == (400, 400)
    assert found == bootstrap_open_set(trials, fnir, replicates=400, seed=5)


def test_no_errors_still_have_an_interval() -> None:
    trials = OpenSetTrials(np.ones(30), np.ones(30, int), np.zeros(30), np.arange(30), np.arange(30), 30)
    found = bootstrap_open_set(trials, lambda t: t.tpir_at_fpir(0.1), replicates=20)
    assert found.high == 1
    assert 0.8 < found.low < 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mated_ranks": np.array([1, 1, 2, 3, 7])}, "rank 0 exactly where"),
        ({"mated_ranks": np.array([1, 1, 2, 0, 11])}, r"0\.\.10, got 0\.\.11"),
        ({"mated_ranks": np.array([1, 1])}, "5 whole numbers"),
        ({"non_mated_scores": np.array([1, np.inf, 2, 3])}, "infinity"),
        ({"gallery_size": 0}, "at least 1"),
        ({"mated_identities": np.array([0.5] * 5)}, "whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        searches(**changes)


def test_rates_without_searches_are_refused() -> None:
    none = searches(non_mated_scores=np.array([]), non_mated_identities=np.array([], int))
    with pytest.raises(BadInput, match="non-mated searches, got none"):
        none.fpir(0.5)
    with pytest.raises(BadInput, match="was made, got none of 4"):
        searches(non_mated_scores=np.full(4, NAN)).threshold_at_fpir(0.1)
    with pytest.raises(BadInput, match="at least 1"):
        searches().fnir(1, rank=0)
    with pytest.raises(BadInput, match="distinct"):
        OpenSetTrials.from_scores([[1, 2]], [1], [1, 1])
    with pytest.raises(BadInput, match=r"scores \(p, n\)"):
        OpenSetTrials.from_scores([[1, 2]], [1, 2], [1, 2])


def test_intervals_of_searches_count_people_too() -> None:
    people = np.repeat(np.arange(40), 10)
    found_always = (np.arange(40) % 4 != 0)[people]
    trials = OpenSetTrials(
        np.where(found_always, 1.0, -1.0), np.where(found_always, 1, 2), np.zeros(50), people, np.arange(50) + 40, 40
    )
    for interval in (rank_interval(trials, 1), tpir_at_fpir_interval(trials, 0.1)):
        assert interval.low == pytest.approx(wilson(30, 40).low, abs=0.02)
        assert interval.high == pytest.approx(wilson(30, 40).high, abs=0.02)
    fnir = fnir_interval(trials, 0.5)
    assert 0.25 in fnir
    assert fnir.high == pytest.approx(1 - rank_interval(trials, 1).low)
    assert rank_interval(trials, 2).high == 1
    assert fpir_interval(trials, 0.5).low == 0
    with pytest.raises(BadInput, match="rank 1, got 0"):
        rank_interval(trials, 0)
    with pytest.raises(BadInput, match="at least 1"):
        tpir_at_fpir_interval(trials, 0.1, rank=0)


def test_a_threshold_at_an_fpir_has_an_interval_that_counts_failed_searches() -> None:
    scores = np.arange(400.0)
    made = OpenSetTrials(np.ones(3), np.ones(3, int), scores, np.arange(3), np.arange(400), 5)
    found = threshold_at_fpir_interval(made, 0.1)
    assert made.threshold_at_fpir(0.1) in found
    assert 340 < found.low < 355
    assert 365 < found.high < 380
    half = np.where(scores < 200, NAN, scores)
    same = OpenSetTrials(np.ones(3), np.ones(3, int), half, np.arange(3), np.arange(400), 5)
    assert threshold_at_fpir_interval(same, 0.1) == found
    assert threshold_at_fpir_interval(same, 0.9).low == 200
    with pytest.raises(BadInput, match="got none of 400"):
        threshold_at_fpir_interval(
            OpenSetTrials(np.ones(3), np.ones(3, int), np.full(400, NAN), np.arange(3), np.arange(400), 5), 0.1
        )
