"""The inside of a PostgreSQL transaction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mien.galleries.sql.database import Row
from mien.galleries.sql.postgres_words import translated, with_percent_s

if TYPE_CHECKING:
    import psycopg

    from mien.galleries.sql.postgres_connections import Connection

__all__ = ["PostgresSession"]

_T = TypeVar("_T")
# https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT
_FIRST_FOREIGN_TYPE = 16_384
_BYTEA = 17
# Parts may be small; the way to the server and back is not to be waited for each time.
_AHEAD = 4


class PostgresSession:
    """The inside of one transaction; see ``Session``.

    Args:
        connection: in a transaction.
        place: where, for messages.
        effect: what a failure means for the caller.
        fresh: where nothing is lost by beginning anew: gives another connection in a transaction, if the first
            statement finds the first one broken.

    Attributes:
        connection: the one in use.
    """

    def __init__(
        self, connection: Connection, place: str, effect: str = "", fresh: Callable[[], Connection] | None = None
    ) -> None:
        self.connection = connection
        self._place = place
        self._effect = effect
        self._fresh = fresh
        self._streams = itertools.count()

    def _done(self, do: Callable[[Connection], _T]) -> _T:
        import psycopg

        with translated(self._place, self._effect):
            fresh, self._fresh = self._fresh, None
            try:
                return do(self.connection)
            except psycopg.Error:
                if fresh is None or not self.connection.closed:
                    raise
            self.connection = fresh()
            return do(self.connection)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """See ``Session.execute``."""

        def do(connection: Connection) -> list[Row]:
            cursor = connection.execute(with_percent_s(sql), tuple(parameters), binary=True)
            return [] if cursor.description is None else cursor.fetchall()

        return self._done(do)

    def affected(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """See ``Session.affected``."""
        return self._done(
            lambda connection: max(connection.execute(with_percent_s(sql), tuple(parameters)).rowcount, 0)
        )

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """See ``Session.insert``; by ``COPY`` in its binary format, near twice as fast as in text."""
        types: dict[str, int] = dict(
            self.execute(
                "SELECT attname, atttypid FROM pg_attribute "
                "WHERE attrelid = CAST(? AS regclass) AND attnum > 0 AND NOT attisdropped",
                (table,),
            )
        )
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with translated(self._place, self._effect), self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([types[c] if types[c] < _FIRST_FOREIGN_TYPE else _BYTEA for c in columns])
            for row in rows:
                copy.write_row(row)

    def stream(self, sql: str, parameters: Sequence[object] = (), *, rows: int = 20_000) -> Iterator[list[Row]]:
        """See ``Session.stream``; the server keeps what has not been asked for yet."""
        name = f"stream_{next(self._streams)}"

        def do(connection: Connection) -> psycopg.ServerCursor[Row]:
            opened = connection.cursor(name, binary=True)
            return opened.execute(with_percent_s(sql), tuple(parameters))

        cursor = self._done(do)
        try:
            while True:
                with translated(self._place, self._effect):
                    block = cursor.fetchmany(_AHEAD * rows)
                if not block:
                    break
                for start in range(0, len(block), rows):
                    yield block[start : start + rows]
        finally:
            with translated(self._place, self._effect):
                cursor.close()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """See ``Session.telling``: this server does not say how far a statement is, so before and after it."""
        tell()
        yield
        tell()
