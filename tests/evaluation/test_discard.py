from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import BadInput
from mien.evaluation import Comparisons, error_versus_discard

NAN = float("nan")


def mated_pairs(scores: list[float]) -> Comparisons:
    """Mated pairs of the samples 0 and 1, 2 and 3, …"""
    left, same = np.arange(len(scores)) * 2, np.arange(len(scores))
    return Comparisons(np.array(scores), np.ones(len(scores), bool), left, left + 1, same, same)


def test_toy_curve_by_hand() -> None:
    # Errors are below 0.5: the pairs of quality 1 and 3; a pair's quality is the lower one of its samples.
    pairs = mated_pairs([0.1, 0.9, 0.2, 0.8, 0.7])
    curve = error_versus_discard(pairs, [1, 9, 2, 9, 9, 3, 4, 4, 9, 5], threshold=0.5)
    assert curve.qualities.tolist() == [1, 2, 3, 4, 5]
    assert curve.fractions.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert curve.errors.tolist() == pytest.approx([2 / 5, 1 / 4, 1 / 3, 0, 0])
    assert (curve.comparisons, curve.false_non_matches) == (5, 2)
    assert curve.error_at(0.39) == pytest.approx(1 / 4)
    assert curve.error_at(0.4) == pytest.approx(1 / 3)
    assert curve.error_at(1) == 0
    assert curve.area() == pytest.approx(0.2 * (2 / 5 + 1 / 4 + 1 / 3))
    assert curve.area(0.3) == pytest.approx(0.2 * 2 / 5 + 0.1 / 4)
    assert curve.area(0) == 0
    assert curve.level_area(0.3) == pytest.approx(0.12)


def test_the_ideal_curve_loses_one_error_a_discard() -> None:
    curve = error_versus_discard(mated_pairs([0.1, 0.9, 0.2, 0.8, 0.7]), np.arange(10), threshold=0.5)
    assert curve.ideal_at([0, 0.2, 0.4, 0.9, 1]).tolist() == pytest.approx([2 / 5, 1 / 4, 0, 0, 0])
    grid = np.linspace(0, 0.3, 100_001)
    assert curve.ideal_area(0.3) == pytest.approx(float(curve.ideal_at(grid).mean() * 0.3), rel=1e-4)
    assert curve.ideal_area() == pytest.approx(curve.ideal_area(0.4))


def test_a_perfect_quality_nears_the_ideal_and_an_inverted_one_harms() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(1, 1, 4000)
    pairs = mated_pairs(list(scores))
    perfect = error_versus_discard(pairs, np.repeat(scores, 2), threshold=-0.5)
    useless = error_versus_discard(pairs, rng.random(8000), threshold=-0.5)
    inverted = error_versus_discard(pairs, np.repeat(-scores, 2), threshold=-0.5)
    for limit in (0.05, 0.2, 0.3):
        assert perfect.gain(limit) == pytest.approx(1, abs=0.02)
        assert abs(useless.gain(limit)) < 0.1
        assert inverted.gain(limit) < -0.01


def test_equal_qualities_go_together() -> None:
    curve = error_versus_discard(mated_pairs([0.1, 0.9, 0.2, 0.8]), [5, 5, 5, 5, 5, 5, 7, 7], threshold=0.5)
    assert curve.fractions.tolist() == [0, 0.75]
    assert curve.errors.tolist() == [0.5, 0]
    same = error_versus_discard(mated_pairs([0.1, 0.9]), [3, 3, 3, 3], threshold=0.5)
    assert same.fractions.tolist() == [0]
    assert same.gain(0.2) == pytest.approx(0)


def test_the_threshold_is_that_of_the_rate_before_discarding() -> None:
    non_mated = np.arange(1000) / 1000
    scores = np.concatenate([[0.9985, 0.9995, NAN], non_mated])
    mated = np.arange(1003) < 3
    left, right = np.zeros(1003, int), np.where(mated, 0, 1)
    trials = Comparisons(scores, mated, left, right, left, right)
    curve = error_versus_discard(trials, [1.0, 2.0], fmr=1e-3)
    assert curve.threshold == np.nextafter(0.998, 1)
    assert (curve.comparisons, curve.false_non_matches) == (2, 0)
    assert curve.gain(0.2) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=30), st.floats(0.01, 1))
@settings(deadline=None)
def test_no_quality_beats_the_ideal(rows: list[tuple[bool, int]], limit: float) -> None:
    pairs = mated_pairs([0.0 if wrong else 1.0 for wrong, _ in rows])
    curve = error_versus_discard(pairs, np.repeat([q for _, q in rows], 2), threshold=0.5)
    assert (curve.errors >= curve.ideal_at(curve.fractions) - 1e-12).all()
    assert curve.area(limit) >= curve.ideal_area(limit) - 1e-12
    assert curve.errors[0] == np.mean([wrong for wrong, _ in rows])


def test_what_cannot_be_ranked_is_refused() -> None:
    pairs = mated_pairs([0.1, 0.9])
    with pytest.raises(BadInput, match="NaN in 1 pairs"):
        error_versus_discard(pairs, [1, 2, NAN, 3], threshold=0.5)
    with pytest.raises(BadInput, match=r"samples 0\.\.3"):
        error_versus_discard(pairs, [1, 2, 3], threshold=0.5)
    with pytest.raises(BadInput, match="2 mated of weight 2 and 0 non-mated"):
        error_versus_discard(pairs, [1, 2, 3, 4])
    with pytest.raises(BadInput, match="mated comparisons that were made"):
        error_versus_discard(mated_pairs([NAN]), [1, 2], threshold=0.5)
