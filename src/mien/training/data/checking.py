"""What must hold for an index that is written or read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import BadPack

if TYPE_CHECKING:
    from mien.training.data.index import Index

__all__ = ["check_index"]


def check_index(index: Index) -> None:
    """Check that labels have no gaps and one name each, and that every row lies within its shard.

    Each shard is looked at once, and none is opened.

    Raises:
        BadPack: something does not hold; the message names the row, what was expected and what was found.
    """
    _check_labels(index)
    _check_places(index)


def _check_labels(index: Index) -> None:
    labels = index.labels
    if not len(labels):
        return
    if labels.min() < -1:
        row = int(labels.argmin())
        raise BadPack(f"{index.where}: row {row}: expected a label of 0 or more, or -1 for none, got {labels[row]}")
    found = np.unique(labels[labels >= 0])
    gaps = np.flatnonzero(found != np.arange(len(found)))
    if len(gaps):
        missing, most = int(gaps[0]), int(found[-1])
        raise BadPack(
            f"{index.where}: labels have a gap: expected every label from 0 to {most}, found no image of {missing} "
            f"({most + 1 - len(found)} are missing)"
        )
    _check_names(index)


def _check_names(index: Index) -> None:
    """A label has one name, and a name one label."""
    import pyarrow as pa

    labelled = index.table.select(["label", "identity"]).filter(pa.array(index.labels >= 0))
    pairs = labelled.group_by(["label", "identity"]).aggregate([]).sort_by([("label", "ascending")])
    labels, names = pairs.column("label").to_pylist(), pairs.column("identity").to_pylist()
    owner: dict[str, int] = {}
    for k, (label, name) in enumerate(zip(labels, names, strict=True)):
        if k and labels[k - 1] == label:
            raise BadPack(f"{index.where}: label {label}: expected one identity, got {names[k - 1]!r} and {name!r}")
        if owner.setdefault(name, label) != label:
            raise BadPack(f"{index.where}: identity {name!r}: expected one label, got {owner[name]} and {label}")


def _check_places(index: Index) -> None:
    if not len(index):
        return
    offsets, lengths, numbers = index.numbers("offset"), index.numbers("length"), index.shard_numbers
    for wrong, what in ((offsets < 0, "offset of 0 or more"), (lengths < 1, "length of 1 or more")):
        if wrong.any():
            row = int(wrong.argmax())
            got = offsets[row] if what.startswith("offset") else lengths[row]
            raise BadPack(f"{index.where}: row {row}: expected an {what}, got {got}".replace("an length", "a length"))
    used = np.unique(numbers).tolist()
    sizes = np.zeros(len(index.shards), np.int64)
    for number in used:
        sizes[number] = _size(index, number)
    beyond = offsets + lengths > sizes[numbers]
    if beyond.any():
        row = int(beyond.argmax())
        shard = index.shards[numbers[row]]
        raise BadPack(
            f"{index.where}: row {row}: points past its shard {_shown(shard)}: expected bytes "
            f"{offsets[row]} to {offsets[row] + lengths[row]}, found a file of {sizes[numbers[row]]} bytes "
            f"({int(beyond.sum())} such rows)"
        )


def _size(index: Index, number: int) -> int:
    shard = index.shards[number]
    row = int((index.shard_numbers == number).argmax())
    try:
        status = shard.stat()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadPack(f"{index.where}: row {row}: expected the shard {_shown(shard)}, got: {reason}") from error
    return status.st_size


def _shown(shard: Path) -> str:
    return shard.as_posix()
