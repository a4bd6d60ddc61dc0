"""Whether intervals hold the truth as often as they say, on simulated sets whose true rates are known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from trial_making import SEPARATION, simulated

from mien.evaluation import (
    ErrorRates,
    Interval,
    OpenSetTrials,
    auc_interval,
    eer_interval,
    fmr_interval,
    fnmr_interval,
    paired_bootstrap,
    rank_interval,
    threshold_at_fpir_interval,
    threshold_interval,
    tmr_at_fmr_interval,
    tpir_at_fpir_interval,
)

NORMAL = NormalDist()
ROUNDS = 120

# Fewer of 120 intervals that cover 95 % hold the truth once in 10,000 sets of them.
FEWEST = 104


@pytest.mark.slow
@pytest.mark.parametrize(("people", "samples", "pairs"), [(200, 3, 6000), (1500, 2, 3000)], ids=["dense", "sparse"])
def test_intervals_of_comparisons(people: int, samples: int, pairs: int) -> None:
    """Were pairs taken as independent, the dense set's FMR would be covered half of the time."""
    limit = {rate: NORMAL.inv_cdf(1 - rate) for rate in (0.1, 0.01, 0.001)}
    covered: dict[str, int] = {}
    for seed in range(ROUNDS):
        trials = simulated(seed, people, samples, pairs)
        found: dict[str, tuple[float, Interval]] = {
            "eer": (NORMAL.cdf(-SEPARATION / 2), eer_interval(trials)),
            "auc": (NORMAL.cdf(SEPARATION / 2**0.5), auc_interval(trials)),
            "fnmr": (0.05, fnmr_interval(trials, SEPARATION + NORMAL.inv_cdf(0.05))),
        }
        for rate, threshold in limit.items():
            found[f"fmr {rate}"] = rate, fmr_interval(trials, threshold)
            found[f"threshold {rate}"] = threshold, threshold_interval(trials, rate)
            found[f"tmr at {rate}"] = NORMAL.cdf(SEPARATION - threshold), tmr_at_fmr_interval(trials, rate)
        _count(covered, found)
    _check(covered)


def test_intervals_of_searches() -> None:
    def searches(seed: int, people: int) -> OpenSetTrials:
        random = np.random.default_rng(seed)
        mated, others = np.repeat(np.arange(people), 4), np.repeat(np.arange(people), 4)
        rest = np.sqrt(0.7)
        own = 3 + random.normal(0, np.sqrt(0.3), people)[mated] + random.normal(0, rest, len(mated))
        best = random.normal(0, np.sqrt(0.3), people)[others] + random.normal(0, rest, len(others))
        ranks = np.where(own > 1.5, 1, 2)
        return OpenSetTrials(own, ranks, best, mated, others + people, people)

    truth = {rate: NORMAL.inv_cdf(1 - rate) for rate in (0.1, 0.01)}
    covered: dict[str, int] = {}
    for seed in range(ROUNDS):
        trials = searches(seed, 150)
        found = {"rank": (NORMAL.cdf(1.5), rank_interval(trials, 1))}
        for rate, threshold in truth.items():
            found[f"threshold {rate}"] = threshold, threshold_at_fpir_interval(trials, rate)
            hits = NORMAL.cdf(3 - max(threshold, 1.5))
            found[f"tpir {rate}"] = hits, tpir_at_fpir_interval(trials, rate)
        _count(covered, found)
    _check(covered)


@pytest.mark.slow
def test_equal_models_differ_by_chance_as_seldom_as_p_says() -> None:
    decided = held = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        trials = simulated(seed, 100, 3, 1500)
        first, second = (trials.with_scores(trials.scores + random.normal(0, 0.6, len(trials))) for _ in range(2))
        found = paired_bootstrap(first, second, ErrorRates.eer, replicates=60, seed=seed)
        decided += found.p < 0.05
        held += 0 in found.interval
    assert held == 40 - decided
    assert decided <= 7


def _count(covered: dict[str, int], found: dict[str, tuple[float, Interval]]) -> None:
    for name, (truth, interval) in found.items():
        covered[name] = covered.get(name, 0) + (truth in interval)


def _check(covered: dict[str, int]) -> None:
    assert {name: count for name, count in covered.items() if count < FEWEST} == {}
    assert np.mean(list(covered.values())) / ROUNDS == pytest.approx(0.957, abs=0.02)
