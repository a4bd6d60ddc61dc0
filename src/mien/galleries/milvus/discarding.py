"""Removing a whole gallery from a Milvus."""

from __future__ import annotations

from mien.errors import GalleryError, GalleryNotFound
from mien.galleries.milvus.connection import Connection
from mien.galleries.milvus.ledger import Ledger, State, names
from mien.galleries.milvus.schema import FACTS, collection_name, open_facts
from mien.galleries.urls import GalleryUrl

__all__ = ["discard"]


def discard(url: GalleryUrl) -> int:
    """Drop a gallery's templates, then all that is known of it; how many templates there were.

    Raises:
        GalleryNotFound: there is none of that name.
        GalleryError: the URL forbids changes, or another process is writing to the gallery for too long.
    """
    if url.mode == "ro":
        raise GalleryError(f"{url.place}: the gallery is read-only (opened with mode=ro)")
    connection = Connection(url, False)
    try:
        if not open_facts(connection, False):
            raise GalleryNotFound(f"no gallery at {url.place}")
        ledger = Ledger(connection, url.name)
        if ledger.state() is None:
            held = ", ".join(names(connection))
            raise GalleryNotFound(f"no gallery named {url.name!r} at {url.place}; it has: {held if held else 'none'}")
        with ledger.turn(url.timeout_s) as turn:
            if turn.state is None:
                raise GalleryNotFound(f"{url.place}: another process has just removed the gallery {url.name!r}")
            removed = _drop(connection, turn.state)
            turn.forget()
        if connection.is_local:
            # Its log still has the facts, and the gallery's name with them.
            connection.flush(FACTS)
        return removed
    finally:
        connection.close()


def _drop(connection: Connection, state: State) -> int:
    current = collection_name(state.name, state.generation)
    removed = 0
    if state.space is not None and connection.exists(current):
        connection.load(current)
        removed = connection.count(current, f"id <= {state.last}")
    # A compaction that was killed may have left the collection before or behind.
    for generation in range(max(1, state.generation - 1), state.generation + 2):
        connection.drop(collection_name(state.name, generation))
    return removed
