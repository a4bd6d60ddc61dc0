"""Scores of all against all, and of given pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching import cosine_scores, paired_scores


def unit(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    raw = np.random.default_rng(seed).standard_normal((count, dimension))
    scaled: NDArray[np.float64] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return scaled.astype(np.float32)


def test_scores_are_the_cosines() -> None:
    probes, gallery = unit(5, 128), unit(70, 128, seed=1)
    scores = cosine_scores(probes, gallery)
    assert scores.dtype == np.float32
    assert scores.shape == (5, 70)
    expected = np.array([[float(np.dot(p.astype(np.float64), g.astype(np.float64))) for g in gallery] for p in probes])
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_pairs_score_alike_alone_and_in_company(count: int) -> None:
    a, b = unit(5000, 128), unit(5000, 128, seed=1)
    together = paired_scores(a, b)
    assert np.array_equal(paired_scores(a[:count], b[:count]), together[:count])
    np.testing.assert_allclose(together[:count], np.diag(cosine_scores(a[:count], b[:count])), atol=1e-6)


def test_one_vector_is_paired_with_all() -> None:
    a, b = unit(1, 64), unit(9, 64, seed=1)
    assert np.array_equal(paired_scores(a, b), paired_scores(np.repeat(a, 9, axis=0), b))


def test_scores_stay_within_minus_one_and_one() -> None:
    vectors = unit(2000, 7)
    both = np.concatenate([paired_scores(vectors, vectors), paired_scores(vectors, -vectors)])
    assert both.max() == 1
    assert both.min() == -1
    assert np.abs(cosine_scores(vectors, vectors)).max() <= 1


def test_none_is_fine() -> None:
    assert cosine_scores(np.empty((0, 8)), unit(3, 8)).shape == (0, 3)
    assert cosine_scores(unit(3, 8), np.empty((0, 8))).shape == (3, 0)
    assert paired_scores(np.empty((0, 8)), np.empty((0, 8))).shape == (0,)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(BadInput, match="expected vectors of dimension 8, got 9"):
        cosine_scores(unit(1, 8), unit(1, 9))
    with pytest.raises(BadInput, match=r"probes: expected shape \(n, d\), got \(8,\)"):
        cosine_scores(unit(1, 8)[0], unit(1, 8))
    with pytest.raises(BadInput, match=r"expected shape \(3, 8\) or \(1, 8\), got \(2, 8\)"):
        paired_scores(unit(2, 8), unit(3, 8))
