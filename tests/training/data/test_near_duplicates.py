"""Near-duplicates: copies of a photo are found, other photos of the same person are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from face_packs import face_pack
from made_templates import described, templates
from pack_making import encoded, noise

from mien.training.data import Index
from mien.training.data.near_duplicates import DuplicateLimits, difference_hash, find_near_duplicates, likeness
from mien.types import FloatArray, ImageArray

SIDE = 112
LIMITS = DuplicateLimits(score=0.9)


def picture(seed: int) -> ImageArray:
    """Smooth blobs, as different from seed to seed as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def cut(image: ImageArray, pixels: int) -> ImageArray:
    return np.asarray(cv2.resize(image[pixels:, pixels // 2 : -pixels], (SIDE, SIDE)), np.uint8)


def brighter(image: ImageArray) -> ImageArray:
    return np.asarray(np.clip(image.astype(np.float32) * 0.8 + 30, 0, 255), np.uint8)


def pack(folder: Path, images: list[bytes], labels: list[int]) -> Index:
    return face_pack(folder, labels, data=dict(enumerate(images)), aligned=SIDE, shard_bytes=1 << 20)


def pairs_of(index: Index, vectors: FloatArray, limits: DuplicateLimits = LIMITS) -> list[tuple[int, int]]:
    found = find_near_duplicates(index, described(vectors), index.labels, limits)
    return [(pair.row, pair.other) for pair in found]


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("encoded anew", lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [1, 30])[1], cv2.IMREAD_COLOR)),
        ("cut", lambda image: cut(image, 4)),
        ("brighter", brighter),
        ("mirrored", lambda image: image[:, ::-1]),
        ("small", lambda image: cv2.resize(cv2.resize(image, (40, 40)), (SIDE, SIDE))),
        ("all", lambda image: brighter(cut(image, 3))[:, ::-1]),
    ],
)
def test_copies_are_found(tmp_path: Path, name: str, copy: object) -> None:
    assert callable(copy)
    images = [encoded(picture(1), ".png"), encoded(np.ascontiguousarray(copy(picture(1))), ".jpg")]
    images += [encoded(picture(seed), ".png") for seed in (2, 3)]
    index = pack(tmp_path / "pack", images, [0, 0, 0, 0])
    # The templates say of all four that they may be copies: the pixels decide.
    assert pairs_of(index, templates([0] * 4, spread=0.1)) == [(0, 1)], name


def test_templates_that_differ_are_not_looked_at(tmp_path: Path) -> None:
    image = encoded(picture(1), ".png")
    index = pack(tmp_path / "pack", [image, image], [0, 0])
    assert pairs_of(index, templates([0, 0], spread=0.01)) == [(0, 1)]
    assert pairs_of(index, templates([0, 1])) == []


def test_one_photo_with_two_people(tmp_path: Path) -> None:
    images = [encoded(picture(seed), ".png") for seed in (1, 2, 3)] + [encoded(cut(picture(1), 3), ".jpg")]
    index = pack(tmp_path / "pack", images, [0, 0, 1, 1])
    vectors = templates([0, 0, 1, 0], spread=0.1)
    assert pairs_of(index, vectors) == [(0, 3)]
    found = find_near_duplicates(index, described(vectors), np.array([0, 0, 1, -1], np.int32), LIMITS)
    assert found == []
    found = find_near_duplicates(index, described(vectors, missing=[0]), index.labels, LIMITS)
    assert found == []


def test_the_limits_are_what_decides(tmp_path: Path) -> None:
    index = pack(tmp_path / "pack", [encoded(picture(1), ".png"), encoded(cut(picture(1), 4), ".jpg")], [0, 0])
    vectors = templates([0, 0], spread=0.1)
    (pair,) = find_near_duplicates(index, described(vectors), index.labels, LIMITS)
    assert pair.score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert 0.94 <= pair.correlation < 1
    assert 0 < pair.hash_bits <= 18
    assert pairs_of(index, vectors, DuplicateLimits(0.9, correlation=pair.correlation + 1e-3)) == []
    assert pairs_of(index, vectors, DuplicateLimits(0.9, hash_bits=pair.hash_bits - 1)) == []
    assert pairs_of(index, vectors, DuplicateLimits(pair.score + 1e-3)) == []


def test_likeness() -> None:
    one = np.asarray(cv2.cvtColor(picture(1), cv2.COLOR_RGB2GRAY), np.uint8)
    assert likeness(one, one) == pytest.approx(1, abs=1e-5)
    assert likeness(one, np.asarray(255 - one, np.uint8)) < 0.5
    plain = np.full_like(one, 90)
    assert likeness(one, plain) == -1
    assert likeness(plain, one) < 0.5


def test_the_hash_sees_where_it_gets_brighter() -> None:
    ramp = np.tile(np.arange(90, dtype=np.uint8), (80, 1))
    assert difference_hash(ramp).all()
    assert not difference_hash(np.ascontiguousarray(ramp[:, ::-1])).any()
    assert difference_hash(noise(1)[..., 0]).shape == (64,)
