from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import BadInput, MissingExtra
from mien.matching.calibration import Calibration
from mien.matching.calibration_fit import cllr, fit_calibration, hold_out, least_cllr, reliability
from mien.matching.calibration_pairs import BIN_CENTERS, ListedPairs, PairCounts, TemplatePairs
from mien.matching.calibration_thresholds import fmr_interval, threshold_curve
from mien.types import Templates

SPACE = "toy@00000000"
MATED, NON_MATED, SPREAD = 0.5, 0.1, 0.1


def gaussian(pairs: int = 60_000, people: int = 400, seed: int = 0) -> ListedPairs:
    """Mated scores N(0.5, 0.1), others N(0.1, 0.1): the log-likelihood ratio is 40 (score - 0.3)."""
    random = np.random.default_rng(seed)
    mated = np.arange(pairs) % 4 == 0
    scores = np.clip(random.normal(np.where(mated, MATED, NON_MATED), SPREAD), -1, 1)
    left = random.integers(people, size=pairs)
    right = np.where(mated, left, (left + random.integers(1, people, size=pairs)) % people)
    return ListedPairs(scores, mated, left, right, images=2 * people)


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return fit_calibration(gaussian(), SPACE, data="gaussians", replicates=100)


def test_a_known_likelihood_ratio_is_found(fitted: Calibration) -> None:
    scores = np.linspace(0.15, 0.45, 13)
    np.testing.assert_allclose(fitted.llr(scores), 40 * (scores - 0.3), atol=0.6)
    np.testing.assert_allclose(fitted.probability(scores), 1 / (1 + np.exp(-40 * (scores - 0.3))), atol=0.05)


def test_no_likelihood_ratio_goes_beyond_the_data(fitted: Calibration) -> None:
    facts = fitted.facts
    assert fitted.llrs.max() <= np.log(facts.non_mated + 1) + 1e-9
    assert fitted.llrs.min() >= -np.log(facts.mated + 1) - 1e-9


def test_known_thresholds_are_found(fitted: Calibration) -> None:
    # Quantiles of the normal distribution.
    for rate, normal in ((1e-2, 2.3263), (1e-3, 3.0902)):
        point = next(p for p in fitted.points if p.fmr == rate)
        assert point.low <= NON_MATED + normal * SPREAD <= point.high
        assert point.fmr_low <= rate <= point.fmr_high
        assert not point.extrapolated
    past = fitted.points[2]
    assert past.extrapolated
    assert past.threshold == pytest.approx(NON_MATED + 3.7190 * SPREAD, abs=0.03)
    assert [p.threshold for p in fitted.points] == sorted(p.threshold for p in fitted.points)


def test_the_facts(fitted: Calibration, tmp_path: Path) -> None:
    facts = fitted.facts
    assert (facts.people, facts.images, facts.mated, facts.non_mated) == (400, 800, 15_000, 45_000)
    assert facts.data == "gaussians"
    assert 0 < facts.cllr_min <= facts.cllr <= facts.cllr_min + 0.005
    assert facts.held_out is not None
    assert facts.held_out.cllr <= facts.held_out.cllr_min + 0.02
    assert facts.held_out.fmr_low <= 1e-3 <= facts.held_out.fmr_high
    fitted.save(tmp_path / "c.json")
    assert asdict(Calibration.load(tmp_path / "c.json").facts) == asdict(facts)


def test_the_same_seed_gives_the_same_file(fitted: Calibration) -> None:
    assert fit_calibration(gaussian(), SPACE, data="gaussians", replicates=100).to_json() == fitted.to_json()


def test_people_kept_apart() -> None:
    """With twice as many people in the data, few claims differ from what the other half shows."""
    first, second = hold_out(gaussian(400_000, 2000), seed=1, replicates=50)
    assert first.people + second.people == 2000
    for tested in (first, second):
        assert tested.worst_bin is not None
        assert tested.worst_bin <= 0.05
        assert tested.cllr - tested.cllr_min <= 0.005


def test_people_kept_apart_may_fill_no_bin() -> None:
    """Few comparisons whose probabilities are spread evenly: none of the ten bins gets 50."""
    random = np.random.default_rng(3)
    mated = np.arange(680) < 240
    left = np.where(mated, np.arange(680) % 40, random.integers(40, size=680))
    right = np.where(mated, left, (left + random.integers(1, 40, size=680)) % 40)
    even = random.uniform(size=680)
    scores = np.where(mated, np.sqrt(even), 1 - np.sqrt(1 - even))
    tested = hold_out(ListedPairs(scores, mated, left, right, images=80), replicates=20)
    assert [half.worst_bin for half in tested] == [None, None]


