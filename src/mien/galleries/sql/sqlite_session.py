"""The inside of a transaction on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mien.galleries.sql.database import Row

__all__ = ["SqliteSession"]

# Each row that a statement looks at takes several instructions of SQLite's machine.
_INSTRUCTIONS = 20_000


class SqliteSession:
    """The ``Session`` of one connection in one transaction. Raises SQLite's errors as they come."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """See ``Session.execute``."""
        return self._connection.execute(sql, tuple(parameters)).fetchall()

    def affected(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """See ``Session.affected``."""
        return self._connection.execute(sql, tuple(parameters)).rowcount

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """See ``Session.insert``."""
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def stream(self, sql: str, parameters: Sequence[object] = (), *, rows: int = 20_000) -> Iterator[list[Row]]:
        """See ``Session.stream``."""
        cursor = self._connection.execute(sql, tuple(parameters))
        while taken := cursor.fetchmany(rows):
            yield taken

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """See ``Session.telling``; what ``tell`` raises ends the statement."""
        raised: list[BaseException] = []

        def handle() -> int:
            try:
                tell()
            except BaseException as error:  # SQLite would lose it on the way.
                raised.append(error)
            return len(raised)

        self._connection.set_progress_handler(handle, _INSTRUCTIONS)
        try:
            yield
        except sqlite3.OperationalError as error:
            raise (raised[0] if raised else error) from None
        finally:
            self._connection.set_progress_handler(None, 0)
