"""Connections to a PostgreSQL server: made, kept for the next use, and made anew when the server was restarted."""

from __future__ import annotations

import math
import selectors
import threading
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mien.errors import GalleryError, GalleryLocked
from mien.galleries.sql.postgres_words import connecting_error, gallery_error
from mien.galleries.urls import GalleryUrl

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import Loader

    Connection = psycopg.Connection[tuple[Any, ...]]

__all__ = ["NO_ANSWER_S", "SCHEMA", "Pool", "Server", "begin"]

SCHEMA = "mien"
"""The PostgreSQL schema that holds everything of mien's, so that a database may be shared with other applications."""

NO_ANSWER_S = 10.0
"""After how long a server that answers nothing counts as gone."""

_MOST = 8
_LONGEST_WAIT_S = 60.0
_RETRY_S = 0.1
# What a server says that is about to let clients in, and that it does while it ends all processes after a crash.
_COMING = ("starting up", "not yet accepting", "in recovery mode")
_BREAKING_OFF = "server closed the connection unexpectedly"
_BREAKING_OFF_S = 1.0


class Server:
    """A server and database to connect to, by a gallery's URL; what the URL does not say, libpq's own rules do.

    Attributes:
        place: where, for messages: host, port and database; never a password.
        timeout_s: how long to wait for a lock, and at most for a connection.
    """

    def __init__(self, url: GalleryUrl) -> None:
        self.timeout_s = url.timeout_s
        host = url.libpq.get("host", "") or url.host
        known = {"host": host, "port": url.port, "user": url.user, "password": url.password, "dbname": url.database}
        self._parameters: dict[str, Any] = {key: value for key, value in known.items() if value not in (None, "")}
        self._parameters.update((key, value) for key, value in url.libpq.items() if key != "host")
        shown = f"[{host}]" if ":" in host else host
        self.place = f"{shown or '(default)'}:{5432 if url.port is None else url.port}/{url.database or '(default)'}"

    def connect(self) -> Connection:
        """A new connection in autocommit mode, set up for mien.

        Raises:
            ConnectionLost: the server cannot be reached.
            BadGallery: it has no such database.
            GalleryError: it refuses the login.
        """
        import psycopg

        began = time.monotonic()
        while True:
            try:
                connection = psycopg.connect(**self._parameters, **self._habits(), autocommit=True)
            except psycopg.Error as error:
                if time.monotonic() - began > self._patience_s(str(error)):
                    raise connecting_error(error, self.place) from error
                time.sleep(_RETRY_S)
            except (TypeError, ValueError, OSError) as error:
                raise GalleryError(f"{self.place}: {error}") from error
            else:
                break
        try:
            self._set_up(connection)
        except psycopg.Error as error:
            connection.close()
            raise gallery_error(error, self.place) from error
        return connection

    def _patience_s(self, refusal: str) -> float:
        """For how long to try again after a refusal."""
        if any(sign in refusal for sign in _COMING):
            return self.timeout_s
        return min(_BREAKING_OFF_S, self.timeout_s) if _BREAKING_OFF in refusal else -1.0

    def _habits(self) -> dict[str, Any]:
        # libpq counts whole seconds and takes fewer than 2 for 2. The others notice a server that is gone without a
        # word: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
        return {
            "connect_timeout": min(max(2, math.ceil(self.timeout_s)), 3600),
            "client_encoding": "utf8",
            "fallback_application_name": "mien",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": round(NO_ANSWER_S * 1000),
        }

    def _set_up(self, connection: Connection) -> None:
        from psycopg.types.string import BytesBinaryDumper

        lock_ms = max(1, round(self.timeout_s * 1000))
        # jit: compiling costs more than such queries take. cursor_tuple_fraction: streams are read to their end.
        connection.execute(
            f"SET search_path = {SCHEMA}; SET lock_timeout = {lock_ms}; SET jit = off; SET cursor_tuple_fraction = 1; "
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        for loader in _number_loaders():
            connection.adapters.register_loader("numeric", loader)
        # For COPY psycopg would take a slower one, for its class Binary, that stands behind it in the list.
        connection.adapters.register_dumper(bytes, BytesBinaryDumper)


@lru_cache(maxsize=1)
def _number_loaders() -> tuple[type[Loader], type[Loader]]:
    """Sums of whole numbers come as int and averages as float, as SQLite gives them, and not as Decimal."""
    from psycopg.types.numeric import NumericBinaryLoader, NumericLoader

    class TextNumber(NumericLoader):
        def load(self, data: Any) -> Any:
            return _number(super().load(data))

    class BinaryNumber(NumericBinaryLoader):
        def load(self, data: Any) -> Any:
            return _number(super().load(data))

    return TextNumber, BinaryNumber


def _number(value: Any) -> int | float:
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)