def test_huge_likelihood_ratios_overflow_nothing() -> None:
    counts = toy_counts([0.6] * 60, [0.2] * 60)
    low, high = reliability(np.where(BIN_CENTERS > 0.4, 1e6, -1e6), counts)
    assert (low[1], high[1]) == (0, 1)


def toy_counts(mated: list[float], non_mated: list[float]) -> PairCounts:
    scores = np.array(mated + non_mated)
    kind = np.arange(len(scores)) < len(mated)
    people = np.arange(len(scores))
    return ListedPairs(scores, kind, people, np.where(kind, people, people + 1), images=9).counts()


def places(scores: list[float]) -> NDArray[np.int64]:
    return np.array([int(np.argmin(abs(BIN_CENTERS - s - 1e-9))) for s in scores])


def test_cllr_by_hand() -> None:
    counts = toy_counts([0.6, 0.4], [0.4, 0.2])
    nothing = np.zeros(len(BIN_CENTERS))
    assert cllr(nothing, counts) == pytest.approx(1)
    # Likelihood ratios 4, 1, 1, 1/4: half of (log2(5/4) + 1)/2 plus half of (1 + log2(5/4))/2.
    llrs = np.log(np.where(BIN_CENTERS > 0.5, 4.0, np.where(BIN_CENTERS > 0.3, 1.0, 0.25)))
    assert cllr(llrs, counts) == pytest.approx((np.log2(1.25) + 1) / 2)
    # At best the outer scores are certain and the middle ones say nothing: half the pairs cost a bit.
    assert least_cllr(counts) == pytest.approx(0.5)
    assert least_cllr(toy_counts([0.6, 0.5], [0.4, 0.2])) == pytest.approx(0, abs=1e-9)
    assert least_cllr(toy_counts([0.2, 0.1], [0.4, 0.5])) == pytest.approx(1)


def test_reliability_by_hand() -> None:
    counts = toy_counts([0.6] * 30 + [0.2] * 20, [0.2] * 150)
    llrs = np.where(BIN_CENTERS > 0.5, 3.0, -1.0)
    low, high = reliability(llrs, counts, fewest=30)
    # Even odds: 30 of 50 mated pairs weigh 0.6, the other 20 weigh 0.4 against 1 of the non-mated.
    assert low[1:] == pytest.approx((1 / (1 + np.e), 0.4 / 1.4, 170))
    assert high[1:] == pytest.approx((1 / (1 + np.exp(-3)), 1, 30))
    assert [row[0] for row in reliability(llrs, counts)] == [2]


