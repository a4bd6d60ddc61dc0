"""A gallery in a SQLite file: durable, shared by threads and processes, searched in memory."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

from mien.errors import BadGallery, GalleryError, IdentityNotFound, TemplateNotFound
from mien.galleries.names import canonical_name
from mien.galleries.residents import NewTemplates, checked_id, checked_items, require_fit, stacked
from mien.galleries.sqlite_file import KEPT_REMOVALS, GalleryFile, transaction, translated
from mien.galleries.sqlite_mirror import Mirror, decoded
from mien.galleries.urls import GalleryUrl
from mien.matching import checked_threshold, checked_top
from mien.types import Enrollment, Match, Templates

__all__ = ["SqliteGallery"]

_ERASING_TIMEOUT_MS = 200


class SqliteGallery:
    """The ``Gallery`` behind ``sqlite:///``.

    Reading has a connection of its own, so a search never waits for a writer, in this process or another. What
    an enrollment returns survives a killed process and a power failure. What is removed is overwritten with
    zeros in the file, and the write-ahead log is emptied unless another process is reading at that moment
    (then it is emptied later, at the latest when the last process closes the gallery).

    Args:
        url: which file and gallery.
        create: make the file and the gallery where there is none.

    Raises:
        BadGallery: there is no gallery, or the file is something else.
        GalleryLocked: another process holds the file.
        GalleryError: the file cannot be read or made.
    """

    def __init__(self, url: GalleryUrl, create: bool = True) -> None:
        self.url = url.url
        self.name = url.name
        self._file = GalleryFile(url, create)
        self._pid = os.getpid()
        self._closed = False
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._writer: sqlite3.Connection | None = None
        with translated(self._file.path):
            reader = self._file.reader()
            try:
                self._id = self._find(reader, create)
            except BaseException:
                reader.close()
                self._close_writer()
                raise
            self._mirror = Mirror(self._file, reader, self._id)

    def _find(self, reader: sqlite3.Connection, create: bool) -> int:
        """The gallery's row, made where it is missing."""
        query = "SELECT id FROM galleries WHERE name = ?"
        row = reader.execute(query, (self.name,)).fetchone()
        if row is None and create and not self._file.read_only:
            with self._write() as writer:
                writer.execute("INSERT OR IGNORE INTO galleries (name) VALUES (?)", (self.name,))
                row = writer.execute(query, (self.name,)).fetchone()
        if row is None:
            names = [name for (name,) in reader.execute("SELECT name FROM galleries ORDER BY name")]
            raise BadGallery(f"no gallery named {self.name!r} at {self._file.path}; it has: {', '.join(names)}")
        return int(row[0])

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"the gallery {self.url} is closed")
        if os.getpid() != self._pid:
            raise GalleryError(f"the gallery {self.url} was opened before this process was forked: open it again here")

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._reading:
            self._require_open()
            with translated(self._file.path):
                yield self._mirror.reader()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the writing connection, begun before anything is read."""
        with self._writing:
            self._require_open()
            if self._file.read_only:
                raise GalleryError(f"{self._file.path}: the gallery is read-only (opened with mode=ro)")
            with translated(self._file.path):
                if self._writer is None:
                    self._writer = self._file.writer()
                with transaction(self._writer):
                    yield self._writer

    @property
    def space(self) -> str | None:
        """The embedding space, or None before the first enrollment."""
        with self._read() as reader:
            row = reader.execute("SELECT space FROM galleries WHERE id = ?", (self._id,)).fetchone()
            return None if row[0] is None else str(row[0])

    def add(self, identity: str, templates: Templates) -> list[Enrollment]:
        """See ``Gallery.add``."""
        return self.add_many([(identity, templates)])

    def add_many(self, items: Iterable[tuple[str, Templates]]) -> list[Enrollment]:
        """See ``Gallery.add_many``."""
        self._require_open()
        # The items are made before the transaction begins: they may take long, and the write lock shuts out others.
        checked = checked_items(items)
        with self._write() as writer:
            filled = self._require_fit(writer, checked)
            if not filled:
                return []
            numbers = self._identity_numbers(writer, [name for name, _ in filled])
            codes, vectors = stacked(filled, numbers)
            first = _last_id(writer, "templates") + 1
            data, width = memoryview(vectors.astype("<f4").tobytes()), 4 * vectors.shape[1]
            writer.executemany(
                "INSERT INTO templates (id, gallery_id, identity_id, vector) VALUES (?, ?, ?, ?)",
                (
                    (first + i, self._id, code, data[i * width : (i + 1) * width])
                    for i, code in enumerate(codes.tolist())
                ),
            )
        owners = (name for name, templates in filled for _ in range(len(templates)))
        return [Enrollment(name, id_) for id_, name in enumerate(owners, start=first)]

    def _require_fit(self, writer: sqlite3.Connection, checked: NewTemplates) -> NewTemplates:
        """The items that hold templates, after a look at the gallery's space, which the first of them fixes."""
        space, dimension = writer.execute("SELECT space, dimension FROM galleries WHERE id = ?", (self._id,)).fetchone()
        if checked and space is not None:
            require_fit(checked[0][1], space, dimension)
        filled = [(name, templates) for name, templates in checked if len(templates)]
        if filled and space is None:
            templates = filled[0][1]
            writer.execute(
                "UPDATE galleries SET space = ?, dimension = ? WHERE id = ?",
                (templates.space, templates.dimension, self._id),
            )
        return filled

    def _identity_numbers(self, writer: sqlite3.Connection, names: list[str]) -> dict[str, int]:
        """The number of each identity, new ones inserted."""
        numbers: dict[str, int] = {}
        new: list[tuple[int, int, str]] = []
        next_number = _last_id(writer, "identities") + 1
        for name in dict.fromkeys(names):
            row = writer.execute(
                "SELECT id FROM identities WHERE gallery_id = ? AND name = ?", (self._id, name)
            ).fetchone()
            if row is None:
                numbers[name] = next_number + len(new)
                new.append((numbers[name], self._id, name))
            else:
                numbers[name] = int(row[0])
        writer.executemany("INSERT INTO identities (id, gallery_id, name) VALUES (?, ?, ?)", new)
        return numbers

    def remove_identity(self, identity: str) -> int:
        """See ``Gallery.remove_identity``."""
        name = canonical_name(identity)
        with self._write() as writer:
            number = self._number(writer, name)
            removed = writer.execute("DELETE FROM templates WHERE identity_id = ?", (number,)).rowcount
            writer.execute("DELETE FROM identities WHERE id = ?", (number,))
            _trim_removals(writer)
        self._empty_log()
        return removed

    def remove_template(self, template_id: int) -> None:
        """See ``Gallery.remove_template``."""
        id_ = checked_id(template_id)
        with self._write() as writer:
            row = writer.execute(
                "SELECT identity_id FROM templates WHERE id = ? AND gallery_id = ?", (id_, self._id)
            ).fetchone()
            if row is None:
                raise TemplateNotFound(f"the gallery holds no template {id_}")
            writer.execute("DELETE FROM templates WHERE id = ?", (id_,))
            writer.execute(
                "DELETE FROM identities WHERE id = ? AND NOT EXISTS (SELECT 1 FROM templates WHERE identity_id = ?)",
                (row[0], row[0]),
            )
            _trim_removals(writer)
        self._empty_log()

    def _number(self, connection: sqlite3.Connection, name: str) -> int:
        query = "SELECT id FROM identities WHERE gallery_id = ? AND name = ?"
        row = connection.execute(query, (self._id, name)).fetchone()
        if row is None:
            raise IdentityNotFound(f"the gallery holds no identity {name!r}")
        return int(row[0])

    def _empty_log(self) -> None:
        """Empty the write-ahead log, which still holds what was removed; the removal stands either way."""
        with self._writing:
            if self._writer is not None:
                self._writer.execute(f"PRAGMA busy_timeout = {_ERASING_TIMEOUT_MS}")
                try:
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                except sqlite3.OperationalError:
                    # Locked by a reader, or a full disk: closing does it again.
                    return
                finally:
                    self._writer.execute(f"PRAGMA busy_timeout = {int(self._file.timeout_s * 1000)}")

    def identities(self) -> list[tuple[str, int]]:
        """See ``Gallery.identities``."""
        with self._read() as reader:
            rows = reader.execute(
                "SELECT i.name, count(*) FROM identities i JOIN templates t ON t.identity_id = i.id "
                "WHERE i.gallery_id = ? GROUP BY i.id",
                (self._id,),
            ).fetchall()
        return sorted(rows)

    def templates(self, identity: str) -> tuple[list[int], Templates]:
        """See ``Gallery.templates``."""
        name = canonical_name(identity)
        with self._read() as reader, transaction(reader, "DEFERRED"):
            number = self._number(reader, name)
            space, dimension = reader.execute(
                "SELECT space, dimension FROM galleries WHERE id = ?", (self._id,)
            ).fetchone()
            rows = reader.execute("SELECT id, vector FROM templates WHERE identity_id = ? ORDER BY id", (number,))
            ids, blobs = zip(*rows, strict=True)
        return list(ids), decoded(blobs, space, dimension, self._file)

    def search(self, probes: Templates, *, top: int = 1, threshold: float | None = None) -> list[list[Match]]:
        """See ``Gallery.search``."""
        top, threshold = checked_top(top), checked_threshold(threshold)
        with self._read():
            residents = self._mirror.current()
        return [[] for _ in range(len(probes))] if residents is None else residents.search(probes, top, threshold)

    def __len__(self) -> int:
        """How many templates are enrolled."""
        with self._read() as reader:
            return int(reader.execute("SELECT count(*) FROM templates WHERE gallery_id = ?", (self._id,)).fetchone()[0])

    def close(self) -> None:
        """See ``Gallery.close``."""
        with self._writing, self._reading:
            if self._closed:
                return
            self._closed = True
            with translated(self._file.path):
                self._mirror.close()
                self._close_writer()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> SqliteGallery:
        """The gallery itself, closed at the end of the block."""
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the gallery."""
        self.close()


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    """The highest id that a table ever gave out."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])


def _trim_removals(writer: sqlite3.Connection) -> None:
    writer.execute("DELETE FROM removals WHERE id <= (SELECT max(id) FROM removals) - ?", (KEPT_REMOVALS,))
