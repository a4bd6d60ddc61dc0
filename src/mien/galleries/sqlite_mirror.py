"""The copy in memory that a SQLite gallery searches, kept equal to the file whichever process changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from mien.errors import BadGallery, BadInput
from mien.galleries.residents import Residents
from mien.galleries.sqlite_file import GalleryFile, transaction
from mien.types import Templates

__all__ = ["Mirror", "decoded"]

_ROWS = 20_000
_ATTEMPTS = 5


class Mirror:
    """The templates of one gallery in memory, read on first use and brought up to date before each search.

    Used under a lock of the gallery's. Raises SQLite's errors as they come.
    """

    def __init__(self, file: GalleryFile, connection: sqlite3.Connection, gallery_id: int) -> None:
        self._connection = connection
        self._file = file
        self._signature = file.signature() if file.immutable else ()
        self._gallery_id = gallery_id
        self._residents: Residents | None = None
        self._version: tuple[int, ...] | None = None
        self._last_template = 0
        self._last_identity = 0
        self._last_removal = 0

    def close(self) -> None:
        """Give back the connection and the memory."""
        self._connection.close()
        self._residents = None

    def reader(self) -> sqlite3.Connection:
        """A connection that sees the file as it is now."""
        if self._file.immutable and self._file.signature() != self._signature:
            # SQLite takes an immutable file at its word and would go on reading what it has in its cache.
            self._connection.close()
            self._residents = None
            self._signature = self._file.signature()
            self._connection = self._file.reader()
        return self._connection

    def current(self) -> Residents | None:
        """The templates as they are in the file now, or None before the first enrollment."""
        for _ in range(_ATTEMPTS):
            connection = self.reader()
            version = self._file_version()
            if version == self._version:
                break
            with transaction(connection, "DEFERRED"):
                self._refresh()
            # Without SQLite's locks the file may change while it is read; then what was read is worth nothing.
            if not self._file.immutable or self._file_version() == version:
                self._version = version
                break
        else:
            raise BadGallery(f"{self._file.path}: the file kept changing while it was read")
        return self._residents

    def _file_version(self) -> tuple[int, ...]:
        if self._file.immutable:
            return self._file.signature()
        # https://www.sqlite.org/pragma.html#pragma_data_version: changes with every commit of another connection.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return (version,)

    def _refresh(self) -> None:
        space, dimension = self._connection.execute(
            "SELECT space, dimension FROM galleries WHERE id = ?", (self._gallery_id,)
        ).fetchone()
        if space is None:
            return
        oldest, newest = self._connection.execute("SELECT min(id), max(id) FROM removals").fetchone()
        forgotten = oldest is not None and self._last_removal < oldest - 1
        if self._residents is None or forgotten:
            residents = Residents(space, dimension)
            (count,) = self._connection.execute(
                "SELECT count(*) FROM templates WHERE gallery_id = ?", (self._gallery_id,)
            ).fetchone()
            # Room that is not used yet takes no memory, and the next enrollments need not copy everything.
            residents.index.reserve(count + count // 4)
            self._last_template = self._last_identity = 0
            self._read_new(residents)
            self._residents = residents
        else:
            # Additions first: an identity may have lost its old templates after it was given new ones.
            self._read_new(self._residents)
            removed = self._connection.execute(
                "SELECT template_id FROM removals WHERE gallery_id = ? AND id > ?",
                (self._gallery_id, self._last_removal),
            ).fetchall()
            if removed:
                self._residents.remove(np.array(removed, np.int64)[:, 0])
        self._last_removal = 0 if newest is None else newest

    def _read_new(self, residents: Residents) -> None:
        """Read templates that are not in memory yet; the one writer at a time gives out ids in rising order."""
        names = dict(
            self._connection.execute(
                "SELECT id, name FROM identities WHERE gallery_id = ? AND id > ?",
                (self._gallery_id, self._last_identity),
            )
        )
        last_identity = max(names, default=self._last_identity)
        cursor = self._connection.execute(
            "SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? AND id > ? ORDER BY id",
            (self._gallery_id, self._last_template),
        )
        while rows := cursor.fetchmany(_ROWS):
            ids, numbers, blobs = zip(*rows, strict=True)
            vectors = decoded(blobs, residents.space, residents.index.dimension, self._file).vectors
            residents.add(ids, numbers, vectors, names)
            self._last_template = ids[-1]
            names = {}
        self._last_identity = last_identity


def decoded(blobs: Sequence[bytes], space: str, dimension: int, file: GalleryFile) -> Templates:
    """The templates of stored vectors.

    Raises:
        BadGallery: a vector has another length, or is no unit vector.
    """
    width = 4 * dimension
    for blob in blobs:
        if len(blob) != width:
            raise BadGallery(f"{file.path}: expected vectors of {width} bytes, got one of {len(blob)}")
    try:
        return Templates(np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension), space)
    except BadInput as error:
        raise BadGallery(f"{file.path}: a stored vector is damaged: {error}") from error