def faces(people: int, images: int, seed: int = 0) -> tuple[Templates, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    centers = random.normal(size=(people, 16))
    vectors = np.repeat(centers, images, 0) + random.normal(size=(people * images, 16)) * 0.7
    return Templates.normalized(vectors, SPACE), np.repeat(np.arange(people), images)


def test_all_templates_are_the_same_as_all_pairs_in_a_list() -> None:
    templates, people = faces(150, 4)
    left, right = np.triu_indices(len(people), 1)
    listed = ListedPairs.of_templates(templates, left, right, people[left] == people[right], people)
    whole = TemplatePairs(templates, [f"person {p:04}" for p in people])
    chosen = np.arange(150) % 3 > 0
    for a, b in ((listed.counts(), whole.counts()), (listed.counts(chosen), whole.counts(chosen))):
        assert (a.people, a.mated_people) == (b.people, b.mated_people)
        assert (a.mated_total, a.non_mated_total) == (b.mated_total, b.non_mated_total)
        # A score at the border of two bins may fall to either side.
        assert abs(a.mated - b.mated).sum() <= 20
        np.testing.assert_allclose(a.tail[:1000], b.tail[:1000], atol=1e-6)
        drawn = np.bincount(np.random.default_rng(0).integers(a.people, size=a.people), minlength=a.people)
        assert a.weigh(drawn) == b.weigh(drawn)
        assert a.weigh(np.ones(a.people, np.int64)) == a.non_mated_total


def test_the_interval_covers_the_truth() -> None:
    """Over many draws of 60 people, the 95 % interval of the FMR at 0.1 holds the rate among all people."""
    templates, people = faces(1500, 2)
    everyone = TemplatePairs(templates, people).counts()
    limit = float(everyone.tail[int(everyone.non_mated_total * 0.01)])
    truth = 0.01
    covered = 0
    for seed in range(60):
        chosen = np.random.default_rng(seed).permutation(1500)[:150]
        rows = np.flatnonzero(np.isin(people, chosen))
        counts = TemplatePairs(templates[rows], people[rows]).counts()
        low, high = fmr_interval(counts, limit, seed=seed, replicates=200)
        covered += low <= truth <= high
    assert covered >= 51


def test_the_rate_on_other_people_is_foretold() -> None:
    """The rate that as many other people have at a fitted threshold lies within the interval that it was stated with.

    That of the fitted people's own rate, which leaves out how other people differ, would not do: it holds 83 %.
    """
    templates, people = faces(6000, 2, seed=1)
    told = within = 0
    for seed, chosen in enumerate(np.random.default_rng(2).permutation(6000).reshape(40, 150)):
        rows = np.isin(people, chosen[:75])
        others = np.isin(people, chosen[75:])
        fit = TemplatePairs(templates[np.flatnonzero(rows)], people[rows]).counts()
        new = TemplatePairs(templates[np.flatnonzero(others)], people[others]).counts()
        point = threshold_curve(fit, seed=seed, replicates=80)[3][0]
        share = float((new.tail >= point.threshold).sum()) / new.non_mated_total
        within += point.fmr_low <= share <= point.fmr_high
        low, high = fmr_interval(fit, point.threshold, seed=seed, replicates=80)
        told += low <= share <= high
        assert point.fmr_low <= low < high <= point.fmr_high * 1.05
    assert within >= 37
    assert told < within


@pytest.mark.parametrize("mislabeled", [0, 5])
def test_an_exponential_tail_is_extrapolated(mislabeled: int) -> None:
    """Every decade of the rate is as far as the one before, whatever a few pairs of one person's score."""
    random = np.random.default_rng(0)
    scores = np.clip(random.exponential(0.03, 100_000), 0, 1)
    scores[:mislabeled] = 0.95
    people = random.integers(500, size=(2, 100_000))
    mated = np.zeros(100_000, np.bool_)
    counts = ListedPairs(scores, mated, people[0], people[1] + 500, images=1000).counts()
    _, thresholds, tail, points = threshold_curve(counts, seed=0, replicates=30)
    assert (np.diff(thresholds) >= 0).all()
    assert tail.scale == pytest.approx(0.03, rel=0.1)
    assert [p.extrapolated for p in points] == [False, False, True, True, True]
    assert points[3].threshold == pytest.approx(0.03 * np.log(1e5), rel=0.1)
    assert points[4].low < points[4].threshold < points[4].high


def test_separable_scores_stay_finite() -> None:
    random = np.random.default_rng(0)
    mated = np.arange(4000) % 2 == 0
    left = np.arange(4000) % 40
    right = np.where(mated, left, (left + 1) % 40)
    scores = np.where(mated, random.uniform(0.7, 0.9, 4000), random.uniform(-0.1, 0.2, 4000))
    made = fit_calibration(ListedPairs(scores, mated, left, right, images=80), SPACE, data="", replicates=20)
    assert np.isfinite(made.llrs).all()
    assert float(made.probability(0.8)) > 0.95
    assert float(made.probability(0.0)) < 0.05
    assert made.facts.cllr_min == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_fitted() -> None:
    templates, people = faces(9, 6)
    with pytest.raises(BadInput, match="at least 10 people with two images that have a face, got 9"):
        fit_calibration(TemplatePairs(templates, people), SPACE, data="")
    with pytest.raises(BadInput, match="got 0"):
        fit_calibration(TemplatePairs(templates[:0], people[:0]), SPACE, data="")
    alone, owners = faces(500, 1)
    with pytest.raises(BadInput, match="two images"):
        fit_calibration(TemplatePairs(alone, owners), SPACE, data="")
    with pytest.raises(BadInput, match="one a template"):
        TemplatePairs(templates, people[:-1])
    scores, mated, left = np.full(400, 0.5), np.ones(400, np.bool_), np.arange(400) % 50
    with pytest.raises(BadInput, match="non-mated"):
        fit_calibration(ListedPairs(scores, mated, left, left, images=9), SPACE, data="")
    for bad in (np.nan, 2.0):
        with pytest.raises(BadInput, match="leave out"):
            ListedPairs([bad], [True], [0], [0], images=1)
    with pytest.raises(BadInput, match="one length"):
        ListedPairs([0.1, 0.2], [True], [0], [0], images=1)
    backwards = ListedPairs(-gaussian()._scores, gaussian()._mated, gaussian()._left, gaussian()._right, images=9)
    with pytest.raises(BadInput, match="above non-mated"):
        fit_calibration(backwards, SPACE, data="")


def test_few_people_are_fitted_without_a_test() -> None:
    templates, people = faces(12, 8)
    made = fit_calibration(TemplatePairs(templates, people), SPACE, data="", replicates=20)
    assert made.facts.held_out is None
    assert (np.diff(made.llrs) >= 0).all()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"mien\[evaluate\]"):
        fit_calibration(gaussian(4000, 50), SPACE, data="")
