"""What a gallery's writers agree on: whose turn it is, and which templates count.

Milvus has no transactions and no locks, but a row is there or not, and a read at consistency level Strong sees all
that was acknowledged before it. On that two things are built:

- **State.** Each change adds a row with the gallery's state and a higher serial number; the highest counts, the
  former are deleted afterwards. Ids of templates rise, and the state names the last one that counts: templates above it
  are not there for any reader. One row thus makes a whole enrollment visible, or nothing of it.
- **Turns.** Who wants to write adds a ticket and then looks: with no other ticket there it is his turn, else he takes
  his ticket back and tries again a little later. Of two who come at once at least one sees the other. A ticket that
  stays as it is under a process's eyes for ``LEASE_S``, or is older than ``STALE_S`` by the clocks, is one of a writer
  who died; then the next one deletes what that writer left above the last template that counts. Whoever works longer
  renews the ticket.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from mien.errors import BadGallery, ConnectionLost, GalleryError, GalleryLocked
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.schema import FACTS, any_of, key_of

__all__ = ["LEASE_S", "STALE_S", "Ledger", "State", "Turn", "names"]

LEASE_S = 30.0
"""For how many seconds a ticket may stay unrenewed before its writer is taken for dead."""

STALE_S = 300.0
"""How old a ticket may be by the clocks of two machines, which may differ by a few minutes."""

_FIELDS = ("key", "kind", "serial", "text")
_PAUSE_S = (0.02, 0.1)
_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class State:
    """What is to be known of a gallery.

    Attributes:
        serial: rises with every change.
        name: the gallery's.
        options: ``GalleryOptions`` as JSON.
        index: the kind of index of its templates.
        space: the embedding space, None before the first enrollment.
        dimension: of the templates, 0 before.
        generation: which collection holds the templates.
        last: the highest id of a template that counts.
        tagged: whether any identity ever had a tag.
        spreading: first and last id of an enrollment whose tags its identities' other templates may still lack.
        renaming: the former and the new name of an identity some of whose templates may still have the former.
    """

    serial: int
    name: str
    options: str
    index: str
    space: str | None = None
    dimension: int = 0
    generation: int = 1
    last: int = 0
    tagged: bool = False
    spreading: tuple[int, int] | None = None
    renaming: tuple[str, str] | None = None


class Ledger:
    """The facts of one gallery. Safe to use from many threads.

    Args:
        connection: where.
        name: which gallery.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._key = key_of(name)
        self._first_seen: dict[str, float] = {}
        self._writing = connection.writers_lock(self._key)

    def state(self) -> State | None:
        """The state as it is now, or None where there is no such gallery."""
        return _newest(self._rows(), self._connection.place)

    def quiet(self) -> int | None:
        """The serial number of the state, or None while someone has a ticket."""
        rows = self._rows()
        state = _newest(rows, self._connection.place)
        return None if state is None or _tickets(rows) else state.serial

    def left_behind(self) -> bool:
        """Whether a writer died at work, as far as can be told at once."""
        return bool(self._dead(_tickets(self._rows())))

    def _rows(self) -> list[Row]:
        return self._connection.rows(FACTS, any_of("gallery", [self._key]), _FIELDS)

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[Turn]:
        """The turn to write; threads of this process wait for each other, others for at most ``timeout_s``.

        Raises:
            GalleryLocked: someone else is writing for longer than that.
        """
        with self._writing:
            turn = self._begin(timeout_s)
            try:
                yield turn
            finally:
                # What was done stands, whether or not the ticket can be taken back now.
                with suppress(GalleryError):
                    turn.end()

    def _begin(self, timeout_s: float) -> Turn:
        deadline = time.monotonic() + timeout_s
        while True:
            turn = Turn(self._connection, self._key)
            rows = self._rows()
            others = [row for row in _tickets(rows) if row["key"] != turn.ticket]
            dead = self._dead(others)
            if len(dead) == len(others):
                turn.found(rows, dead)
                return turn
            turn.end()
            if time.monotonic() >= deadline:
                who = ", ".join(sorted({json.loads(row["text"])["who"] for row in others}))
                raise GalleryLocked(f"{self._connection.place}: another process is writing to the gallery ({who})")
            time.sleep(random.uniform(*_PAUSE_S))

    def _dead(self, tickets: list[Row]) -> list[str]:
        """The tickets of writers who are gone; milvus-lite lets in one process, so there those of others are."""
        now = time.monotonic()
        self._first_seen = {row["key"]: self._first_seen.get(row["key"], now) for row in tickets}
        return [
            row["key"] for row in tickets if self._is_dead(json.loads(row["text"]), now - self._first_seen[row["key"]])
        ]

    def _is_dead(self, ticket: Mapping[str, Any], seen_s: float) -> bool:
        if self._connection.is_local and ticket["process"] != _PROCESS:
            return True
        return seen_s > LEASE_S or time.time() - ticket["at"] > STALE_S


