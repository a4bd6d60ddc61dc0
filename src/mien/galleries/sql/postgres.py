"""Galleries in a PostgreSQL database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from mien.errors import BadGallery, ConnectionLost, GalleryError, GalleryLocked, GalleryNotFound
from mien.galleries.sql import schema
from mien.galleries.sql.database import Session, untold
from mien.galleries.sql.postgres_connections import SCHEMA, Pool, Server, begin
from mien.galleries.sql.postgres_listener import Listener
from mien.galleries.sql.postgres_session import PostgresSession
from mien.galleries.sql.postgres_upkeep import Pruner, compact, damage
from mien.galleries.sql.postgres_words import first_line, gallery_error, require_psycopg, translated
from mien.galleries.urls import GalleryUrl

if TYPE_CHECKING:
    from mien.galleries.sql.postgres_connections import Connection

__all__ = ["PostgresDatabase"]

_OLDEST_SERVER = 13
_LAYOUT = schema.SCHEMA_VERSIONS["postgresql"]
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# "mien" in ASCII: the lock that those take who make or change what is not inside one gallery.
_EVERYTHING = 0x6D69656E
_NOTHING_STORED = "nothing was stored"


class PostgresDatabase:
    """The ``Database`` in a PostgreSQL server, in a schema of its own named ``mien``.

    Readers have connections of their own (at most eight at once), so a search never waits for a writer; writers in
    one process share one. Connect to the server itself: a pooler that gives each transaction another connection,
    such as PgBouncer in transaction mode, loses the notifications that tell of changes.

    A server that was restarted is connected to again. A call that cannot reach it raises ``ConnectionLost``. So
    does a change that was cut off, and says whether nothing was stored, or whether that is unknown because the
    connection broke in the middle of a commit.

    PostgreSQL cannot overwrite what is deleted: see ``erase_leftovers`` and ``compact``.

    Args:
        url: server, database, and whether changes are allowed.
        create: make the schema where there is none, and bring an older one up to date.

    Raises:
        MissingExtra: psycopg is not installed.
        BadGallery: there is no such database, no gallery in it, or one that this version cannot open.
        ConnectionLost: the server cannot be reached.
        GalleryError: it refuses the login or a permission.
    """

    kind: Literal["postgresql"] = "postgresql"

    def __init__(self, url: GalleryUrl, create: bool = True) -> None:
        require_psycopg()
        self._server = Server(url)
        self.place = self._server.place
        self.read_only = url.mode == "ro"
        self._pool = Pool(self._server)
        self._writing = threading.Lock()
        self._writer: Connection | None = None
        self._closed = False
        self._pid = os.getpid()
        self._pruner = Pruner(self._server.connect)
        self._listener = Listener(self._server.connect)
        try:
            self._open(create)
        except BaseException:
            self.close()
            raise

    def _open(self, create: bool) -> None:
        with self.reading() as session:
            _require_fit(session, self.place)
            self.read_only = self.read_only or bool(session.execute("SELECT pg_is_in_recovery()")[0][0])
            found = self._layout(session)
        if found == _LAYOUT:
            return
        if found is None and (not create or self.read_only):
            raise GalleryNotFound(f"no gallery at {self.place}: mien has made nothing in this database yet")
        if self.read_only:
            raise BadGallery(
                f"{self.place}: expected gallery layout {_LAYOUT}, got {found}; "
                "open it once without mode=ro to bring it up to date"
            )
        with self.writing() as session:
            # Another process may have been quicker while this one waited.
            found = self._layout(session)
            if found is None:
                if session.execute("SELECT to_regnamespace(?)", (SCHEMA,)) == [(None,)]:
                    # Not IF NOT EXISTS: that wants a permission which a role with a schema of its own may lack.
                    session.execute(f"CREATE SCHEMA {SCHEMA}")
                session.execute("CREATE TABLE layout (version BIGINT NOT NULL)")
                schema.create(session, self.kind)
                session.execute("INSERT INTO layout (version) VALUES (?)", (_LAYOUT,))
            elif found < _LAYOUT:
                schema.upgrade(session, self.kind, found)
                session.execute("UPDATE layout SET version = ?", (_LAYOUT,))

    def _layout(self, session: Session) -> int | None:
        """The version of mien's tables, None where there are none.

        Raises:
            BadGallery: a newer version's, or another application's tables.
        """
        tables = {
            name
            for (name,) in session.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(?) AND relkind IN ('r', 'p', 'v')",
                (SCHEMA,),
            )
        }
        if not tables:
            return None
        # With its schema's name, so that a role that may not use the schema is told so.
        versions = session.execute(f"SELECT version FROM {SCHEMA}.layout") if "layout" in tables else []
        if len(versions) != 1:
            raise BadGallery(f"{self.place}: the schema {SCHEMA} in this database is another application's")
        found = int(versions[0][0])
        if found > _LAYOUT:
            raise BadGallery(
                f"{self.place}: expected gallery layout {_LAYOUT}, got {found}; "
                "a newer version of mien made this gallery"
            )
        return found

    @contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        """See ``Database.reading``."""
        session = PostgresSession(
            self._pool.take(_BEGIN_READING), self.place, fresh=lambda: self._pool.replacement(_BEGIN_READING)
        )
        try:
            yield session
        finally:
            self._pool.give_back(session.connection)

    @contextmanager
    def writing(self, gallery_id: int | None = None, *, wait: bool = True) -> Iterator[PostgresSession]:
        """See ``Database.writing``.

        Args:
            gallery_id: the gallery, or None for what is not inside one.
            wait: whether to wait for others who are writing to the gallery.

        Raises:
            GalleryLocked: another process writes to the gallery for longer than the time-out, or anyone without it.
            ConnectionLost: the connection broke; the message says whether nothing was stored or that is unknown.
        """
        if self.read_only:
            raise GalleryError(f"{self.place}: the gallery is read-only (mode=ro, or a standby server)")
        if not self._writing.acquire(blocking=wait):
            raise GalleryLocked(f"{self.place}: another thread is writing")
        try:
            connection = self._begun(gallery_id, "" if wait else "NOWAIT")
            try:
                yield PostgresSession(connection, self.place, _NOTHING_STORED)
            except BaseException:
                _roll_back(connection)
                raise
            self._commit(connection)
        finally:
            self._writing.release()

    def _begun(self, gallery_id: int | None, how: str) -> Connection:
        """The writing connection, in a transaction that holds its lock."""
        import psycopg

        if self._closed:
            raise GalleryError(f"{self.place}: the database is closed")
        if self._writer is not None:
            try:
                begin(self._writer, _BEGIN_WRITING)
            except psycopg.Error:
                # It broke while nobody used it: nothing is lost.
                self._writer.close()
                self._writer = None
        with translated(self.place, _NOTHING_STORED):
            if self._writer is None:
                self._writer = self._server.connect()
                begin(self._writer, _BEGIN_WRITING)
            try:
                if gallery_id is None:
                    self._writer.execute("SELECT pg_advisory_xact_lock(%s)", (_EVERYTHING,))
                else:
                    self._writer.execute("SELECT id FROM galleries WHERE id = %s FOR UPDATE " + how, (gallery_id,))
            except BaseException:
                _roll_back(self._writer)
                raise
        return self._writer

    def _commit(self, connection: Connection) -> None:
        import psycopg

        try:
            outcome = connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            connection.close()
            if error.sqlstate is not None:
                raise gallery_error(error, self.place, _NOTHING_STORED) from error
            raise ConnectionLost(
                f"{self.place}: the connection was lost during the commit ({first_line(error)}); whether the change "
                "was stored is unknown: look before you repeat it"
            ) from error
        except BaseException:
            connection.close()
            raise
        finally:
            self._listener.changed()
        if outcome != "COMMIT":
            # The server answers so when a statement had failed and the block went on all the same.
            raise GalleryError(f"{self.place}: the server gave the transaction up ({outcome}); {_NOTHING_STORED}")

    def version(self) -> Hashable:
        """See ``Database.version``: a change in another process shows within a second, mostly at once."""
        return self._listener.version()

    def announce(self, session: Session, gallery_id: int) -> None:
        """See ``Database.announce``."""
        session.execute("SELECT pg_notify(?, ?)", (SCHEMA, str(gallery_id)))

    def erase_leftovers(self) -> None:
        """Let the server forget deleted rows within a second, and not when its autovacuum comes by: see ``prune``."""
        self._pruner.soon()

    def compact(self, tell: Callable[[], None] = untold) -> None:
        """Write all tables anew without what was deleted: see ``postgres_upkeep.compact`` for what remains."""
        if self.read_only:
            raise GalleryError(f"{self.place}: the gallery is read-only (mode=ro, or a standby server)")
        with self._outside_transactions() as connection:
            compact(connection, tell)

    def check(self, tell: Callable[[], None] = untold) -> list[str]:
        """See ``Database.check``: the server's own checks of tables and indexes, or else a read of every row."""
        with self._outside_transactions() as connection:
            return damage(connection, self.read_only, tell)

    @contextmanager
    def _outside_transactions(self) -> Iterator[Connection]:
        with translated(self.place):
            connection = self._server.connect()
            try:
                yield connection
            finally:
                connection.close()

    def close(self) -> None:
        """See ``Database.close``."""
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's, and to close them here would end them there.
            return
        self._pruner.finish()
        with self._writing:
            self._closed = True
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._listener.close()
        self._pool.close()


def _require_fit(session: Session, place: str) -> None:
    """Check that the server is recent enough and keeps text as Unicode.

    Raises:
        BadGallery: it is not, or does not.
    """
    ((number, encoding),) = session.execute(
        "SELECT CAST(current_setting('server_version_num') AS BIGINT), current_setting('server_encoding')"
    )
    if number < _OLDEST_SERVER * 10_000:
        raise BadGallery(f"{place}: expected PostgreSQL {_OLDEST_SERVER} or newer, got {number // 10_000}")
    if encoding != "UTF8":
        raise BadGallery(f"{place}: expected a database in UTF8, got {encoding}; names may be in any script")


def _roll_back(connection: Connection) -> None:
    import psycopg

    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()
