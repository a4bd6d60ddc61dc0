"""What the server did in the last hour, for the console: requests a minute and their times, of all processes."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass

from mien.errors import MienError
from mien.server.metrics import Meters
from mien.server.pace import EDGES_MS, Counts, quantile_ms
from mien.server.state import State

__all__ = ["SCHEMA", "Activity", "Recent"]

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS activity (
        minute INTEGER NOT NULL, worker TEXT NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (minute, worker)
    ) WITHOUT ROWID""",
)

_LOGGER = logging.getLogger("mien.server")
_MINUTES = 60
_WRITTEN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Recent:
    """The last hour.

    Attributes:
        requests_per_minute: 60 numbers, the present minute last.
        p50_ms: the median time of a request in the last hour, or None if there was none.
        p95_ms: the time that 95 % of them kept.
    """

    requests_per_minute: list[int]
    p50_ms: float | None
    p95_ms: float | None


class Activity:
    """Brings this process's pace to the database every few seconds, and adds up that of all.

    Args:
        state: the server's database.
        meters: whose pace.
    """

    def __init__(self, state: State, meters: Meters) -> None:
        self._state = state
        self._meters = meters
        self._worker = secrets.token_hex(8)
        self._written: dict[int, Counts] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mien-activity", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and end."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def recent(self) -> Recent:
        """The last hour of all processes; of others, what is older than a few seconds.

        Raises:
            MienError: the database cannot be read or written.
        """
        self._write()
        now = int(time.time() // 60)
        per_minute = [0] * _MINUTES
        counts = [0] * (len(EDGES_MS) + 1)
        with self._state.reading() as connection:
            rows = connection.execute("SELECT minute, counts FROM activity WHERE minute > ?", (now - _MINUTES,))
            for minute, text in rows.fetchall():
                listed = json.loads(text)
                # A clock that was set back leaves minutes of the future.
                if minute <= now:
                    per_minute[minute - now - 1] += sum(listed)
                    counts = [one + other for one, other in zip(counts, listed, strict=True)]
        return Recent(per_minute, quantile_ms(counts, 0.5), quantile_ms(counts, 0.95))

    def _run(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(_WRITTEN_EVERY_S)
            try:
                self._write()
            except MienError as error:
                _LOGGER.warning("the counts of requests cannot be written: %s", error)

    def _write(self) -> None:
        with self._lock:
            minutes = self._meters.pace.minutes()
            changed = {minute: counts for minute, counts in minutes.items() if self._written.get(minute) != counts}
            if not changed:
                return
            with self._state.writing() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO activity (minute, worker, counts) VALUES (?, ?, ?)",
                    [(minute, self._worker, json.dumps(counts)) for minute, counts in changed.items()],
                )
                connection.execute("DELETE FROM activity WHERE minute <= ?", (max(minutes) - _MINUTES,))
            self._written = minutes
