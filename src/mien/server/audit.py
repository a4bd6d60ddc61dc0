"""The server's audit log: which key did what, when; no names of people, no images, no templates, no secrets."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.errors import MienError
from mien.server.state import State

if TYPE_CHECKING:
    from mien.server.access import Caller

__all__ = ["SCHEMA", "AuditLine", "AuditLog"]

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, caller TEXT NOT NULL, key_id TEXT, action TEXT NOT NULL,
        gallery TEXT, subject TEXT, detail TEXT, status INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS audit_at ON audit (at)",
    "CREATE INDEX IF NOT EXISTS audit_subject ON audit (subject) WHERE subject IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS audit_secret (one INTEGER PRIMARY KEY CHECK (one = 1), secret BLOB NOT NULL)",
)

_LOGGER = logging.getLogger("mien.server")
_MOST_WAITING = 10_000
_TOGETHER = 500
_TRIED_AGAIN_S = 1.0
_PRUNED_EVERY_S = 3600.0
_LONGEST_DETAIL = 2000


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the log.

    Attributes:
        id: its number, rising.
        at: when, in seconds since 1970 (UTC).
        caller: the key's name, or ``local``.
        key_id: the key's id, or None without one.
        action: what was done, such as ``enroll``.
        gallery: in which gallery, or None.
        subject: a keyed digest of the name of whom it was done to, or None.
        detail: more of it, such as ``{"faces": 2}``.
        status: how it was answered, as an HTTP status.
    """

    id: int
    at: float
    caller: str
    key_id: str | None
    action: str
    gallery: str | None
    subject: str | None
    detail: Mapping[str, Any] | None
    status: int


class AuditLog:
    """Who did what; written by a thread of its own, so that requests do not wait for the disk.

    Args:
        state: where it is kept.
        keep_days: for how many days.

    Attributes:
        healthy: whether the last lines could be written.
    """

    def __init__(self, state: State, keep_days: float) -> None:
        self.healthy = True
        self._state = state
        self._keep_s = keep_days * 86_400
        self._secret = _secret_of(state)
        self._waiting: queue.Queue[tuple[Any, ...] | None] = queue.Queue(_MOST_WAITING)
        self._pruned_at = -_PRUNED_EVERY_S
        self._closing = False
        self._writer = threading.Thread(target=self._write_all, name="mien-audit", daemon=True)
        self._writer.start()

    def record(
        self,
        caller: Caller,
        action: str,
        gallery: str | None = None,
        subject: str | None = None,
        detail: Mapping[str, Any] | None = None,
        status: int = 200,
    ) -> None:
        """Note what somebody did; it is on the disk a moment later.

        Args:
            caller: who.
            action: what, such as ``enroll``.
            gallery: in which gallery.
            subject: the name of whom it was done to; only a keyed digest of it is kept.
            detail: more of it: counts and ids, never names, images, templates or secrets.
            status: how it was answered.
        """
        digest = None if subject is None else self.digest(subject)
        told = None if detail is None else json.dumps(dict(detail))[:_LONGEST_DETAIL]
        line = (time.time(), caller.name, caller.key_id, action, gallery, digest, told, status)
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.healthy = False
            _LOGGER.error("the audit log cannot be written fast enough: a line of %s is lost", action)

    def digest(self, name: str) -> str:
        """What stands for a name in the log: the same for the same name, and of no use without this database."""
        return hmac.new(self._secret, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def entries(
        self,
        before: int | None = None,
        limit: int = 100,
        gallery: str | None = None,
        action: str | None = None,
        caller: str | None = None,
        subject: str | None = None,
    ) -> list[AuditLine]:
        """The newest lines, newest first; those past their days are left out.

        Args:
            before: only lines of lower numbers, to go on where the last call ended.
            limit: the most lines.
            gallery: only those of this gallery.
            action: only those of this action.
            caller: only those of keys of this name.
            subject: only those about the person of this name.
        """
        wanted = {
            "id < ?": before,
            "gallery = ?": gallery,
            "action = ?": action,
            "caller = ?": caller,
            "subject = ?": None if subject is None else self.digest(subject),
        }
        conditions = ["at >= ?", *(condition for condition, value in wanted.items() if value is not None)]
        values: list[object] = [time.time() - self._keep_s, *(v for v in wanted.values() if v is not None), limit]
        query = f"SELECT * FROM audit WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
        with self._state.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            AuditLine(**{**dict(row), "detail": None if row["detail"] is None else _readable(row["detail"])})
            for row in rows
        ]

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was recorded is on the disk; whether it is."""
        deadline = time.monotonic() + timeout_s
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._waiting.unfinished_tasks

    def close(self) -> None:
        """Write what waits, and end the thread."""
        if not self._closing:
            self.flush()
            self._closing = True
            self._waiting.put(None)
            self._writer.join()

    def _write_all(self) -> None:
        while True:
            lines = [self._waiting.get()]
            while len(lines) < _TOGETHER and not self._waiting.empty():
                lines.append(self._waiting.get())
            kept = [line for line in lines if line is not None]
            while not self._written(kept) and not self._closing:
                time.sleep(_TRIED_AGAIN_S)
            for _ in lines:
                self._waiting.task_done()
            if len(kept) < len(lines):
                return

    def _written(self, lines: list[tuple[Any, ...]]) -> bool:
        columns = "at, caller, key_id, action, gallery, subject, detail, status"
        try:
            with self._state.writing() as connection:
                connection.executemany(f"INSERT INTO audit ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", lines)
                if time.monotonic() - self._pruned_at > _PRUNED_EVERY_S:
                    connection.execute("DELETE FROM audit WHERE at < ?", (time.time() - self._keep_s,))
                    self._pruned_at = time.monotonic()
        except MienError as error:
            if self.healthy:
                _LOGGER.error("the audit log cannot be written: %s", error.message)
            self.healthy = False
            return False
        self.healthy = True
        return True


def _readable(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # cut off where it was too long
        return {"text": text}


def _secret_of(state: State) -> bytes:
    """The secret behind the digests: made once, in the database whose lines it keeps from being guessed."""
    with state.writing() as connection:
        connection.execute("INSERT OR IGNORE INTO audit_secret VALUES (1, ?)", (secrets.token_bytes(32),))
        (secret,) = connection.execute("SELECT secret FROM audit_secret").fetchone()
    return bytes(secret)
