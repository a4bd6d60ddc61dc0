"""Work that must not be done twice: a request that is sent again with the same key gets the first one's answer.

Before the work a mark goes to disk, behind it the answer. So a request that comes again finds the answer, or work that
is under way and waits for it, or the mark of a process that died half way. Then it is first asked what of the work was
done, and only what was not is done.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from mien.errors import BadInput, GalleryError, IdempotencyMismatch, MienError, Overloaded, ServerError
from mien.server.presence import Presence
from mien.server.state import State

__all__ = ["SCHEMA", "Answer", "Idempotency", "digest_of"]

Answer = tuple[int, Any]
"""The HTTP status and the body as JSON's values."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS idempotency (
        caller TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL,
        started REAL NOT NULL, note TEXT NOT NULL, status INTEGER, body TEXT, PRIMARY KEY (caller, route, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idempotency_started ON idempotency (started)",
)

_LOGGER = logging.getLogger("mien.server")
_KEPT_S = 24 * 3600.0
_SWEEP_EVERY_S = 60.0
_POLL_S = 0.05
_LONGEST_KEY = 255
_Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Begun:
    """The work is this request's to do; ``again`` if somebody may have done some of it."""

    again: bool
    note: Any


class Idempotency:
    """The answers of the last day by the key of their request.

    Args:
        state: the server's database.
        wait_s: how long a request waits for an earlier one with its key.
    """

    def __init__(self, state: State, *, wait_s: float = 30.0) -> None:
        self._state = state
        self._wait_s = wait_s
        self._presence = Presence(state.path.parent / "workers")
        self._running: set[_Place] = set()
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._sweep_at = 0.0

    async def run(
        self,
        caller: str,
        route: str,
        key: str,
        digest: str,
        work: Callable[[], Awaitable[Answer]],
        *,
        note: Any = None,
        recover: Callable[[Any], Awaitable[Answer | None]] | None = None,
    ) -> Answer:
        """The answer of this work, which is done once for each key.

        The work goes on to its end even if the one who waits for it is canceled.

        Args:
            caller: who asks; keys of different callers are different keys.
            route: what is asked for, with the gallery.
            key: the request's ``Idempotency-Key``.
            digest: of all that the request says; see ``digest_of``.
            work: does it. What it raises is not kept: the same request then does it anew.
            note: kept with the mark, for ``recover``; values of JSON.
            recover: what to do first where an earlier try died or failed half way: it gets that try's note and gives
                the answer if the work was done, or None if it is to be done.

        Raises:
            BadInput: the key is empty, too long or not of visible ASCII characters.
            IdempotencyMismatch: another request had this key.
            Overloaded: an earlier request with this key is still under way.
        """
        if not 0 < len(key) <= _LONGEST_KEY or not all(" " < character <= "~" for character in key):
            raise BadInput(f"Idempotency-Key: expected 1 to {_LONGEST_KEY} visible ASCII characters, got {key!r:.80}")
        task = asyncio.create_task(self._run((caller, route, key), digest, work, note, recover))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def forget(self, route: str, identity: str | None = None) -> None:
        """Forget answers, since what they tell of is erased; a repeat is then done anew.

        Args:
            route: whose answers.
            identity: those alone that name it; None for all.

        Raises:
            ServerError: the database cannot be written.
        """
        with self._state.writing() as connection:
            if identity is None:
                connection.execute("DELETE FROM idempotency WHERE route = ? AND status IS NOT NULL", (route,))
                return
            rows = connection.execute(
                "SELECT caller, key, body FROM idempotency WHERE route = ? AND status IS NOT NULL", (route,)
            ).fetchall()
            named = [(row["caller"], route, row["key"]) for row in rows if _names(json.loads(row["body"]), identity)]
            connection.executemany("DELETE FROM idempotency WHERE caller = ? AND route = ? AND key = ?", named)

    async def finish(self) -> None:
        """Wait for work whose request is gone."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Let other processes know that this one works on nothing any more."""
        self._presence.close()

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._tasks.discard(task)
        # Taken note of: where the request is gone, nobody else does.
        _ = task.cancelled() or task.exception()

    async def _run(
        self,
        place: _Place,
        digest: str,
        work: Callable[[], Awaitable[Answer]],
        note: Any,
        recover: Callable[[Any], Awaitable[Answer | None]] | None,
    ) -> Answer:
        deadline = time.monotonic() + self._wait_s
        while not isinstance(found := await anyio.to_thread.run_sync(self._begin, place, digest, note), _Begun):
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise Overloaded("an earlier request with this Idempotency-Key is still under way", retry_after_s=5.0)
            await asyncio.sleep(_POLL_S)
        again = found.again
        try:
            answer = await recover(found.note) if again and recover is not None else None
            if answer is None:
                answer = await work()
            await anyio.to_thread.run_sync(self._done, place, answer)
        except Exception as error:
            # What a gallery did before it failed is not sure; other errors come before anything is stored.
            sure = isinstance(error, MienError) and not isinstance(error, (GalleryError, ServerError)) and not again
            # A mark that cannot be removed is no obstacle: this process knows that it is no longer at it.
            with suppress(MienError):
                await anyio.to_thread.run_sync(self._failed, place, sure)
            raise
        finally:
            self._running.discard(place)
        return answer

    def _begin(self, place: _Place, digest: str, note: Any) -> _Begun | Answer | None:
        """Mark the work as begun; or the answer if it is done, or None while somebody is at it."""
        now = time.time()
        with self._state.writing() as connection:
            if now >= self._sweep_at:
                connection.execute("DELETE FROM idempotency WHERE started < ?", (now - _KEPT_S,))
                self._sweep_at = now + _SWEEP_EVERY_S
            row = connection.execute(
                "SELECT digest, owner, note, status, body FROM idempotency WHERE caller = ? AND route = ? AND key = ?",
                place,
            ).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO idempotency (caller, route, key, digest, owner, started, note)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*place, digest, self._presence.name, now, json.dumps(note)),
                )
                self._running.add(place)
                return _Begun(False, note)
            if row["digest"] != digest:
                raise IdempotencyMismatch("this Idempotency-Key came with another request before; use a new one")
            if row["status"] is not None:
                return row["status"], json.loads(row["body"])
            if self._is_at_it(place, row["owner"]):
                return None
            _LOGGER.warning("a request for %s was left half done; what of it was stored is looked up", place[1])
            connection.execute(
                "UPDATE idempotency SET owner = ? WHERE caller = ? AND route = ? AND key = ?",
                (self._presence.name, *place),
            )
            self._running.add(place)
            return _Begun(True, json.loads(row["note"]))

    def _is_at_it(self, place: _Place, owner: str) -> bool:
        return place in self._running if owner == self._presence.name else self._presence.is_there(owner)

    def _done(self, place: _Place, answer: Answer) -> None:
        with self._state.writing() as connection:
            connection.execute(
                "UPDATE idempotency SET status = ?, body = ? WHERE caller = ? AND route = ? AND key = ?",
                (answer[0], json.dumps(answer[1]), *place),
            )

    def _failed(self, place: _Place, forget: bool) -> None:
        statement = "DELETE FROM idempotency" if forget else "UPDATE idempotency SET owner = ''"
        with self._state.writing() as connection:
            connection.execute(f"{statement} WHERE caller = ? AND route = ? AND key = ?", place)


def _names(body: Any, identity: str) -> bool:
    """Whether an answer to an enrollment tells of an identity."""
    results = body.get("results") if isinstance(body, dict) else None
    return isinstance(results, list) and any(
        isinstance(result, dict) and result.get("identity") == identity for result in results
    )


def digest_of(*parts: bytes | str) -> str:
    """SHA-256 of a request's parts, each with its length, so that parts cannot run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
