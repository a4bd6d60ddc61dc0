"""Packs of small images that can be decoded, for the tests of what draws and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pack_making import encoded, noise

from mien.training.data import Index, ShardWriter, read_index, write_index

SIDE = 32


def face_pack(
    folder: Path,
    labels: Sequence[int],
    *,
    shard_bytes: int = 8000,
    data: dict[int, bytes] | None = None,
    aligned: int | None = SIDE,
) -> Index:
    """A pack with a different image for each label; ``data`` takes the place of some images' bytes."""
    given = {} if data is None else data
    with ShardWriter(folder, shard_bytes) as writer:
        images = [given[k] if k in given else encoded(noise(k, SIDE, SIDE), ".png") for k in range(len(labels))]
        stored = [writer.add(image, ".png") for image in images]
    values = {
        "shard": pa.array([s.shard for s in stored], pa.string()),
        "offset": [s.offset for s in stored],
        "length": [s.length for s in stored],
        "label": list(labels),
        "identity": [f"person {label}" if label >= 0 else "" for label in labels],
        "name": [f"{k}.png" for k in range(len(labels))],
        "width": [SIDE] * len(labels),
        "height": [SIDE] * len(labels),
        "license": [""] * len(labels),
        "digest": pa.array([s.digest for s in stored], pa.binary(16)),
    }
    write_index(Index(folder / "index.parquet", pa.table(values), aligned), folder)
    return read_index(folder)


def damage(index: Index, row: int) -> None:
    """Write other bytes over an image in its shard."""
    start, length = int(index.numbers("offset")[row]), int(index.numbers("length")[row])
    with index.shards[index.shard_numbers[row]].open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(length))
