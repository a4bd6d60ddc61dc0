"""Templates of a pack's images, made once and kept: what merging and cleaning compare people by.

They are kept in mien's cache folder, a SQLite file for each embedding space, and in there by the digest of each image's
bytes: an index that was cleaned or merged needs none made anew. Templates are personal data, so only the owner can read
the file; it can be removed at any time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.embedding import Embedder
from mien.errors import BadImage, BadInput, BadPack, CacheError, MienError
from mien.training.data.index import Index
from mien.training.data.shards import ShardReader
from mien.types import FloatArray, ImageArray
from mien.zoo import cache_dir

__all__ = ["Described", "decoded_chip", "describe"]

_BATCH = 64
_KEYS_A_QUERY = 500
_FARTHEST = 0.1
_SCHEMA = "CREATE TABLE IF NOT EXISTS templates (digest BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """The templates of an index's images.

    Attributes:
        space: the embedding space.
        vectors: ``(n, d) float32`` of unit norm, by row; zeros where there is none.
        there: ``(n,) bool``, which rows have one.
        failures: the rows whose image cannot be read, and why.
        complete: False if it was stopped before the last image.
        made: how many were made now, rather than found in the cache.
    """

    space: str
    vectors: FloatArray
    there: NDArray[np.bool_]
    failures: dict[int, MienError]
    complete: bool
    made: int

    def __len__(self) -> int:
        return len(self.vectors)


def describe(
    index: Index,
    embedder: Embedder,
    *,
    keep: Path | None = None,
    progress: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Described:
    """Make the templates of aligned images, or take those that were kept.

    What is made is safe on the disk after every batch: stopped or cut off, the next call goes on from there.

    Args:
        index: the images, aligned as the embedder takes them.
        embedder: makes the templates.
        keep: a SQLite file to keep them in; None for that of the embedder's space in the cache folder.
        progress: called with the number of images done since the last call.
        stopped: asked before every batch whether to stop.

    Raises:
        BadInput: the images are not aligned, of another size than the embedder's chips, or aligned to other points.
        CacheError: the file cannot be read or written.
    """
    require_chips_of(index, embedder)
    digests = index.digests
    file = cache_dir() / "described" / f"{embedder.space}.sqlite" if keep is None else keep
    advance = progress or (lambda _count: None)
    failures: dict[int, MienError] = {}
    vectors = np.zeros((len(index), embedder.dimension), np.float32)
    there = np.zeros(len(index), np.bool_)
    made, complete = 0, True
    with closing(_opened(file)) as database, _guarded(file), ShardReader(index, verify=True) as reader:
        _fill(database, digests, vectors, there)
        advance(int(there.sum()))
        todo = _by_digest(digests, np.flatnonzero(~there).tolist())
        for batch in _batches(list(todo)):
            if stopped is not None and stopped():
                complete = False
                break
            chips: dict[bytes, ImageArray] = {}
            for digest in batch:
                try:
                    chips[digest] = decoded_chip(index, reader, todo[digest][0])
                except (BadPack, BadImage) as error:
                    failures.update(dict.fromkeys(todo[digest], error))
            if chips:
                found = embedder.embed(np.stack(list(chips.values()))).vectors
                for digest, vector in zip(chips, found, strict=True):
                    vectors[todo[digest]] = vector
                    there[todo[digest]] = True
                _write(database, list(chips), found)
                made += len(chips)
            advance(sum(len(todo[digest]) for digest in batch))
    vectors.flags.writeable = there.flags.writeable = False
    return Described(embedder.space, vectors, there, failures, complete, made)


def require_chips_of(index: Index, embedder: Embedder) -> None:
    """Check that an index's images are what an embedder takes.

    Raises:
        BadInput: they are not aligned, of another size, or their landmarks lie elsewhere.
    """
    size = embedder.chip_size
    wanted = f"{index.where}: expected images aligned to {size}×{size} pixels, as {embedder.space} takes them"
    if index.aligned is None:
        raise BadInput(f"{wanted}; got some that are not aligned (mien data pack --align)")
    if index.aligned != size:
        raise BadInput(f"{wanted}; got {index.aligned}×{index.aligned}")
    known = index.landmarks[~np.isnan(index.landmarks).any(axis=(1, 2))]
    if len(known):
        far = float(np.linalg.norm(np.median(known, axis=0) - embedder.reference, axis=1).mean())
        if far > _FARTHEST * size:
            raise BadInput(f"{wanted}; got landmarks that lie {far:.0f} pixels from its reference points on average")


def decoded_chip(index: Index, reader: ShardReader, row: int) -> ImageArray:
    """An aligned image, ``(s, s, 3) uint8`` RGB.

    Raises:
        BadPack: its bytes cannot be read, or are others than the index says.
        BadImage: they are no image of the size that the index is aligned to.
    """
    image = cv2.imdecode(np.frombuffer(reader.read(row), np.uint8), cv2.IMREAD_COLOR)
    where = f"{index.where}: row {row}"
    if image is None:
        raise BadImage(f"{where}: expected an image, got bytes that cannot be decoded")
    if image.shape[:2] != (index.aligned, index.aligned):
        raise BadImage(
            f"{where}: expected {index.aligned}×{index.aligned} pixels, got {image.shape[1]}×{image.shape[0]}"
        )
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def _by_digest(digests: Sequence[bytes], rows: Iterable[int]) -> dict[bytes, list[int]]:
    """Rows of the same bytes together: they are described once."""
    found: dict[bytes, list[int]] = {}
    for row in rows:
        found.setdefault(digests[row], []).append(row)
    return found


def _batches(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _BATCH):
        yield digests[start : start + _BATCH]


def _opened(file: Path) -> sqlite3.Connection:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite would make a file that others can read.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(file, timeout=60)
        database.execute(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
        raise CacheError(f"{file}: cannot be opened: {error}") from error
    return database


@contextmanager
def _guarded(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CacheError(f"{file}: cannot be used: {error}") from error


def _fill(
    database: sqlite3.Connection, digests: Sequence[bytes], vectors: FloatArray, there: NDArray[np.bool_]
) -> None:
    """Take what is kept."""
    rows = _by_digest(digests, range(len(digests)))
    keys = list(rows)
    for start in range(0, len(keys), _KEYS_A_QUERY):
        part = keys[start : start + _KEYS_A_QUERY]
        marks = ",".join("?" * len(part))
        for digest, data in database.execute(f"SELECT digest, vector FROM templates WHERE digest IN ({marks})", part):
            vector = np.frombuffer(data, "<f4")
            # One of another length is of another model, in a file that the caller named: made anew.
            if len(vector) == vectors.shape[1]:
                vectors[rows[digest]] = vector
                there[rows[digest]] = True


def _write(database: sqlite3.Connection, digests: Sequence[bytes], vectors: FloatArray) -> None:
    rows = [(digest, vector.astype("<f4").tobytes()) for digest, vector in zip(digests, vectors, strict=True)]
    with database:
        database.executemany("INSERT OR REPLACE INTO templates VALUES (?, ?)", rows)
