"""The file behind a SQLite gallery: opening it safely, its layout, and SQLite's errors in mien's words."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mien.errors import BadGallery, GalleryError, GalleryLocked, GalleryNotFound
from mien.galleries.private_files import make_private
from mien.galleries.sql.schema import SCHEMA_VERSIONS, create, upgrade
from mien.galleries.sql.sqlite_session import SqliteSession
from mien.galleries.urls import GalleryUrl

__all__ = ["APPLICATION_ID", "GalleryFile", "require_place", "transaction", "translated"]

APPLICATION_ID = 0x6D69656E
"""``mien`` in ASCII, in the file's header; see https://www.sqlite.org/fileformat.html#application_id."""

_LAYOUT = SCHEMA_VERSIONS["sqlite"]
_SMALLEST_PAGE = 512
_WRITER_CACHE_KIB = 64 * 1024


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
        if any(sign in text for sign in ("not a database", "malformed", "no such", "Could not decode")):
            raise BadGallery(f"{path}: expected a mien gallery, got a damaged or foreign file ({text})") from error
        if "unable to open" in text:
            raise GalleryError(f"{path}: cannot be opened, or not be written here ({text})") from error
        raise GalleryError(f"{path}: {text}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[SqliteSession]:
    """Run a block in one transaction: all of it, or nothing when it raises."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield SqliteSession(connection)
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
        GalleryError: the file cannot be read or made, or is of an older layout and may not be changed.
    """

    def __init__(self, url: GalleryUrl, create: bool) -> None:
        # Not by a symbolic link: SQLite keeps the log beside the file itself.
        self.path = Path(os.path.realpath(url.path))
        self.timeout_s = url.timeout_s
        self.read_only = url.mode == "ro"
        self.immutable = False
        create = create and not self.read_only
        with translated(self.path):
            layout = self._found_layout()
            if layout == 0:
                if not create:
                    raise GalleryNotFound(f"no gallery at {self.path}")
                if not self.path.parent.is_dir():
                    raise BadGallery(f"{self.path}: the folder {self.path.parent} does not exist")
                self._make()
            elif layout < _LAYOUT:
                self._upgrade(layout)

    def _found_layout(self) -> int:
        """The layout of the gallery that the file is (0: absent or empty); looks at it without touching it."""
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            raise BadGallery(f"{self.path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise BadGallery(f"{self.path}: expected a gallery file, got {kind}")
        if status.st_size == 0:
            return 0
        if status.st_size < _SMALLEST_PAGE:
            # SQLite takes such a file for an empty one and would write over it.
            raise BadGallery(f"{self.path}: expected a gallery, got {status.st_size} bytes that are not a database")
        # Through SQLite, never by open(): closing a second handle would drop this process's locks on the file.
        with closing(self._connect("mode=ro&immutable=1")) as connection:
            try:
                layout = self._layout(connection)
                # What was committed and is still in the write-ahead log is not seen without locks.
                if layout == _LAYOUT or not self._log_size():
                    return layout
            except sqlite3.DatabaseError as error:
                if "malformed" not in str(error):
                    raise
        # Seen without locks, a file that another process is just writing to looks damaged.
        with closing(self._connect("mode=rw")) as connection:
            connection.execute("PRAGMA query_only = ON")
            return self._layout(connection)

    def _layout(self, connection: sqlite3.Connection) -> int:
        """The layout of a gallery, 0 for an empty database; raises BadGallery for anything else."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application == APPLICATION_ID:
            if not 0 < version <= _LAYOUT:
                raise BadGallery(
                    f"{self.path}: expected gallery layout {_LAYOUT}, got {version}; "
                    "a newer version of mien made this file"
                )
            return int(version)
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != 0 or tables:
            raise BadGallery(f"{self.path}: expected a mien gallery, got another application's database")
        return 0

    def _make(self) -> None:
        try:
            # The files that SQLite makes beside it get the same mode.
            make_private(str(self.path))
        except OSError as error:
            raise GalleryError(f"{self.path}: cannot be made: {error.strerror}") from error
        # The layout is written before WAL is switched on, so the header names the application from the start.
        with closing(self._connect("mode=rwc")) as connection:
            # At the default of 4096 bytes, a vector of 512 numbers would leave near half of each page empty.
            connection.execute("PRAGMA page_size = 16384")
            with transaction(connection) as session:
                if self._layout(connection) == 0:
                    create(session, "sqlite")
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {_LAYOUT}")

    def _upgrade(self, layout: int) -> None:
        """Bring the file to the newest layout, unless another process has done it meanwhile."""
        once = f"{self.path}: layout {layout} is brought to layout {_LAYOUT} when it is first opened for writing"
        if self.read_only:
            raise GalleryError(f"{once}, and it is opened with mode=ro")
        with closing(self.writer()) as connection:
            try:
                with transaction(connection) as session:
                    found = self._layout(connection)
                    upgrade(session, "sqlite", found)
                    connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            except sqlite3.OperationalError as error:
                if "readonly" not in str(error) and "unable to open" not in str(error):
                    raise
                raise GalleryError(f"{once}, and here it cannot be written ({error})") from error

    def _connect(self, how: str) -> sqlite3.Connection:
        address = f"{self.path.as_uri()}?{how}"
        return sqlite3.connect(address, uri=True, timeout=self.timeout_s, isolation_level=None, check_same_thread=False)

    def writer(self) -> sqlite3.Connection:
        """A connection whose commits survive a power failure and whose deletions overwrite what they delete."""
        connection = self._connect("mode=rw")
        try:
            # FULL: a commit is on the disk before it returns. ON: deleted content is overwritten with zeros.
            # The cache holds a large transaction, which would otherwise go to the log page by page, some twice.
            for setting in ("synchronous = FULL", "secure_delete = ON", f"cache_size = -{_WRITER_CACHE_KIB}"):
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
            self._layout(connection)
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
        if self._log_size():
            raise GalleryError(f"{self.path}: read-only, and not closed cleanly where it was written") from reason
        connection = self._connect("mode=ro&immutable=1")
        try:
            self._layout(connection)
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

    def _log_size(self) -> int:
        wal = Path(f"{self.path}-wal")
        try:
            return wal.stat().st_size
        except FileNotFoundError:
            return 0

    def identity(self) -> tuple[int, int]:
        """Which file it is, whatever its content.

        Raises:
            GalleryError: there is none at this path any more.
        """
        try:
            status = os.stat(self.path)
            return (status.st_dev, status.st_ino)
        except OSError as error:
            raise GalleryError(f"{self.path}: {error.strerror}") from error

    def signature(self) -> tuple[int, ...]:
        """What changes when the file does; for readers that SQLite cannot tell of changes."""
        try:
            status = os.stat(self.path)
            return (status.st_ino, status.st_size, status.st_mtime_ns, self._log_size())
        except OSError as error:
            raise GalleryError(f"{self.path}: {error.strerror}") from error


def require_place(url: GalleryUrl) -> None:
    """Check that a gallery can be made in a file: there is none, an empty one, or one that holds galleries.

    Raises:
        BadGallery: there is something else, or the folder does not exist.
        GalleryError: the folder cannot be written.
    """
    path = os.path.realpath(url.path)
    folder = os.path.dirname(path)
    if not os.path.exists(path):
        if not os.path.isdir(folder):
            raise BadGallery(f"{path}: the folder {folder} does not exist")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise GalleryError(f"{path}: cannot be made: no permission to write in {folder}")
    elif not os.path.isfile(path) or os.path.getsize(path):
        GalleryFile(url, create=False)
