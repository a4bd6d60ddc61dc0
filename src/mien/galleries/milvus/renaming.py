"""Another name for an identity in Milvus, which stands on each of its templates.

What fits into one request (some thousands of templates) changes at once. Of more, a search may for a moment find some
under the former name and some under the new one; and should the writer die there, the next one finishes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mien.errors import IdentityExists
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.enrolling import ROW, few, in_requests
from mien.galleries.milvus.ledger import State, Turn
from mien.galleries.milvus.schema import any_of, collection_name, key_of

__all__ = ["finish_renaming", "rename"]


def rename(connection: Connection, turn: Turn, state: State, name: str, new_name: str, merge: bool) -> int:
    """Give the identity of a canonical name another one, in a gallery without templates past their days.

    Returns:
        How many templates the new name has then.

    Raises:
        IdentityExists: another identity has the new name, and they are not to be joined.
        BadInput: they have too many tags together.
    """
    held = _rows(connection, state, new_name)
    if name == new_name:
        return len(held)
    if held and not merge:
        raise IdentityExists(f"the gallery holds an identity {new_name!r} already: merge=True (--merge) joins the two")
    own = _rows(connection, state, name)
    requests = [*in_requests(_renamed(own, held, new_name), state.dimension)]
    whole = len(requests) == 1
    try:
        if not whole:
            turn.commit(replace(state, renaming=(name, new_name)))
        for request in requests:
            turn.renew()
            connection.replace(collection_name(state.name, state.generation), request)
        if not whole and turn.state is not None:
            turn.commit(replace(turn.state, renaming=None))
    except BaseException:
        turn.undo(lambda: finish_renaming(connection, turn))
        raise
    return len(own) + len(held)


def finish_renaming(connection: Connection, turn: Turn) -> None:
    """Finish what a writer who died, or failed, has begun."""
    state = turn.state
    if state is None or state.renaming is None:
        return
    name, new_name = state.renaming
    rows = _renamed(_rows(connection, state, name), _rows(connection, state, new_name), new_name)
    for request in in_requests(rows, state.dimension):
        turn.renew()
        connection.replace(collection_name(state.name, state.generation), request)
    turn.commit(replace(state, renaming=None))


def _rows(connection: Connection, state: State, name: str) -> list[Row]:
    where = f"id <= {state.last} and {any_of('person', [key_of(name)])}"
    rows = connection.rows(collection_name(state.name, state.generation), where, ROW)
    return sorted(rows, key=lambda row: int(row["id"]))


def _renamed(own: list[Row], held: list[Row], new_name: str) -> Iterator[Row]:
    """The rows of both as they are to be: first those that have the name, with the tags of both, the newest last.

    So the tags of both can be told at any time from what is there.
    """
    words = few(sorted({word for rows in (own, held) if rows for word in rows[-1]["words"]}))
    shared = {"person": key_of(new_name), "name": new_name, "tags": [key_of(word) for word in words], "words": words}
    for rows in (held if held and list(held[-1]["words"]) != words else [], own):
        for row in rows:
            yield {**row, **shared}
