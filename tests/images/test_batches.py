from __future__ import annotations

import io
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_makers import CpuTensor, encode, painting
from PIL import Image

from mien.images import load, open_image, split_batch


@pytest.mark.parametrize(
    "source",
    [
        "a.jpg",
        Path("a.jpg"),
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        io.BytesIO(b"bytes"),
        Image.new("RGB", (3, 2)),
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((4, 5), np.uint8),
        CpuTensor(np.zeros((4, 5, 3), np.uint8)),
        open_image(painting()),
        {"a.jpg", "b.jpg"},
        {"a.jpg": 1},
        None,
        7,
    ],
    ids=lambda source: type(source).__name__,
)
def test_one(source: Any) -> None:
    items, is_batch = split_batch(source)
    assert not is_batch
    (item,) = items
    assert item is source


@pytest.mark.parametrize("names", [[], ["a.jpg"], ["a.jpg", "b.jpg"]])
@pytest.mark.parametrize("kind", [list, tuple, deque, iter])
def test_many(kind: Any, names: list[str]) -> None:
    items, is_batch = split_batch(kind(names))
    assert is_batch
    assert list(items) == names


def test_a_generator_is_not_advanced() -> None:
    taken = []

    def names() -> Any:
        for name in ("a.jpg", "b.jpg"):
            taken.append(name)
            yield name

    items, is_batch = split_batch(names())
    assert is_batch
    assert taken == []
    assert next(iter(items)) == "a.jpg"
    assert taken == ["a.jpg"]


def test_a_file_is_one_image_though_it_iterates(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(painting(), "PNG"))
    with path.open("rb") as file:
        (item,), is_batch = split_batch(file)
        assert not is_batch
        np.testing.assert_array_equal(load(item), painting())


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_four_axes(count: int, channels: int) -> None:
    batch = np.random.default_rng(0).integers(0, 255, (count, 5, 6, channels), dtype=np.uint8)
    items, is_batch = split_batch(batch)
    assert is_batch
    found = list(items)
    assert len(found) == count
    for item, expected in zip(found, batch, strict=True):
        np.testing.assert_array_equal(item, expected)


def test_four_axes_of_a_real_tensor() -> None:
    torch = pytest.importorskip("torch")
    items, is_batch = split_batch(torch.zeros((2, 5, 6, 3), dtype=torch.uint8))
    assert is_batch
    assert [load(item).shape for item in items] == [(5, 6, 3)] * 2