class Turn:
    """One writer's turn; made with its ticket, which ``end`` takes back.

    Attributes:
        ticket: the key of its ticket.
        state: the gallery's state, None where there is none yet.
        takes_over: whether a writer died at work, whose leavings are to be cleared first (then call ``cleared``).
    """

    def __init__(self, connection: Connection, gallery: str) -> None:
        self.state: State | None = None
        self.takes_over = False
        self._connection, self._gallery = connection, gallery
        self._spent: list[str] = []
        self._dead: list[str] = []
        self._stays = False
        self.ticket = self._add_ticket()

    def _add_ticket(self) -> str:
        who = f"process {os.getpid()} on {socket.gethostname()}"
        self._since = time.monotonic()
        return self._add("ticket", 0, {"process": _PROCESS, "who": who, "at": time.time()})

    def _add(self, kind: str, serial: int, text: object) -> str:
        key = f"{self._gallery}.{uuid.uuid4().hex}"
        row = {"key": key, "gallery": self._gallery, "kind": kind, "serial": serial, "nothing": [0.0, 0.0]}
        self._connection.insert(FACTS, [{**row, "text": json.dumps(text, ensure_ascii=False)}])
        return key

    def found(self, rows: list[Row], dead: list[str]) -> None:
        """Take in what was found when the turn began."""
        self.state = _newest(rows, self._connection.place)
        self._spent = [row["key"] for row in rows if row["kind"] == "state" and row["serial"] < self._serial]
        self._current = [row["key"] for row in rows if row["kind"] == "state" and row["serial"] == self._serial]
        self._dead, self.takes_over = dead, bool(dead)

    @property
    def _serial(self) -> int:
        return 0 if self.state is None else self.state.serial

    def cleared(self) -> None:
        """What the dead writer left is cleared away."""
        self._spent += self._dead
        self.takes_over = False

    def renew(self) -> None:
        """To be called often by whoever works long.

        Raises:
            GalleryError: it was called too late, and the turn was taken away.
        """
        held_s = time.monotonic() - self._since
        if held_s > LEASE_S / 2 and not self._connection.rows(FACTS, any_of("key", [self.ticket]), ["key"]):
            raise GalleryError(f"{self._connection.place}: the turn to write was lost after standing still: try again")
        if held_s > LEASE_S / 4:
            self._spent.append(self.ticket)
            self.ticket = self._add_ticket()
            self._connection.delete(FACTS, any_of("key", [self._spent.pop()]))

    def undo(self, clear: Callable[[], None]) -> None:
        """After a failure: clear away what was written; if that fails too, the ticket stays for the next to do it."""
        if not self._stays:
            self._stays = True
            with suppress(GalleryError):
                clear()
                self._stays = False

    def commit(self, state: State) -> None:
        """Make a new state the gallery's; its serial number is given here.

        Raises:
            ConnectionLost: no answer came, so that the change may have been made or not.
        """
        self.renew()
        state = replace(state, serial=self._serial + 1)
        try:
            key = self._add("state", state.serial, asdict(state))
        except ConnectionLost as error:
            # The ticket stays, so that the next writer finds out what counts and clears away the rest.
            self._stays = True
            raise ConnectionLost(
                f"{error}; whether the change was made is unknown: look before trying again"
            ) from error
        self._spent += self._current
        self._current, self.state = [key], state

    def forget(self) -> None:
        """Delete all states: the gallery is no more."""
        self._connection.delete(FACTS, any_of("key", [*self._spent, *self._current]))
        self._spent, self._current, self.state = [], [], None

    def end(self) -> None:
        """Take back the ticket, and delete the states that count no more."""
        if not self._stays:
            self._connection.delete(FACTS, any_of("key", [self.ticket, *self._spent]))


def names(connection: Connection) -> list[str]:
    """The names of all galleries in a place, sorted."""
    rows = connection.rows(FACTS, 'kind == "state"', ["text"])
    return sorted({str(json.loads(row["text"])["name"]) for row in rows})


def _tickets(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == "ticket"]


def _newest(rows: list[Row], place: str) -> State | None:
    states = [row for row in rows if row["kind"] == "state"]
    if not states:
        return None
    text = max(states, key=lambda row: int(row["serial"]))["text"]
    try:
        held = json.loads(text)
        spreading, renaming = held.pop("spreading"), held.pop("renaming", None)
        return State(
            **held,
            spreading=None if spreading is None else (spreading[0], spreading[1]),
            renaming=None if renaming is None else (renaming[0], renaming[1]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise BadGallery(f"{place}: the gallery's state is damaged, or of a newer mien: {text[:80]!r}") from error
