"""What PostgreSQL keeps of deleted rows, giving it back, and looking for damage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from mien.errors import GalleryError
from mien.galleries.sql.postgres_connections import SCHEMA
from mien.galleries.sql.postgres_words import first_line

if TYPE_CHECKING:
    from mien.galleries.sql.postgres_connections import Connection

__all__ = ["Pruner", "compact", "damage", "prune"]

_PRUNE_AFTER_S = 0.5


class Pruner:
    """Prunes soon after a removal, once for all removals meanwhile, in a thread.

    Args:
        connect: makes a connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._at_work = threading.Lock()
        self._due: threading.Timer | None = None

    def soon(self) -> None:
        """Something was removed."""
        with self._lock:
            if self._due is None:
                self._due = threading.Timer(_PRUNE_AFTER_S, self._prune)
                self._due.daemon = True
                self._due.start()

    def finish(self) -> None:
        """Do now what is due, and wait for what is under way."""
        with self._lock:
            due = self._due
        if due is not None:
            due.cancel()
            self._prune()
        with self._at_work:
            pass

    def _prune(self) -> None:
        import psycopg

        with self._at_work:
            with self._lock:
                self._due = None
            # The removals stand, whatever becomes of this.
            with suppress(psycopg.Error, GalleryError), closing(self._connect()) as connection:
                prune(connection)


def prune(connection: Connection) -> None:
    """``VACUUM`` of mien's tables: what was deleted can no longer be read through the server.

    Left to itself, PostgreSQL comes round only when a fifth of a table has changed. Skipped, and then left to it:
    tables that someone else vacuums, and rows that a transaction still under way may see. The bytes may stay in
    the table's file until new rows take their room; ``compact`` removes them from there.
    """
    import psycopg

    for table in _relations(connection, "r", mine=True):
        with suppress(psycopg.errors.LockNotAvailable):
            connection.execute(f"VACUUM (SKIP_LOCKED, TRUNCATE FALSE) {table}")


def compact(connection: Connection, tell: Callable[[], None]) -> None:
    """``VACUUM FULL`` of mien's tables: new files that hold what is not deleted, and the old ones removed.

    Needs room for a second copy of the largest table and locks each table while it is written, for reading too.

    What remains of deleted rows is outside the tables: in the write-ahead log until the server writes over its
    segments (``pg_wal``), in archived segments, base backups and dumps until they are deleted, on standby servers
    until they have followed, and in free blocks of the file system and the disk. Where that is too much, encrypt
    the gallery.
    """
    for table in _relations(connection, "r", mine=True):
        connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
        tell()


def _relations(connection: Connection, kind: str, mine: bool = False) -> list[str]:
    """The tables (``r``) or B-tree indexes (``i``) of mien's schema, quoted; with ``mine`` those of this role."""
    owned = "AND pg_has_role(relowner, 'USAGE')" if mine else ""
    rows = connection.execute(
        "SELECT format('%%I.%%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "LEFT JOIN pg_am a ON a.oid = c.relam AND relkind = 'i' "
        f"WHERE nspname = %s AND relkind = %s AND coalesce(amname, 'btree') = 'btree' {owned} ORDER BY relname",
        (SCHEMA, kind),
    )
    return [name for (name,) in rows]


def damage(connection: Connection, read_only: bool, tell: Callable[[], None]) -> list[str]:
    """What is wrong with mien's tables and indexes, one line each; none if they are sound.

    With PostgreSQL's ``amcheck`` where this role may use it (put in for the moment and taken out again, if it is
    not there); without it every row is read, which finds pages and values that cannot be read.
    """
    with connection.transaction(force_rollback=True):
        amcheck = _amcheck(connection, read_only)
        found = []
        for table in _relations(connection, "r"):
            if amcheck is None:
                found += _failing(connection, table, f"SELECT sum(length(CAST(t.* AS TEXT))) FROM {table} t")
            else:
                query = f"SELECT blkno, msg FROM {amcheck}.verify_heapam(CAST(%s AS regclass))"
                found += _failing(connection, table, query, table)
            tell()
        found += _astray(connection)
        for index in _relations(connection, "i") if amcheck else ():
            found += _failing(connection, index, f"SELECT {amcheck}.bt_index_check(CAST(%s AS regclass), true)", index)
    return found


def _astray(connection: Connection) -> list[str]:
    """What pgvector's table holds beyond the templates, if there is such a table."""
    if connection.execute("SELECT to_regclass('searchable')").fetchone() == (None,):
        return []
    query = (
        "SELECT count(*) FROM searchable s WHERE NOT EXISTS (SELECT 1 FROM templates t "
        "WHERE t.gallery_id = s.gallery_id AND t.id = s.template_id AND t.identity_id = s.identity_id)"
    )
    row = connection.execute(query).fetchone()
    return [] if row is None or row[0] == 0 else [f"searchable: {row[0]} vectors whose template is missing"]


def _amcheck(connection: Connection, read_only: bool) -> str | None:
    """The schema where ``amcheck`` is, quoted; None where this role cannot have it."""
    import psycopg

    query = (
        "SELECT quote_ident(nspname), has_function_privilege(p.oid, 'EXECUTE') FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = pronamespace WHERE proname = 'verify_heapam'"
    )
    row = connection.execute(query).fetchone()
    if row is None and not read_only:
        with suppress(psycopg.Error), connection.transaction():
            connection.execute(f"CREATE EXTENSION amcheck SCHEMA {SCHEMA}")
        row = connection.execute(query).fetchone()
    return row[0] if row is not None and row[1] else None


def _failing(connection: Connection, relation: str, query: str, *parameters: str) -> list[str]:
    """What one check says of a table or index."""
    import psycopg

    try:
        with connection.transaction():
            rows = connection.execute(query, parameters).fetchall()
    except psycopg.errors.OperationalError:
        raise
    except psycopg.Error as error:
        return [f"{relation}: {first_line(error)}"]
    return [f"{relation}, block {row[0]}: {row[1]}" for row in rows if len(row) == 2]
