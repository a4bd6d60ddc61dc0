"""The file behind a SQLite gallery: its layout, opening it safely, and SQLite's errors in mien's words.

Vectors are rows of little-endian float32. ``AUTOINCREMENT`` keeps ids from being given out twice. The table of
removals lets other processes follow what was removed; a trigger fills it, so no removal can be missed.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mien.errors import BadGallery, GalleryError, GalleryLocked
from mien.galleries.urls import GalleryUrl

__all__ = ["APPLICATION_ID", "KEPT_REMOVALS", "SCHEMA_VERSION", "GalleryFile", "transaction", "translated"]

APPLICATION_ID = 0x6D69656E
"""``mien`` in ASCII, in the file's header; see https://www.sqlite.org/fileformat.html#application_id."""

SCHEMA_VERSION = 1
"""The layout's version, kept as SQLite's ``user_version``."""

KEPT_REMOVALS = 100_000
"""How many removals the log remembers; a process further behind reads the whole gallery again."""

_SMALLEST_PAGE = 512

_SCHEMA = (
    """CREATE TABLE galleries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, space TEXT, dimension INTEGER)""",
    """CREATE TABLE identities (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL REFERENCES galleries (id),
        name TEXT NOT NULL, UNIQUE (gallery_id, name))""",
    """CREATE TABLE templates (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL REFERENCES galleries (id),
        identity_id INTEGER NOT NULL REFERENCES identities (id), vector BLOB NOT NULL)""",
    "CREATE INDEX templates_of_gallery ON templates (gallery_id)",
    "CREATE INDEX templates_of_identity ON templates (identity_id)",
    """CREATE TABLE removals (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL, template_id INTEGER NOT NULL)""",
    """CREATE TRIGGER log_removal AFTER DELETE ON templates BEGIN
        INSERT INTO removals (gallery_id, template_id) VALUES (old.gallery_id, old.id); END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into gallery errors.

    Raises:
        GalleryLocked: another process held the lock for longer than the time-out.
        BadGallery: the file is damaged or no database.
        GalleryError: disk full, read-only, not readable.
    """
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise GalleryLocked(f"{path}: another process is writing ({text}); timeout_s sets the wait") from error
        if "full" in text:
            raise GalleryError(f"{path}: no room left on the disk ({text}); nothing was changed") from error
        if "readonly" in text:
            raise GalleryError(f"{path}: the gallery is read-only ({text})") from error
        if any(sign in text for sign in ("not a database", "malformed", "no such table", "no such column")):
            raise BadGallery(f"{path}: expected a mien gallery, got a damaged or foreign file ({text})") from error
        raise GalleryError(f"{path}: {text}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Run a block in one transaction: all of it, or nothing when it raises."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class GalleryFile:
    """A checked SQLite file that holds galleries; hands out connections to it.

    Args:
        url: which file and how.
        create: make the file where there is none.

    Raises:
        BadGallery: there is no such file or folder, or it is no gallery that this version opens; a foreign file
            is left as it is.
        GalleryLocked: another process holds the file.
        GalleryError: the file cannot be read or made.
    """

    def __init__(self, url: GalleryUrl, create: bool) -> None:
        self.path = Path(os.path.abspath(url.path))
        self.timeout_s = url.timeout_s
        self.read_only = url.mode == "ro"
        self.immutable = False
        create = create and not self.read_only
        with translated(self.path):
            if not self._holds_gallery():
                if not create:
                    raise BadGallery(f"no gallery at {self.path}")
                if not self.path.parent.is_dir():
                    raise BadGallery(f"{self.path}: the folder {self.path.parent} does not exist")
                self._make()

    def _holds_gallery(self) -> bool:
        """Whether the file is a gallery (False: absent or empty); looks at it without touching it."""
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise BadGallery(f"{self.path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise BadGallery(f"{self.path}: expected a gallery file, got {kind}")
        if status.st_size == 0:
            return False
        if status.st_size < _SMALLEST_PAGE:
            # SQLite takes such a file for an empty one and would write over it.
            raise BadGallery(f"{self.path}: expected a gallery, got {status.st_size} bytes that are not a database")
        # Through SQLite, never by open(): closing a second handle would drop this process's locks on the file.
        with closing(self._connect("mode=ro&immutable=1")) as connection:
            try:
                return self._is_gallery(connection)
            except sqlite3.DatabaseError as error:
                if "malformed" not in str(error):
                    raise
        # Seen without locks, a file that another process is just writing to looks damaged.
        with closing(self._connect("mode=rw")) as connection:
            connection.execute("PRAGMA query_only = ON")
            return self._is_gallery(connection)

    def _is_gallery(self, connection: sqlite3.Connection) -> bool:
        """True for a gallery, False for an empty database; raises BadGallery for anything else."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application == APPLICATION_ID:
            if version != SCHEMA_VERSION:
                raise BadGallery(
                    f"{self.path}: expected gallery layout {SCHEMA_VERSION}, got {version}; "
                    "a newer version of mien made this file"
                )
            return True
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != 0 or tables:
            raise BadGallery(f"{self.path}: expected a mien gallery, got another application's database")
        return False

    def _make(self) -> None:
        # The layout is written before WAL is switched on, so the header names the application from the start.
        with closing(self._connect("mode=rwc")) as connection:
            # At the default of 4096 bytes, a vector of 512 numbers would leave near half of each page empty.
            connection.execute("PRAGMA page_size = 8192")
            with transaction(connection):
                if not self._is_gallery(connection):
                    for statement in _SCHEMA:
                        connection.execute(statement)

    def _connect(self, how: str) -> sqlite3.Connection:
        address = f"{self.path.as_uri()}?{how}"
        return sqlite3.connect(address, uri=True, timeout=self.timeout_s, isolation_level=None, check_same_thread=False)

    def writer(self) -> sqlite3.Connection:
        """A connection whose commits survive a power failure and whose deletions overwrite what they delete."""
        connection = self._connect("mode=rw")
        try:
            # FULL: a commit is on the disk before it returns. ON: deleted content is overwritten with zeros.
            for setting in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
        return connection

    def reader(self) -> sqlite3.Connection:
        """A connection for reading, the best that the file's permissions allow."""
        self.immutable = False
        connection = self._connect("mode=rw")
        try:
            connection.execute("PRAGMA query_only = ON")
            self._is_gallery(connection)
            self._switch_to_wal(connection)
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if "readonly" not in str(error) and "unable to open" not in str(error):
                raise
            return self._immutable_reader(error)
        except BaseException:
            connection.close()
            raise

    def _immutable_reader(self, reason: sqlite3.OperationalError) -> sqlite3.Connection:
        """A reader for a read-only folder, where SQLite has no place for the files that coordinate processes."""
        wal = Path(f"{self.path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise GalleryError(f"{self.path}: read-only, and not closed cleanly where it was written") from reason
        connection = self._connect("mode=ro&immutable=1")
        try:
            self._is_gallery(connection)
        except BaseException:
            connection.close()
            raise
        self.immutable = True
        return connection

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Let readers go on while another process writes; a setting of the file, made once."""
        deadline = time.monotonic() + self.timeout_s
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal" and os.access(self.path, os.W_OK):
            try:
                connection.execute("PRAGMA query_only = OFF")
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait for its time-out here, when another process switches at the same moment.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            finally:
                connection.execute("PRAGMA query_only = ON")

    def signature(self) -> tuple[int, ...]:
        """What changes when the file does; for readers that SQLite cannot tell of changes."""
        try:
            status = os.stat(self.path)
            wal = Path(f"{self.path}-wal")
            return (status.st_ino, status.st_size, status.st_mtime_ns, wal.stat().st_size if wal.exists() else 0)
        except OSError as error:
            raise GalleryError(f"{self.path}: {error.strerror}") from error
