"""SQLite as a place for galleries: one file, shared by threads and processes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Literal

from mien.errors import BadGallery, GalleryError, GalleryLocked
from mien.galleries.sql.database import Session, untold
from mien.galleries.sql.sqlite_file import GalleryFile, transaction, translated
from mien.galleries.sql.sqlite_session import SqliteSession
from mien.galleries.urls import GalleryUrl

__all__ = ["SqliteDatabase"]

_ERASING_TIMEOUT_MS = 200
_AGAIN_AFTER_S = 1.0
_AGAIN_TIMEOUT_MS = 20
_MOST_IDLE = 4


class SqliteDatabase:
    """The ``Database`` in a SQLite file.

    Each reading has a connection of its own, so a search never waits for a writer, in this process or another. What
    is removed is overwritten with zeros in the file, and the write-ahead log is emptied unless someone is reading at
    that moment. Then it is tried again every second, and done at the latest when the last process closes the gallery.

    Args:
        url: which file.
        create: make the file where there is none.

    Raises:
        BadGallery: there is no such file, or it is something else.
        GalleryLocked: another process holds the file.
        GalleryError: the file cannot be read or made.
    """

    kind: Literal["sqlite"] = "sqlite"

    def __init__(self, url: GalleryUrl, create: bool) -> None:
        self._file = GalleryFile(url, create)
        self._lock, self._writing = threading.RLock(), threading.RLock()
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._again: threading.Timer | None = None
        self._opened = self._file.identity()
        with translated(self._file.path):
            # Watches for changes, and keeps the file in use, so that its log is not removed and made again.
            self._watcher = self._file.reader()
        self._seen = self._file.signature() if self._file.immutable else ()

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self._file.path)

    @property
    def read_only(self) -> bool:
        """Whether the URL or the folder's permissions forbid changes."""
        return self._file.read_only or self._file.immutable

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"{self.place}: the gallery is closed")

    def _renew(self) -> None:
        """Let nobody read an older file: SQLite takes an immutable one at its word and would not look again."""
        if self._file.immutable and self._file.signature() != self._seen:
            for connection in (self._watcher, *self._idle):
                connection.close()
            self._idle = []
            self._seen, self._opened = self._file.signature(), self._file.identity()
            self._watcher = self._file.reader()
        self._require_same()

    def _require_same(self) -> None:
        """Let nobody mix two files: what is open stays the former one, and new connections would be to the other."""
        if not self._file.immutable and self._file.identity() != self._opened:
            raise GalleryError(f"{self.place}: another file was put in its place: close the gallery and open it again")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See ``Database.reading``."""
        with translated(self._file.path):
            with self._lock:
                self._require_open()
                self._renew()
                seen = self._seen
                connection = self._idle.pop() if self._idle else self._file.reader()
            try:
                with transaction(connection, "DEFERRED") as session:
                    yield session
                # Without SQLite's locks the file may change while it is read; then what was read is worth nothing.
                if self._file.immutable and self._file.signature() != seen:
                    raise BadGallery(f"{self.place}: the file changed while it was read")
            finally:
                self._give_back(connection, seen)

    def _give_back(self, connection: sqlite3.Connection, seen: tuple[int, ...]) -> None:
        with self._lock:
            if self._closed or seen != self._seen or len(self._idle) >= _MOST_IDLE:
                connection.close()
            else:
                self._idle.append(connection)

    @contextmanager
    def writing(self, gallery_id: int | None = None, *, wait: bool = True) -> Iterator[Session]:
        """See ``Database.writing``; begun before anything is read, so writers take turns from the first look on."""
        if not self._writing.acquire(blocking=wait):
            raise GalleryLocked(f"{self.place}: another thread is writing")
        try:
            self._require_open()
            if self._file.read_only:
                raise GalleryError(f"{self.place}: the gallery is read-only (opened with mode=ro)")
            with translated(self._file.path):
                self._require_same()
                if self._writer is None:
                    self._writer = self._file.writer()
                self._patience(self._writer, self._file.timeout_s if wait else 0)
                with transaction(self._writer) as session:
                    yield session
        finally:
            self._writing.release()

    def _patience(self, writer: sqlite3.Connection, seconds: float) -> None:
        writer.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def version(self) -> Hashable:
        """See ``Database.version``."""
        with self._lock, translated(self._file.path):
            self._require_open()
            self._renew()
            if self._file.immutable:
                return self._seen
            # https://www.sqlite.org/pragma.html#pragma_data_version: changes with every commit of another
            # connection, and everyone, here as elsewhere, writes through another one.
            return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    def announce(self, session: Session, gallery_id: int) -> None:
        """See ``Database.announce``: SQLite tells whoever asks."""

    def erase_leftovers(self) -> None:
        """Empty the write-ahead log, which still holds what was removed; the removal stands either way."""
        self._empty_log(_ERASING_TIMEOUT_MS / 1000)

    def _empty_log(self, patience_s: float) -> None:
        """Empty the log now, or else a little later."""
        with self._writing:
            if self._again is not None:
                self._again.cancel()
                self._again = None
            if self._closed or self._writer is None or self._is_emptied(self._writer, patience_s):
                return
            self._again = threading.Timer(_AGAIN_AFTER_S, self._empty_log, (_AGAIN_TIMEOUT_MS / 1000,))
            self._again.daemon = True
            self._again.start()

    def _is_emptied(self, writer: sqlite3.Connection, patience_s: float) -> bool:
        try:
            self._patience(writer, patience_s)
            # Readers that are in its way are no error: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
            (busy, _, _) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            # Someone is writing, or the disk is full.
            return False
        return not busy

    def compact(self, tell: Callable[[], None] = untold) -> None:
        """See ``Database.compact``; needs as much room on the disk again as the file has, for a moment."""
        with self.writing():
            pass
        with self._writing, translated(self._file.path):
            if self._writer is not None:
                with SqliteSession(self._writer).telling(tell):
                    self._writer.execute("VACUUM")
                self._empty_log(self._file.timeout_s)

    def check(self, tell: Callable[[], None] = untold) -> list[str]:
        """See ``Database.check``."""
        try:
            with self.reading() as session, session.telling(tell):
                rows = session.execute("PRAGMA integrity_check")
        except BadGallery as error:
            return [str(error)]
        return [f"{self.place}: {text}" for (text,) in rows if text != "ok"]

    def close(self) -> None:
        """See ``Database.close``; who is still reading reads to the end."""
        with self._writing, self._lock:
            if self._closed:
                return
            self._closed = True
            with translated(self._file.path):
                for connection in (*self._idle, self._watcher):
                    connection.close()
                self._idle = []
                if self._writer is not None:
                    if self._again is not None:
                        self._again.cancel()
                        self._is_emptied(self._writer, _ERASING_TIMEOUT_MS / 1000)
                    self._writer.close()
                    self._writer = None
