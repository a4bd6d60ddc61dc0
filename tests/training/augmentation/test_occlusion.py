"""What is worn: it covers what it should, turns with the face, and bears landmarks that are no face's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mien.quality import head_pose
from mien.training.augmentation.occlusion import Head, glasses, headscarf, mask, sunglasses
from mien.training.augmentation.settings import (
    GlassesSettings,
    HeadscarfSettings,
    MaskSettings,
    SunglassesSettings,
)
from mien.types import FloatArray, ImageArray

TEMPLATE = np.array(
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)), np.float32
)
MODEL = np.array(((-1, 0, 0), (1, 0, 0), (0, 0.95, 1.2), (-0.8, 1.908, 0.114), (0.8, 1.908, 0.114)))
WORN: list[tuple[Any, Any]] = [
    (mask, MaskSettings()),
    (glasses, GlassesSettings()),
    (sunglasses, SunglassesSettings()),
    (headscarf, HeadscarfSettings()),
]


def skin(side: int = 112) -> ImageArray:
    return np.full((side, side, 3), (205, 160, 135), np.uint8)


def turned(yaw_deg: float) -> FloatArray:
    """Landmarks of a face turned to a side, by the model's own rotation."""
    yaw = math.radians(yaw_deg)
    x = math.cos(yaw) * MODEL[:, 0] + math.sin(yaw) * MODEL[:, 2]
    return np.stack((56 + 17 * x, 52 + 17 * MODEL[:, 1]), axis=1).astype(np.float32)


def covered(
    change: Any, settings: Any, landmarks: FloatArray | None, seed: int = 0
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    image = skin()
    made = change(image, Head.fitted(landmarks, 112), settings, np.random.default_rng(seed))
    assert made.shape == image.shape
    assert made.dtype == np.uint8
    return np.asarray(np.abs(made.astype(int) - image).max(axis=2) > 12)


def at(changed: Any, point: Any) -> bool:
    x, y = (round(float(value)) for value in point)
    return bool(changed[y, x])


@pytest.mark.parametrize("yaw_deg", [-50, -20, 0, 20, 50])
def test_the_head_has_its_landmarks_where_they_are(yaw_deg: float) -> None:
    points = turned(yaw_deg)
    head = Head.fitted(points, 112)
    assert np.abs(head.seen(MODEL) - points).max() < 0.7
    assert head.unit_px == pytest.approx(17, rel=0.02)
    assert head_pose(points[None]).yaw_deg[0] == pytest.approx(yaw_deg, abs=1.5)
    # The side that the face turns from the camera is farther.
    if yaw_deg:
        assert np.sign(head.nearness((1, 0, 0))) == -np.sign(yaw_deg)


def test_a_rotated_head() -> None:
    turn = math.radians(25)
    matrix = np.array(((math.cos(turn), -math.sin(turn)), (math.sin(turn), math.cos(turn))))
    points = ((turned(20) - 56) @ matrix.T + 56).astype(np.float32)
    assert np.abs(Head.fitted(points, 112).seen(MODEL) - points).max() < 0.7


@pytest.mark.parametrize("shape", ["surgical", "cup", "cloth", "low"])
@pytest.mark.parametrize("yaw_deg", [-45, 0, 45])
def test_masks_cover_mouth_and_nose_and_no_eyes(shape: Any, yaw_deg: float) -> None:
    points = turned(yaw_deg)
    for seed in range(5):
        hidden = covered(mask, MaskSettings(shapes=(shape,)), points, seed)
        assert at(hidden, points[3:].mean(axis=0))
        assert at(hidden, points[2]) == (shape != "low")
        assert not at(hidden, points[0])
        assert not at(hidden, points[1])
        assert 0.08 < hidden.mean() < 0.5


@pytest.mark.parametrize("yaw_deg", [-40, 0, 40])
def test_glasses(yaw_deg: float) -> None:
    points = turned(yaw_deg)
    for seed in range(5):
        dark = covered(sunglasses, SunglassesSettings(), points, seed)
        assert at(dark, points[0])
        assert at(dark, points[1])
        assert not at(dark, points[3:].mean(axis=0))
        clear = covered(glasses, GlassesSettings(variety=0), points, seed)
        assert not at(clear, points[0])
        assert not at(clear, points[1])
        assert 0.01 < clear.mean() < 0.15


@pytest.mark.parametrize("yaw_deg", [-45, 0, 45])
def test_headscarves_leave_the_face_free(yaw_deg: float) -> None:
    points = turned(yaw_deg)
    for seed in range(5):
        cloth = covered(headscarf, HeadscarfSettings(), points, seed)
        assert not any(at(cloth, point) for point in points)
        assert 0.15 < cloth.mean() < 0.75
        assert cloth[5:20, 50:62].mean() > 0.35


def test_things_turn_with_the_face() -> None:
    # Of a face that is turned, more is seen of the side that is turned to the camera.
    for yaw in (-40, 40):
        points = turned(yaw)
        _, columns = np.nonzero(covered(mask, MaskSettings(variety=0), points))
        nose_x = points[2, 0]
        wide, narrow = nose_x - columns.min(), columns.max() - nose_x
        assert (wide > 2 * narrow) == (yaw > 0)
        assert (narrow > 2 * wide) == (yaw < 0)
    mirrored = [covered(sunglasses, SunglassesSettings(variety=0), turned(yaw), 3) for yaw in (-30, 30)]
    # A face turned to one side is the mirror of one turned to the other, about x = 56.
    assert (mirrored[0][:, 8:104] == mirrored[1][:, 104:8:-1]).mean() > 0.97


@pytest.mark.parametrize(("change", "settings"), WORN)
@pytest.mark.parametrize(
    "landmarks",
    [
        None,
        np.full((5, 2), np.nan, np.float32),
        np.full((5, 2), 56, np.float32),
        TEMPLATE * 100,
        TEMPLATE * 0.05,
        np.where(np.arange(10).reshape(5, 2) % 2, 0, 1e9).astype(np.float32),
    ],
)
def test_landmarks_that_are_no_faces_are_those_of_a_frontal_face(change: Any, settings: Any, landmarks: Any) -> None:
    assert (covered(change, settings, landmarks) == covered(change, settings, TEMPLATE)).all()


@pytest.mark.parametrize(("change", "settings"), WORN)
def test_other_sizes_show_the_same(change: Any, settings: Any) -> None:
    small = change(skin(56), Head.fitted(None, 56), settings, np.random.default_rng(1))
    large = change(skin(), Head.fitted(None, 112), settings, np.random.default_rng(1))
    shrunk = large.reshape(56, 2, 56, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 6


def test_what_is_worn_is_dark_in_the_dark() -> None:
    night = (skin() // 6).astype(np.uint8)
    for change, settings in WORN:
        made = change(night, Head.fitted(None, 112), settings, np.random.default_rng(2))
        assert made.max() < 130
