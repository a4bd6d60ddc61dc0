"""The server's own database: keys, the audit log, jobs and idempotency records, shared by all workers."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.errors import Overloaded, ServerError
from mien.galleries.private_files import make_private

__all__ = ["FILE_NAME", "State", "private_folder"]

FILE_NAME = "server.db"
"""The database's file in the folder of ``ServerSettings.data``."""

_APPLICATION_ID = 0x6D737276  # "msrv"
_LAYOUT = 1
_TIMEOUT_S = 10.0


class State:
    """A SQLite file in WAL mode with a connection for each thread that uses it.

    Args:
        path: the file; it is made if there is none, readable by its owner alone.
        schemas: statements ``CREATE TABLE IF NOT EXISTS …`` of those who keep something here.

    Raises:
        ServerError: the file is another application's, of a newer version, or cannot be made.
        Overloaded: another process holds it for longer than ten seconds.
    """

    def __init__(self, path: Path, schemas: Iterable[tuple[str, ...]] = ()) -> None:
        self.path = path
        self._local = threading.local()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False
        private_folder(path.parent)
        try:
            make_private(str(path))
        except OSError as error:
            raise ServerError(f"{path}: cannot be made: {error.strerror}") from error
        with _translated(path):
            connection = self._connection()
            self._require_own(connection)
            _switch_to_wal(connection)
        with self.writing() as connection:
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            for schema in schemas:
                for statement in schema:
                    connection.execute(statement)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database throughout the block; rows are ``sqlite3.Row``.

        Raises:
            Overloaded: another process holds the database.
            ServerError: the database is closed, or cannot be read.
        """
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction: all of the block is on the disk after it, or nothing if it raises.

        A block inside another one of the same thread joins it.

        Raises:
            Overloaded: another process holds the database.
            ServerError: the database is closed, the disk is full, or it cannot be written.
        """
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close all threads' connections; what is called afterwards raises ``ServerError``."""
        with self._lock:
            self._closed = True
            held = list(self._held)
        for each in held:
            each.close()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with _translated(self.path):
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute(f"BEGIN {kind}")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and not self._closed:
            return held.connection
        with self._lock:
            if self._closed:
                raise ServerError(f"{self.path}: the server's database is closed")
            # It goes, and is closed, with the thread whose local variable it is.
            self._local.held = held = _Held(_connected(self.path))
            self._held.add(held)
        return held.connection

    def _require_own(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION_ID and (application or tables):
            raise ServerError(f"{self.path}: expected mien's server database, got another application's")
        if version > _LAYOUT:
            raise ServerError(f"{self.path}: expected layout {_LAYOUT}, got {version}; a newer version of mien made it")


class _Held:
    """A connection that is closed when nobody holds it any more."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        self.connection.close()

    def __del__(self) -> None:
        self.connection.close()


def private_folder(path: Path) -> None:
    """Make a folder that its owner alone may enter, if there is none.

    Raises:
        ServerError: it cannot be made, or something else has its name.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(f"{path}: the folder cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ServerError(f"{path}: no permission to write in this folder")


def _connected(path: Path) -> sqlite3.Connection:
    # Not shared: only its closing, at the server's end, comes from another thread.
    connection = sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # FULL: a commit is on the disk before it returns. ON: what is deleted is overwritten.
    for setting in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Let readers go on while another worker writes; SQLite itself does not wait for others here."""
    deadline = time.monotonic() + _TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors in mien's words."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a constraint of the caller's own tables, and the caller's to explain
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise Overloaded(f"the server's database is busy ({text})", retry_after_s=1.0) from error
        raise ServerError(f"{path}: {text}") from error
