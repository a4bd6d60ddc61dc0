"""Templates of a teacher, made once for each image and its mirror, and kept.

They are kept in mien's cache folder, a SQLite file for each embedding space of a teacher, and in there by the digest of
each image's bytes: packs that share images share them, and changing an index makes nothing anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.embedding import Embedder
from mien.errors import BadInput, CacheError
from mien.training.data.index import Index
from mien.training.data.shards import ShardReader
from mien.types import FloatArray, ImageArray
from mien.zoo import cache_dir

__all__ = ["TeacherTemplates"]

_BATCH = 64
_KEYS_A_QUERY = 500
_SCHEMA = "CREATE TABLE IF NOT EXISTS templates (digest BLOB PRIMARY KEY, vectors BLOB NOT NULL) WITHOUT ROWID"


class TeacherTemplates:
    """A teacher's templates of images and their mirrors.

    Args:
        teacher: the embedder; its chips must be as large as the packs' images, and aligned alike.
        file: where they are kept; None for the file of the teacher's space in the cache folder.

    Raises:
        CacheError: the file cannot be opened or made.
    """

    def __init__(self, teacher: Embedder, file: Path | None = None) -> None:
        self.teacher = teacher
        self.file = cache_dir() / "teachers" / f"{teacher.space}.sqlite" if file is None else file
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.file, timeout=60)
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise CacheError(f"{self.file}: cannot be opened: {error}") from error

    def fill(self, index: Index, progress: Callable[[int], None] | None = None) -> list[int]:
        """Make what is missing of an index's images; what an earlier call made, even one that was cut off, stays.

        Args:
            index: the images.
            progress: called with the number of images done since the last call.

        Returns:
            The rows of images that cannot be decoded.

        Raises:
            BadInput: the pack's images have another size than the teacher's chips.
            BadPack: an image cannot be read.
            CacheError: they cannot be written.
        """
        size = self.teacher.chip_size
        if index.aligned != size:
            found = "images that are not aligned" if index.aligned is None else f"{index.aligned} pixels"
            raise BadInput(f"expected a pack aligned to {size} pixels, as {self.teacher.space} takes, got {found}")
        digests = index.digests
        there = self._there(digests)
        todo = list({digest: row for row, digest in enumerate(digests) if digest not in there}.values())
        advance = progress or (lambda _count: None)
        advance(len(digests) - len(todo))
        reader, bad = ShardReader(index), []
        for start in range(0, len(todo), _BATCH):
            rows = todo[start : start + _BATCH]
            images = {row: image for row in rows if (image := _decoded(reader.read(row), size)) is not None}
            bad += [row for row in rows if row not in images]
            if images:
                self._write([digests[row] for row in images], self._both(np.stack(list(images.values()))))
            advance(len(rows))
        reader.close()
        return bad

    def of(self, digests: Sequence[bytes]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Templates of images: ``(n, 2, d) float32``, of each and of its mirror, and which of them are there."""
        vectors = np.zeros((len(digests), 2, self.teacher.dimension), np.float32)
        there = np.zeros(len(digests), np.bool_)
        found: dict[bytes, bytes] = {}
        for start in range(0, len(digests), _KEYS_A_QUERY):
            part = digests[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT digest, vectors FROM templates WHERE digest IN ({marks})"
            found.update(self._database.execute(query, list(part)))
        for k, digest in enumerate(digests):
            if digest in found:
                vectors[k] = np.frombuffer(found[digest], np.float32).reshape(2, -1)
                there[k] = True
        return vectors, there

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _there(self, digests: Sequence[bytes]) -> set[bytes]:
        there: set[bytes] = set()
        for start in range(0, len(digests), _KEYS_A_QUERY):
            part = digests[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT digest FROM templates WHERE digest IN ({marks})"
            there.update(row[0] for row in self._database.execute(query, list(part)))
        return there

    def _both(self, chips: ImageArray) -> FloatArray:
        """``(n, 2, d)`` of chips and their mirrors."""
        both = np.concatenate([chips, chips[:, :, ::-1]])
        vectors = self.teacher.embed(np.ascontiguousarray(both)).vectors
        return np.ascontiguousarray(vectors.reshape(2, len(chips), -1).transpose(1, 0, 2), np.float32)

    def _write(self, digests: Sequence[bytes], vectors: FloatArray) -> None:
        rows = [(digest, vector.tobytes()) for digest, vector in zip(digests, vectors, strict=True)]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO templates VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise CacheError(f"{self.file}: cannot be written: {error}") from error


def _decoded(data: bytes, size: int) -> ImageArray | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape != (size, size, 3):
        return None
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)
