from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import BadInput
from mien.geometry import (
    apply_transforms,
    box_iou,
    non_maximum_suppression,
    similarity_transforms,
    transform_scales,
)
from mien.types import FloatArray

REFERENCE = np.asarray([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32)


def umeyama(source: FloatArray, target: FloatArray) -> FloatArray:
    """The textbook way, by singular values (Umeyama 1991, equations 38 to 42)."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = (d * np.diag(sign)).sum() / (s**2).sum(1).mean()
    return np.hstack([scale * rotation, (mean_t - scale * rotation @ mean_s)[:, None]]).astype(np.float32)


@given(st.integers(0, 10_000))
def test_similarity_equals_umeyama(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 500, (3, 5, 2)).astype(np.float32)
    expected = np.stack([umeyama(p.astype(np.float64), REFERENCE.astype(np.float64)) for p in points])
    np.testing.assert_allclose(similarity_transforms(points, REFERENCE), expected, rtol=1e-3, atol=2e-3)


def test_similarity_recovers_a_known_transform() -> None:
    angle, scale, shift = 0.7, 0.4, np.asarray([10, -20])
    turn = scale * np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((REFERENCE - shift) @ np.linalg.inv(turn).T).astype(np.float32)[None]
    matrix = similarity_transforms(points, REFERENCE)
    np.testing.assert_allclose(matrix[0], np.hstack([turn, shift[:, None]]), atol=1e-3)
    assert transform_scales(matrix)[0] == pytest.approx(scale, abs=1e-5)
    np.testing.assert_allclose(apply_transforms(matrix, points)[0], REFERENCE, atol=1e-3)


def test_similarity_of_none_and_of_coinciding_points() -> None:
    assert similarity_transforms(np.empty((0, 5, 2), np.float32), REFERENCE).shape == (0, 2, 3)
    assert np.isfinite(similarity_transforms(np.ones((1, 5, 2), np.float32), REFERENCE)).all()
    with pytest.raises(BadInput, match="expected points"):
        similarity_transforms(np.ones((1, 4, 2), np.float32), REFERENCE)


def test_iou_by_hand() -> None:
    boxes = np.asarray([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [4, 4, 4, 4]], np.float32)
    iou = box_iou(boxes, boxes)
    assert iou[0, 1] == pytest.approx(1 / 7)
    assert iou[0, 2] == 0
    assert iou[0, 0] == 1
    assert iou[3, 3] == 0


def slow_suppression(boxes: FloatArray, scores: FloatArray, limit: float) -> list[int]:
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable"):
        if all(box_iou(boxes[k][None], boxes[j][None])[0, 0] <= limit for j in kept):
            kept.append(int(k))
    return kept


@given(st.integers(0, 10_000), st.integers(0, 30), st.floats(0.05, 0.9))
def test_suppression_equals_the_slow_way(seed: int, n: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 20, (n, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 20, (n, 2))]).astype(np.float32)
    scores = rng.choice([0.5, 0.7, 0.9], n).astype(np.float32)
    assert non_maximum_suppression(boxes, scores, limit).tolist() == slow_suppression(boxes, scores, limit)
