"""One gallery of a Milvus, opened: its state, its collection of templates, and the turn to change them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from mien.errors import BadGallery, GalleryError, GalleryNotFound, IdentityNotFound
from mien.galleries.keeper import cutoff
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.enrolling import spread_tags
from mien.galleries.milvus.ledger import Ledger, State, Turn, names
from mien.galleries.milvus.renaming import finish_renaming
from mien.galleries.milvus.schema import any_of, collection_name, key_of, open_facts
from mien.galleries.options import from_json, require_same, to_json
from mien.galleries.protocol import GalleryOptions
from mien.galleries.urls import GalleryUrl

__all__ = ["Access"]

_RELAYS = 16

_Answer = TypeVar("_Answer")
_Nothing = TypeVar("_Nothing")


class Access:
    """What the methods of ``MilvusGallery`` share. Safe to use from many threads.

    Attributes:
        connection: to the engine.
        ledger: the gallery's facts.
        options: how it keeps what it holds.
        read_only: whether changes are forbidden.

    Args:
        url: where, which gallery, and the index of a new one.
        create: make the gallery where there is none.
        options: of a new one.

    Raises:
        BadGallery: no gallery there, or one with other options than the URL names.
        GalleryError: what ``Connection`` raises.
    """

    def __init__(self, url: GalleryUrl, create: bool, options: GalleryOptions) -> None:
        self.read_only = url.mode == "ro"
        self._name, self._shown, self._timeout_s = url.name, url.shown or url.url, url.timeout_s
        self._pid, self._closed = os.getpid(), False
        self._loaded: set[str] = set()
        self._known: State | None = None
        create = create and not self.read_only
        self.connection = Connection(url, create)
        try:
            if not open_facts(self.connection, create):
                raise GalleryNotFound(f"no gallery at {url.place}")
            self.ledger = Ledger(self.connection, url.name)
            self._relay = None if self.connection.is_local else ThreadPoolExecutor(_RELAYS, "mien milvus")
            if self.ledger.state() is None:
                self._make(options, url.index, create)
            self.options = from_json(self.state().options, url.place)
            require_same(url.named, self.options, url.place)
            if not self.read_only and (self.options.retention_days is not None or self.ledger.left_behind()):
                with self.change():
                    pass
        except BaseException:
            self.connection.close()
            raise

    def _make(self, options: GalleryOptions, index: str, create: bool) -> None:
        if not create:
            held = ", ".join(names(self.connection))
            raise GalleryNotFound(f"no gallery named {self._name!r} at {self.connection.place}; it has: {held}")
        with self.ledger.turn(self._timeout_s) as turn:
            if turn.state is None:
                turn.commit(State(0, self._name, to_json(options), index))

    def require_open(self) -> None:
        """Raise GalleryError if the gallery is closed, or was opened before a fork."""
        if self._closed:
            raise GalleryError(f"the gallery {self._shown} is closed")
        if os.getpid() != self._pid:
            raise GalleryError(
                f"the gallery {self._shown} was opened before this process was forked: open it again here"
            )

    def state(self) -> State:
        """The state as it is now."""
        self.require_open()
        self._known = state = self._required(self.ledger.state())
        return state

    def _required(self, state: State | None) -> State:
        if state is None:
            raise GalleryNotFound(f"{self.connection.place}: the gallery {self._name!r} is no longer there")
        return state

    def collection(self, state: State) -> str:
        """The collection of the templates, ready to be searched; only for a gallery that has a space."""
        name = collection_name(self._name, state.generation)
        if name not in self._loaded:
            if not self.connection.exists(name):
                raise BadGallery(f"{self.connection.place}: the templates of the gallery {self._name!r} are gone")
            self.connection.load(name)
            self._loaded.add(name)
        return name

    def counted(self, state: State) -> str:
        """The condition for templates that count: of finished enrollments, and not past their days."""
        oldest = cutoff(self.options.retention_days)
        return f"id <= {state.last}" if oldest is None else f"id <= {state.last} and created >= {int(1000 * oldest)}"

    def read(self, ask: Callable[[str, State, str], _Answer], nothing: _Nothing) -> _Answer | _Nothing:
        """An answer from the templates: ``ask`` gets their collection, the state, and the condition that they count.

        A cluster takes some tenths of a second for a read that is to see all that came before. So the templates are
        asked by the state known from before, while the state itself is read; as a rule it is still the same.
        """
        self.require_open()
        known = None if self._relay is None else self._known
        coming = None if self._relay is None or known is None else self._relay.submit(self.state)
        state = self.state() if known is None else known
        try:
            answer = self._asked(ask, state, nothing)
        except GalleryError:
            # Another handle may have compacted the gallery meanwhile, into another collection.
            now = self.state() if coming is None else coming.result()
            if now == state:
                raise
        else:
            if coming is None:
                return answer
            now = coming.result()
            if now == state:
                return answer
        return self._asked(ask, now, nothing)

    def _asked(self, ask: Callable[[str, State, str], _Answer], state: State, nothing: _Nothing) -> _Answer | _Nothing:
        return nothing if state.space is None else ask(self.collection(state), state, self.counted(state))

    def held(self, state: State, name: str, fields: list[str]) -> list[Row]:
        """The rows of the identity of that canonical name, by rising id; raises IdentityNotFound."""
        where = f"{self.counted(state)} and {any_of('person', [key_of(name)])}"
        rows = [] if state.space is None else self.connection.rows(self.collection(state), where, fields)
        if not rows:
            raise IdentityNotFound(f"the gallery holds no identity {name!r}")
        return sorted(rows, key=lambda row: int(row["id"]))

    def look(self, name: str, fields: list[str]) -> tuple[State, list[Row]]:
        """The state, and what ``held`` gives, outside of a turn."""

        def ask(_: str, state: State, __: str) -> tuple[State, list[Row]]:
            return state, self.held(state, name, fields)

        found = self.read(ask, None)
        if found is None:
            raise IdentityNotFound(f"the gallery holds no identity {name!r}")
        return found

    @contextmanager
    def change(self) -> Iterator[tuple[Turn, State]]:
        """The turn to write, with nothing left of writers who died and of templates past their days."""
        self.require_open()
        if self.read_only:
            raise GalleryError(f"{self.connection.place}: the gallery is read-only (opened with mode=ro)")
        with self.ledger.turn(self._timeout_s) as turn:
            state = self._required(turn.state)
            if state.space is not None:
                collection = self.collection(state)
                if turn.takes_over:
                    self.connection.delete(collection, f"id > {state.last}")
                    spread_tags(self.connection, turn)
                    finish_renaming(self.connection, turn)
                self._purge(collection)
            turn.cleared()
            yield turn, self._required(turn.state)
            self._known = turn.state

    def _purge(self, collection: str) -> None:
        oldest = cutoff(self.options.retention_days)
        if oldest is not None:
            expired = f"created < {int(1000 * oldest)}"
            if self.connection.count(collection, expired):
                self.connection.delete(collection, expired)
                self.deleted(collection)

    def deleted(self, collection: str) -> None:
        """Let milvus-lite drop its log, which holds what was deleted; a cluster would limit the rate of such calls."""
        if self.connection.is_local:
            self.connection.flush(collection)

    def close(self) -> None:
        """Give back the connection; closing twice is fine."""
        if not self._closed:
            self._closed = True
            if self._relay is not None:
                self._relay.shutdown()
            self.connection.close()
