"""Being rid of what was removed, in the engine's files as well."""

from __future__ import annotations

from dataclasses import replace

from mien.galleries.milvus.connection import Connection
from mien.galleries.milvus.enrolling import ROW, in_requests
from mien.galleries.milvus.ledger import State, Turn
from mien.galleries.milvus.schema import FACTS, collection_name, make_templates
from mien.galleries.progress import Steps

__all__ = ["compact"]

_ROWS_AT_ONCE = 1000


def compact(connection: Connection, turn: Turn, state: State, counted: str, steps: Steps) -> None:
    """Ask a cluster to rewrite its files; on milvus-lite copy what counts and delete the former files.

    milvus-lite merges files by their number and size alone, so a copy is the one way to be rid of what was removed.

    Args:
        connection: where.
        turn: the turn to write.
        state: the gallery's, with a space.
        counted: the condition for templates that count.
        steps: is told of templates that are copied.
    """
    source = collection_name(state.name, state.generation)
    if not connection.is_local:
        connection.flush(source)
        connection.compact(source)
        return
    target = collection_name(state.name, state.generation + 1)
    try:
        connection.drop(target)
        make_templates(connection, target, state.dimension, state.index)
        for page in connection.pages(source, counted, ROW, rows=_ROWS_AT_ONCE):
            for request in in_requests(page, state.dimension):
                turn.renew()
                connection.insert(target, request)
                steps.advance(len(request))
        connection.flush(target)
        turn.commit(replace(state, generation=state.generation + 1))
    except BaseException:
        turn.undo(lambda: connection.drop(target))
        raise
    connection.drop(source)
    connection.flush(FACTS)
