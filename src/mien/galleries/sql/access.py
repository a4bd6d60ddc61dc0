"""One gallery of a SQL database, opened: its transactions, and erasing what has expired."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mien.errors import GalleryError
from mien.galleries.keeper import Keeper
from mien.galleries.sql import audit, removing
from mien.galleries.sql.database import Session
from mien.galleries.sql.shelf import Shelf, require_there
from mien.galleries.sql.snapshot import SnapshotFile

__all__ = ["Access"]


class Access:
    """What the methods of ``SqlGallery`` share. Safe to use from many threads.

    Attributes:
        closed: whether the gallery is closed.

    Args:
        shown: the gallery's URL, for messages.
        shelf: which gallery of which database; closed with this.
        snapshot: the file beside the database that may hold a copy of its index; None: there is no place for one.

    Raises:
        GalleryError: the database cannot be read.
    """

    def __init__(self, shown: str, shelf: Shelf, snapshot: SnapshotFile | None) -> None:
        self.closed = False
        self._shown, self._shelf, self._snapshot = shown, shelf, snapshot
        self._pid = os.getpid()
        # What cannot be erased now (another process is writing, the file is read-only) is not shown all the same.
        with suppress(GalleryError):
            self._upkeep()
        self._keeper = Keeper(self._upkeep, shelf.options.retention_days, shelf.options.audit_days)

    def require_open(self) -> None:
        """Raise GalleryError if the gallery is closed, or was opened before a fork."""
        if self.closed:
            raise GalleryError(f"the gallery {self._shown} is closed")
        if os.getpid() != self._pid:
            raise GalleryError(
                f"the gallery {self._shown} was opened before this process was forked: open it again here"
            )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that changes nothing.

        Raises:
            GalleryNotFound: the gallery was removed meanwhile.
        """
        self.require_open()
        with self._shelf.database.reading() as session:
            require_there(session, self._shelf)
            yield session

    @contextmanager
    def write(self, *, removes: bool = False) -> Iterator[Session]:
        """One transaction of a change, after what has expired is erased.

        Args:
            removes: whether something is removed, of which the engine is to keep nothing.

        Raises:
            GalleryNotFound: the gallery was removed meanwhile.
        """
        self.require_open()
        database = self._shelf.database
        copied, gone = False, None
        with database.writing(self._shelf.gallery_id) as session:
            require_there(session, self._shelf)
            copied = self._snapshot is not None and self._snapshot.exists()
            before = removing.last_removal(session, self._shelf) if copied else 0
            expired = removing.expire(session, self._shelf)
            yield session
            database.announce(session, self._shelf.gallery_id)
            if copied:
                gone = removing.removed_since(session, self._shelf, before)
        if removes or expired:
            database.erase_leftovers()
        if self._snapshot is not None and copied:
            self._snapshot.erase(gone)

    def _upkeep(self) -> None:
        """Erase what has expired."""
        options = self._shelf.options
        if self.closed or self._shelf.database.read_only or os.getpid() != self._pid:
            return
        if options.retention_days is None and options.audit_days is None:
            return
        with self._shelf.database.reading() as session:
            due = removing.is_due(session, self._shelf) or audit.is_due(session, self._shelf)
        if due:
            with self.write(removes=True) as session:
                audit.drop_old_entries(session, self._shelf)

    def close(self) -> None:
        """From now on the gallery is closed."""
        self.closed = True
        self._keeper.stop()
