"""Made images and packs for the tests of packing; every image has other bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mien.training.data import Index, ShardWriter, write_index
from mien.types import ImageArray


def noise(seed: int, width: int = 112, height: int = 112) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: ImageArray, suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()


def people_folder(root: Path, counts: Sequence[int], *, side: int = 112, suffix: str = ".jpg") -> Path:
    """A folder of people with that many images each; returns it."""
    for person, count in enumerate(counts):
        folder = root / f"person {person}"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}{suffix}").write_bytes(encoded(noise(1000 * person + number, side, side), suffix))
    return root


def made_index(folder: Path, labels: Sequence[int], *, shard_bytes: int = 1 << 30, **columns: Any) -> Index:
    """An index of a few bytes an image in real shards, not written yet."""
    with ShardWriter(folder, shard_bytes) as writer:
        stored = [writer.add(b"image %d" % k, ".jpg") for k in range(len(labels))]
    values: dict[str, Any] = {
        "shard": [s.shard for s in stored],
        "offset": [s.offset for s in stored],
        "length": [s.length for s in stored],
        "label": list(labels),
        "identity": [f"person {label}" if label >= 0 else "" for label in labels],
        "name": [f"{k}.jpg" for k in range(len(labels))],
        "width": [112] * len(labels),
        "height": [112] * len(labels),
        "license": [""] * len(labels),
        "digest": pa.array([s.digest for s in stored], pa.binary(16)),
        **columns,
    }
    return Index(folder / "index.parquet", pa.table(values), 112)


def written_index(folder: Path, labels: Sequence[int], **more: Any) -> Path:
    write_index(made_index(folder, labels, **more), folder)
    return folder
