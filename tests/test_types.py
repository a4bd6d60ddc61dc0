from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mien.errors import BadInput, SpaceMismatch
from mien.types import Analysis, Chips, Faces, FloatArray, Templates


def f32(values: Any) -> FloatArray:
    return np.asarray(values, np.float32)


def some_faces(n: int) -> Faces:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (n, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 50, (n, 2))])
    return Faces(f32(boxes), f32(rng.uniform(0, 1, n)), f32(rng.uniform(0, 99, (n, 5, 2))))


def unit(n: int, d: int = 4) -> Templates:
    return Templates.normalized(np.random.default_rng(0).normal(size=(n, d)), "m@0")


def test_faces_are_float32_and_read_only() -> None:
    faces = some_faces(3)
    assert faces.xyxy.dtype == faces.scores.dtype == faces.landmarks.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        faces.xyxy[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        faces.scores = np.zeros(3, np.float32)  # type: ignore[misc]


def test_a_callers_array_stays_writable() -> None:
    scores = np.zeros(0, np.float32)
    Faces(f32(np.empty((0, 4))), scores, f32(np.empty((0, 5, 2))))
    assert scores.flags.writeable


@pytest.mark.parametrize(
    ("xyxy", "scores", "landmarks", "says"),
    [
        (np.zeros((2, 3)), np.zeros(2), np.zeros((2, 5, 2)), r"expected shape \(n, 4\), got \(2, 3\)"),
        (np.zeros((2, 4)), np.zeros(1), np.zeros((2, 5, 2)), "lengths differ"),
        (np.zeros((1, 4)), np.zeros(1), np.zeros((1, 4, 2)), "landmarks"),
        (np.full((1, 4), np.nan), np.zeros(1), np.zeros((1, 5, 2)), "finite"),
        (np.zeros((1, 4)), np.full(1, 1.5), np.zeros((1, 5, 2)), r"0\.\.1"),
    ],
)
def test_faces_refuse_what_does_not_fit(xyxy: object, scores: object, landmarks: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Faces(xyxy, scores, landmarks)  # type: ignore[arg-type]


def test_choosing_faces() -> None:
    faces = some_faces(4)
    assert len(faces[1]) == 1
    assert np.array_equal(faces[[2, 0]].scores, faces.scores[[2, 0]])
    assert len(faces[:0]) == 0
    assert faces.largest().areas[0] == faces.areas.max()
    assert len(Faces.none().largest()) == 0


def test_templates_must_be_unit() -> None:
    with pytest.raises(BadInput, match="unit norm"):
        Templates(f32(np.full((1, 4), 0.4)), "m@0")
    with pytest.raises(BadInput, match="no direction"):
        Templates.normalized(np.zeros((1, 4)), "m@0")
    with pytest.raises(BadInput, match="no direction"):
        Templates.normalized(np.full((1, 4), np.inf), "m@0")
    with pytest.raises(BadInput, match="space"):
        Templates(f32(np.empty((0, 4))), "")
    assert len(Templates.normalized(np.empty((0, 4)), "m@0")) == 0


def test_templates_know_their_space() -> None:
    unit(1).require_space("m@0")
    with pytest.raises(SpaceMismatch, match="expected templates of other@1, got m@0"):
        unit(1).require_space("other@1")


def test_analysis_has_one_length() -> None:
    chips = Chips(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 2, 3), np.float32))
    analysis = Analysis((10, 10), some_faces(2), chips, unit(2))
    assert len(analysis[1]) == 1
    assert np.array_equal(analysis[1].templates.vectors, analysis.templates.vectors[1:])
    with pytest.raises(BadInput, match="lengths differ"):
        Analysis((10, 10), some_faces(1), chips, unit(2))


def test_chips_are_square_uint8() -> None:
    with pytest.raises(BadInput, match="uint8"):
        Chips(np.zeros((1, 8, 8, 3)), np.zeros((1, 2, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="square"):
        Chips(np.zeros((1, 8, 9, 3), np.uint8), np.zeros((1, 2, 3), np.float32))
