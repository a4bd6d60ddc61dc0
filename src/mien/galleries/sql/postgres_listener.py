"""Knowing when another process has changed a gallery in PostgreSQL: LISTEN, and what to do when nothing is heard.

A copy in memory may be searched only as long as the server would have told of a change. So the server is asked for
a sign of life more often than it may be silent, and a silent one counts as changed at every look: then a search
reads from the server, or fails, and never answers from a copy that may be out of date.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from mien.errors import GalleryError
from mien.galleries.sql.postgres_connections import NO_ANSWER_S, SCHEMA

if TYPE_CHECKING:
    from psycopg import pq

    from mien.galleries.sql.postgres_connections import Connection

__all__ = ["SILENCE_S", "Listener"]

SILENCE_S = 1.0
"""For how long the server may be silent before its word is needed again."""

_PING_S = 0.35
_RETRY_S = 0.5
# Nobody searches: then the server is left alone, and the next search asks it.
_ASLEEP_AFTER_S = 10.0


class Listener:
    """Counts what may have changed; a daemon thread with a connection of its own listens from the first look on.

    Args:
        connect: makes a connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._count = 0
        self._heard = -float("inf")
        self._asked = -float("inf")
        self._closed = False
        self._thread: threading.Thread | None = None
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)

    def version(self) -> int:
        """Another number than ever before whenever something may have changed since the last call."""
        now = time.monotonic()
        with self._lock:
            if self._closed:
                return self._count
            asleep = now - self._asked > _ASLEEP_AFTER_S
            self._asked = now
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mien-listen", daemon=True)
                self._thread.start()
            if now - self._heard > SILENCE_S:
                self._count += 1
            count = self._count
        if asleep:
            self._ring()
        return count

    def changed(self) -> None:
        """Something has changed, or may have."""
        with self._lock:
            self._count += 1

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        self._ring()
        if thread is not None:
            # It is a daemon: one that waits for a server that does not answer ends when it is answered, or never.
            thread.join(timeout=2.0)
        if thread is None or not thread.is_alive():
            self._bell.close()
            self._ear.close()

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"\0")

    def _run(self) -> None:
        import psycopg

        while not self._closed:
            with suppress(psycopg.Error, GalleryError, OSError), closing(self._connect()) as connection:
                if not _can_listen(connection):
                    return
                # Nobody told of what happened before.
                self.changed()
                self._follow(connection.pgconn)
            with self._lock:
                self._heard = -float("inf")
            self._sleep(_RETRY_S)

    def _sleep(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            if not self._closed:
                selector.select(seconds)
        self._silence_bell()

    def _silence_bell(self) -> None:
        with suppress(BlockingIOError):
            while self._ear.recv(64):
                pass

    def _follow(self, connection: pq.abc.PGconn) -> None:
        """Take in what the server tells until it is gone (psycopg's error) or the listener is closed."""
        pinged: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            selector.register(connection.socket, selectors.EVENT_READ)
            while not self._closed:
                now = time.monotonic()
                awake = now - self._asked <= _ASLEEP_AFTER_S
                if pinged is None and awake and now - self._heard >= _PING_S:
                    connection.send_query(b"SELECT 1")
                    connection.flush()
                    pinged = now
                if pinged is not None and now - pinged > NO_ANSWER_S:
                    return
                selector.select(_PING_S if awake or pinged is not None else None)
                self._silence_bell()
                connection.consume_input()
                answered = pinged is not None and _is_answered(connection)
                while connection.notifies() is not None:
                    self.changed()
                if answered and pinged is not None:
                    # The server has told of everything that was committed before the question was asked.
                    with self._lock:
                        self._heard = pinged
                    pinged = None


def _can_listen(connection: Connection) -> bool:
    """Listen, where notifications arrive; where they cannot, every look counts as a change.

    A standby server has none. A pooler, which is known by a process id that is not the server's, may drop them.
    """
    import psycopg

    try:
        connection.execute(f"LISTEN {SCHEMA}")
    except psycopg.errors.ReadOnlySqlTransaction:
        return False
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] == connection.info.backend_pid


def _is_answered(connection: pq.abc.PGconn) -> bool:
    """Whether the question under way is answered wholly; never waits."""
    while not connection.is_busy():
        if connection.get_result() is None:
            return True
    return False
