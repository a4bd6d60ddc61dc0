from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from trial_making import comparisons_of, simulated

from mien.errors import BadInput
from mien.evaluation import (
    Comparisons,
    ErrorRates,
    bootstrap,
    bootstrap_many,
    paired_bootstrap,
)
from mien.evaluation.resampling import Resampling

NORMAL = NormalDist()


def fnmr_at_1_percent(rates: ErrorRates) -> float:
    return rates.fnmr_at_fmr(0.01)


def small() -> Comparisons:
    return simulated(1, people=40, samples=2, pairs=400)


def test_the_same_seed_gives_the_same_interval() -> None:
    first = bootstrap(small(), ErrorRates.eer, replicates=40, seed=3)
    assert first == bootstrap(small(), ErrorRates.eer, replicates=40, seed=3)
    assert first != bootstrap(small(), ErrorRates.eer, replicates=40, seed=4)
    assert first.method == "bootstrap-wilson"
    assert ErrorRates.of(small()).eer() in first


def test_the_order_of_the_trials_and_the_names_of_people_do_not_matter() -> None:
    trials = small()
    shuffled = trials.subset(np.random.default_rng(1).permutation(len(trials)))
    renamed = Comparisons(
        trials.scores,
        trials.mated,
        trials.left,
        trials.right,
        trials.left_identities * 7 - 9,
        trials.right_identities * 7 - 9,
    )
    first = bootstrap(trials, ErrorRates.eer, replicates=30)
    for same in (shuffled, renamed):
        assert bootstrap(same, ErrorRates.eer, replicates=30) == first


def test_several_statistics_get_what_each_alone_gets() -> None:
    together = bootstrap_many(
        small(), {"auc": ErrorRates.auc, "threshold": (lambda r: r.threshold_at_fmr(0.1), "real")}, replicates=30
    )
    assert together["auc"] == bootstrap(small(), ErrorRates.auc, replicates=30)
    assert together["threshold"].method == "bootstrap"
    assert ErrorRates.of(small()).threshold_at_fmr(0.1) in together["threshold"]


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    bootstrap(small(), ErrorRates.auc, replicates=5, progress=lambda done, of: told.append((done, of)))
    assert told == [(k, 10) for k in range(1, 11)]


def test_weights_are_how_often_people_were_drawn() -> None:
    left, right = np.array([5, 5, 9, 2]), np.array([5, 9, 2, 5])
    draws = Resampling(left, right)
    assert draws.identities == 3
    random = np.random.default_rng(0)
    ways = {(a, a * b, b * c, c * a) for a in range(4) for b in range(4 - a) for c in [3 - a - b]}
    for _ in range(20):
        assert tuple(draws.of_people(random)) in ways
        couples = draws.of_couples(random)
        assert couples[0] == 1
        assert set(couples[1:]) <= {0, 2}


def test_copies_of_a_person_s_comparisons_do_not_narrow_the_interval() -> None:
    trials = small()
    copies = trials.subset(np.repeat(np.arange(len(trials)), 9))
    once, many = (bootstrap(t, ErrorRates.auc, replicates=300, seed=2) for t in (trials, copies))
    assert many.high - many.low == pytest.approx(once.high - once.low, rel=1e-6)


def test_no_error_seen_still_has_an_interval_of_one_trial_a_person() -> None:
    people = np.arange(50)
    trials = comparisons_of(
        np.append(np.full(50, 9.0), np.zeros(50)),
        np.arange(100) < 50,
        np.tile(people, 2),
        np.append(people, people + 50),
    )
    found = bootstrap(trials, fnmr_at_1_percent, replicates=20)
    assert found.low == 0
    assert found.high == pytest.approx(1.96**2 / (100 + 1.96**2), rel=1e-3)


def test_equal_models_do_not_differ_and_a_worse_one_does() -> None:
    trials = simulated(5, people=60, samples=3, pairs=2000)
    rng = np.random.default_rng(6)
    worse = trials.with_scores(trials.scores + rng.normal(0, 1.2, len(trials)))
    same = paired_bootstrap(trials, trials, ErrorRates.eer, replicates=30)
    assert (same.difference, same.p, same.interval.low, same.interval.high) == (0, 1, 0, 0)
    found = paired_bootstrap(trials, worse, ErrorRates.eer, replicates=200)
    assert found.difference < 0
    assert found.interval.high < 0
    assert found.p < 0.01
    back = paired_bootstrap(worse, trials, ErrorRates.eer, replicates=200)
    assert back.difference == -found.difference
    assert back.p == pytest.approx(found.p)


def test_pairing_takes_what_both_share_out_of_the_interval() -> None:
    trials = simulated(5, people=60, samples=3, pairs=2000)
    shifted = trials.with_scores(trials.scores + np.random.default_rng(1).normal(0, 0.1, len(trials)))
    paired = paired_bootstrap(trials, shifted, ErrorRates.auc, replicates=100).interval
    alone = bootstrap(trials, ErrorRates.auc, replicates=100)
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_other_trials_are_refused() -> None:
    trials = small()
    with pytest.raises(BadInput, match="same trials"):
        paired_bootstrap(trials, trials.subset(slice(1, None)), ErrorRates.eer)
    with pytest.raises(BadInput, match="differ in left"):
        paired_bootstrap(trials, _other_samples(trials), ErrorRates.eer)


def _other_samples(trials: Comparisons) -> Comparisons:
    return Comparisons(
        trials.scores, trials.mated, trials.left + 1, trials.right, trials.left_identities, trials.right_identities
    )


def test_what_cannot_be_resampled_is_refused() -> None:
    one_kind = small().subset(small().mated)
    with pytest.raises(BadInput, match="and 0 non-mated"):
        bootstrap(one_kind, ErrorRates.auc)
    with pytest.raises(BadInput, match=r"within 0\.\.1"):
        bootstrap(small(), lambda r: r.threshold_at_fmr(0.5) - 100, replicates=3)
    with pytest.raises(BadInput, match="at least 2"):
        bootstrap(small(), ErrorRates.auc, replicates=1)
    with pytest.raises(BadInput, match="level"):
        bootstrap(small(), ErrorRates.auc, level=95)
    few = comparisons_of([1.0, 0.0], [1, 0], [0, 1], [0, 2])
    with pytest.raises(BadInput, match="identities enough"):
        bootstrap(few, ErrorRates.auc, replicates=50)