def begin(connection: Connection, how: str) -> None:
    """Begin a transaction with the statement ``how``; a server that hangs is found out here.

    Raises:
        psycopg.Error: the server refuses, or does not answer for ten seconds; then the connection is closed.
    """
    import psycopg

    server = connection.pgconn
    server.send_query(how.encode())
    server.flush()
    deadline = time.monotonic() + NO_ANSWER_S
    result: psycopg.pq.abc.PGresult | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(server.socket, selectors.EVENT_READ)
        while True:
            while server.is_busy():
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    connection.close()
                    raise psycopg.OperationalError(f"the server has not answered for {NO_ANSWER_S:g} seconds")
                server.consume_input()
            answer = server.get_result()
            if answer is None:
                break
            result = answer
    if result is None or result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        message = "no answer" if result is None else result.get_error_message()
        raise psycopg.OperationalError(message)


class Pool:
    """Connections for reading, at most eight at once; those not in use wait for the next reader."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[Connection] = []
        self._places = threading.BoundedSemaphore(_MOST)
        self._lock = threading.Lock()
        self._closed = False

    def take(self, how: str) -> Connection:
        """A connection in a transaction that the statement ``how`` began; give it back.

        A connection that broke while it was idle is replaced by a fresh one, once.

        Raises:
            GalleryLocked: all connections stayed in use.
            ConnectionLost: the server cannot be reached.
        """
        import psycopg

        if not self._places.acquire(timeout=_LONGEST_WAIT_S):
            raise GalleryLocked(f"{self._server.place}: all {_MOST} connections for reading have long been in use")
        try:
            connection = self._newest()
            if connection is not None:
                try:
                    begin(connection, how)
                    return connection
                except psycopg.Error:
                    # Those that wait were connected to the same server, which is gone or was restarted.
                    connection.close()
                    self.empty()
            return self._fresh(how)
        except BaseException:
            self._places.release()
            raise

    def replacement(self, how: str) -> Connection:
        """A fresh connection, in a transaction that ``how`` began, for a taken one that broke; give back this one.

        Raises:
            ConnectionLost: the server cannot be reached.
        """
        self.empty()
        return self._fresh(how)

    def _fresh(self, how: str) -> Connection:
        import psycopg

        connection = self._server.connect()
        try:
            begin(connection, how)
        except psycopg.Error as error:
            connection.close()
            raise gallery_error(error, self._server.place) from error
        return connection

    def _newest(self) -> Connection | None:
        with self._lock:
            if self._closed:
                raise GalleryError(f"{self._server.place}: the database is closed")
            return self._idle.pop() if self._idle else None

    def give_back(self, connection: Connection) -> None:
        """End a taken connection's transaction and keep it for the next; a broken one is thrown away."""
        import psycopg

        try:
            with suppress(psycopg.Error):
                if not connection.closed:
                    connection.execute("ROLLBACK")
            with self._lock:
                keep = not self._closed and not connection.closed and _is_idle(connection)
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()
        finally:
            self._places.release()

    def empty(self) -> None:
        """Close the connections that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close all connections, those in use when they are given back."""
        with self._lock:
            self._closed = True
        self.empty()


def _is_idle(connection: Connection) -> bool:
    import psycopg

    return connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
