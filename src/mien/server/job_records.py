"""Jobs as they are kept in the server's database: what is to be done, by whom, and how far it is."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.errors import JobNotFound
from mien.server.presence import Presence
from mien.server.state import State

__all__ = ["ENDED", "SCHEMA", "STATES", "Failure", "Item", "Job", "JobRecords", "Mark"]

STATES = ("queued", "running", "done", "failed", "canceled")
"""What a job can be in; ``receiving``, while its images still come, is shown to nobody."""

ENDED = ("done", "failed", "canceled")
"""States that a job does not leave."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, gallery TEXT NOT NULL,
        caller TEXT NOT NULL, options TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL,
        cancel INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0, note TEXT, error TEXT, created REAL NOT NULL, started REAL, ended REAL)""",
    "CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state)",
    """CREATE TABLE IF NOT EXISTS job_items (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
        identity TEXT NOT NULL, file TEXT NOT NULL, entry INTEGER, PRIMARY KEY (job, number)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS job_failures (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
        identity TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID""",
)

_MOST_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a job, not done yet.

    Attributes:
        number: its place in the job.
        name: the name that the client gave it.
        identity: who is in it.
        file: the name of its file in the job's folder.
        entry: its place in that file, where the file is a zip archive.
    """

    number: int
    name: str
    identity: str
    file: str
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """An item that is done with; with a code and a message if it failed."""

    item: Item
    code: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item came to nothing."""

    name: str
    identity: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands.

    Attributes:
        number: rising with time.
        id: by which clients know it.
        kind: ``enroll`` or ``migrate``.
        gallery: on which gallery.
        caller: the name of the key that began it.
        options: what its kind needs to know.
        state: one of ``STATES``.
        cancel: whether it is to end.
        done: how many items are done with, those that failed among them.
        failed: how many failed.
        total: how many there are; 0 while nobody knows.
        note: of the items that are being worked on; for who goes on after a process has died.
        error: why the job as a whole failed: ``code`` and ``message``.
        created: when, in seconds since 1970 (UTC); so are ``started`` and ``ended``, None before that.
    """

    number: int
    id: str
    kind: str
    gallery: str
    caller: str
    options: Mapping[str, Any]
    state: str
    cancel: bool
    done: int
    failed: int
    total: int
    note: Any
    error: Mapping[str, str] | None
    created: float
    started: float | None
    ended: float | None


class JobRecords:
    """The jobs of all processes of the server. All of its methods block.

    Args:
        state: the server's database.
        presence: this process among the others.
    """

    def __init__(self, state: State, presence: Presence) -> None:
        self._state = state
        self._presence = presence

    def begin(self, kind: str, gallery: str, caller: str, options: Mapping[str, Any]) -> Job:
        """A new job whose items are yet to come; it is gone if this process dies before ``submit``."""
        job_id = uuid.uuid4().hex
        with self._state.writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, gallery, caller, options, state, owner, created)"
                " VALUES (?, ?, ?, ?, ?, 'receiving', ?, ?)",
                (job_id, kind, gallery, caller, json.dumps(options), self._presence.name, time.time()),
            )
        return self._found(job_id)

    def submit(self, job: Job, items: Sequence[Item], failed: Sequence[Mark] = ()) -> Job:
        """All of a job's items are there, some of them refused already: it may be worked on."""
        with self._state.writing() as connection:
            connection.executemany(
                "INSERT INTO job_items (job, number, name, identity, file, entry) VALUES (?, ?, ?, ?, ?, ?)",
                ((job.number, one.number, one.name, one.identity, one.file, one.entry) for one in items),
            )
            connection.execute(
                "UPDATE jobs SET state = 'queued', owner = '', total = ? WHERE number = ?",
                (len(items) + len(failed), job.number),
            )
            _mark(connection, job.number, failed)
        return self._found(job.id)

    def get(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            JobNotFound: there is none.
        """
        job = self._found(job_id)
        if job.state not in STATES:
            raise JobNotFound(f"there is no job {job_id[:64]!r}")
        return job

    def newest(self, gallery: str | None = None, state: str | None = None, limit: int = 100) -> list[Job]:
        """The last jobs, newest first."""
        wanted = [state] if state is not None else list(STATES)
        places = ", ".join("?" * len(wanted))
        of_gallery = "" if gallery is None else " AND gallery = ?"
        with self._state.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM jobs WHERE state IN ({places}){of_gallery} ORDER BY number DESC LIMIT ?",
                (*wanted, *([] if gallery is None else [gallery]), limit),
            ).fetchall()
        return [_job(row) for row in rows]

    def failures(self, job: Job) -> list[Failure]:
        """Why items of a job failed: the first thousand."""
        with self._state.reading() as connection:
            rows = connection.execute(
                "SELECT name, identity, code, message FROM job_failures WHERE job = ? ORDER BY number", (job.number,)
            ).fetchall()
        return [Failure(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        counts = dict.fromkeys(STATES, 0)
        with self._state.reading() as connection:
            for state, count in connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall():
                if state in counts:
                    counts[state] = count
        return counts

    def claim(self, kinds: Collection[str]) -> Job | None:
        """The oldest job that waits, now this process's; jobs of processes that are gone wait again."""
        with self._state.writing() as connection:
            held = connection.execute("SELECT number, owner, state FROM jobs WHERE owner != ''").fetchall()
            for number, owner, state in held:
                if not self._presence.is_there(owner):
                    if state == "receiving":
                        connection.execute("DELETE FROM jobs WHERE number = ?", (number,))
                    else:
                        connection.execute("UPDATE jobs SET state = 'queued', owner = '' WHERE number = ?", (number,))
            row = connection.execute(
                f"SELECT id FROM jobs WHERE state = 'queued' AND kind IN ({', '.join('?' * len(kinds))})"
                " ORDER BY number LIMIT 1",
                tuple(kinds),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', owner = ?, started = coalesce(started, ?) WHERE id = ?",
                (self._presence.name, time.time(), row["id"]),
            )
            return self._found(row["id"])

    def window(self, job: Job, size: int) -> list[Item]:
        """The next items of a job that are not done, in order."""
        with self._state.reading() as connection:
            rows = connection.execute(
                "SELECT number, name, identity, file, entry FROM job_items WHERE job = ? ORDER BY number LIMIT ?",
                (job.number, size),
            ).fetchall()
        return [Item(*row) for row in rows]

    def note(self, job: Job, note: Any) -> None:
        """Keep what is about to be done, before it is done."""
        with self._state.writing() as connection:
            connection.execute("UPDATE jobs SET note = ? WHERE number = ?", (json.dumps(note), job.number))

    def mark(self, job: Job, marks: Sequence[Mark]) -> None:
        """These items are done with, and what was noted of them is settled."""
        with self._state.writing() as connection:
            connection.executemany(
                "DELETE FROM job_items WHERE job = ? AND number = ?", ((job.number, one.item.number) for one in marks)
            )
            _mark(connection, job.number, marks)
            connection.execute("UPDATE jobs SET note = NULL WHERE number = ?", (job.number,))

    def count(self, job: Job, done: int, total: int) -> None:
        """How far a job without items is."""
        with self._state.writing() as connection:
            connection.execute("UPDATE jobs SET done = ?, total = ? WHERE number = ?", (done, total, job.number))

    def is_canceled(self, job: Job) -> bool:
        """Whether the job is to end; one that was forgotten is."""
        with self._state.reading() as connection:
            row = connection.execute("SELECT cancel FROM jobs WHERE number = ?", (job.number,)).fetchone()
        return row is None or bool(row["cancel"])

    def cancel(self, job_id: str) -> Job:
        """Let a job end: at once if it waits, soon if it is worked on; nothing happens to one that has ended.

        Raises:
            JobNotFound: there is none of that id.
        """
        self.get(job_id)
        with self._state.writing() as connection:
            connection.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))
            connection.execute(
                "UPDATE jobs SET cancel = 1, state = 'canceled', ended = ? WHERE id = ? AND state = 'queued'",
                (time.time(), job_id),
            )
            job = self._found(job_id)
            if job.state == "canceled":
                connection.execute("DELETE FROM job_items WHERE job = ?", (job.number,))
        return job

    def end(self, job: Job, state: str, error: Mapping[str, str] | None = None) -> None:
        """The job is over; the names of its images and people go, but for those that failed."""
        with self._state.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, error = ?, ended = ?, owner = '', note = NULL WHERE number = ?",
                (state, None if error is None else json.dumps(error), time.time(), job.number),
            )
            connection.execute("DELETE FROM job_items WHERE job = ?", (job.number,))

    def release(self, job: Job) -> None:
        """Let another process, or this one when it is back, go on with the job."""
        with self._state.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', owner = '' WHERE number = ? AND state = 'running'", (job.number,)
            )

    def forget(self, job: Job) -> None:
        """Remove a job and all that is known of it."""
        with self._state.writing() as connection:
            connection.execute("DELETE FROM jobs WHERE number = ?", (job.number,))

    def expire(self, days: float) -> None:
        """Remove jobs that ended longer ago than that."""
        with self._state.writing() as connection:
            connection.execute("DELETE FROM jobs WHERE ended < ?", (time.time() - days * 86_400,))

    def unfinished(self) -> set[str]:
        """The ids of jobs whose files are still needed."""
        with self._state.reading() as connection:
            rows = connection.execute("SELECT id FROM jobs WHERE state IN ('receiving', 'queued', 'running')")
            return {row["id"] for row in rows.fetchall()}

    def _found(self, job_id: str) -> Job:
        with self._state.reading() as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise JobNotFound(f"there is no job {job_id[:64]!r}")
        return _job(row)


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    for name in ("options", "note", "error"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job(**{**values, "cancel": bool(values["cancel"])})


def _mark(connection: sqlite3.Connection, number: int, marks: Iterable[Mark]) -> None:
    done = list(marks)
    failed = [one for one in done if one.code is not None]
    connection.execute(
        "UPDATE jobs SET done = done + ?, failed = failed + ? WHERE number = ?", (len(done), len(failed), number)
    )
    (known,) = connection.execute("SELECT count(*) FROM job_failures WHERE job = ?", (number,)).fetchone()
    connection.executemany(
        "INSERT INTO job_failures (job, number, name, identity, code, message) VALUES (?, ?, ?, ?, ?, ?)",
        _rows(number, failed[: max(0, _MOST_FAILURES - known)]),
    )


def _rows(number: int, failed: Sequence[Mark]) -> Iterator[tuple[int, int, str, str, str | None, str]]:
    for one in failed:
        yield number, one.item.number, one.item.name, one.item.identity, one.code, one.message
