"""How templates get into a gallery's collection, and how the tags of their identities are kept on each of them.

Tags lie on the templates themselves, so one condition of the engine filters a search by them, however many identities
have one. The tags of an identity are those of its newest template; whoever changes them rewrites the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mien.errors import BadInput
from mien.galleries.batch import Batch, enrollments
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.ledger import State, Turn
from mien.galleries.milvus.schema import MOST_TAGS, any_of, collection_name, first_id, key_of, make_templates
from mien.types import Enrollment

__all__ = ["ROW", "enroll", "few", "in_requests", "put_tags", "retag", "spread_tags"]

ROW = ("id", "vector", "person", "name", "tags", "words", "created")
"""The fields of a template's row."""

_REQUEST_BYTES = 8 << 20
_ROW_BYTES = 400
_PERSONS_AT_ONCE = 1000
_FLUSHED_ROWS = 1000


def in_requests(rows: Iterable[Row], dimension: int) -> Iterator[list[Row]]:
    """Rows in lists that fit into one request each."""
    request: list[Row] = []
    size = 0
    for row in rows:
        request.append(row)
        size += 4 * dimension + _ROW_BYTES + 4 * sum(map(len, row["words"]))
        if size > _REQUEST_BYTES:
            yield request
            request, size = [], 0
    if request:
        yield request


def enroll(
    connection: Connection, turn: Turn, state: State, batch: Batch, created: Sequence[float] | None = None
) -> list[Enrollment]:
    """Enroll a batch that is not empty and fits the gallery; all of it or nothing.

    It is written above the last id that counts, where no one sees it, until a new state counts it in.

    Args:
        connection: where.
        turn: the turn to write.
        state: the gallery's.
        batch: what to enroll.
        created: when each template was enrolled, in seconds since 1970; None: now.
    """
    collection = collection_name(state.name, state.generation)
    if state.space is None:
        if connection.exists(collection):
            # Someone died after making it, before the state knew of it.
            connection.drop(collection)
        make_templates(connection, collection, batch.dimension, state.index)
        state = replace(state, space=batch.space, dimension=batch.dimension)
    words, grown = _words_of(connection, collection, state, batch)
    first = first_id(state.last)
    last = first + len(batch) - 1
    try:
        for request in in_requests(_rows(batch, words, first, created), state.dimension):
            turn.renew()
            connection.insert(collection, request)
        spreading = (first, last) if grown else None
        turn.commit(replace(state, last=last, tagged=state.tagged or bool(words), spreading=spreading))
    except BaseException:
        turn.undo(lambda: connection.delete(collection, f"id >= {first} and id <= {last}"))
        raise
    spread_tags(connection, turn)
    if connection.is_local and len(batch) >= _FLUSHED_ROWS:
        # milvus-lite searches its files ten times faster than what it has not written yet.
        connection.flush(collection)
    return enrollments(batch, first)


def _rows(batch: Batch, words: Mapping[str, list[str]], first: int, created: Sequence[float] | None) -> Iterator[Row]:
    now, id_ = time.time(), first
    for name, count in zip(batch.names, batch.counts, strict=True):
        own = words.get(name, [])
        shared = {"person": key_of(name), "name": name, "tags": [key_of(word) for word in own], "words": own}
        for _ in range(count):
            at = now if created is None else created[id_ - first]
            yield {"id": id_, "vector": batch.vectors[id_ - first], "created": round(1000 * at), **shared}
            id_ += 1


def _words_of(connection: Connection, collection: str, state: State, batch: Batch) -> tuple[dict[str, list[str]], bool]:
    """The tags, old and new, of each name of a batch that has any; and whether a known identity has got a new one."""
    held = _held_words(connection, collection, state, batch.names) if state.tagged else {}
    grown = False
    words: dict[str, list[str]] = {}
    for name in dict.fromkeys(batch.names):
        new, old = batch.tags.get(name, set()), held.get(key_of(name), [])
        if new or old:
            words[name] = few(sorted(new.union(old)))
            grown = grown or (state.last > 0 and len(words[name]) > len(old))
    return words, grown


def _held_words(connection: Connection, collection: str, state: State, names: Iterable[str]) -> dict[str, list[str]]:
    """The tags of each identity that has any, by its key."""
    persons = [key_of(name) for name in dict.fromkeys(names)]
    newest: dict[str, Row] = {}
    for i in range(0, len(persons), _PERSONS_AT_ONCE):
        where = f"id <= {state.last} and {any_of('person', persons[i : i + _PERSONS_AT_ONCE])}"
        for row in connection.rows(collection, where, ("id", "person", "words")):
            if row["person"] not in newest or row["id"] > newest[row["person"]]["id"]:
                newest[row["person"]] = row
    return {person: list(row["words"]) for person, row in newest.items()}


def retag(connection: Connection, turn: Turn, state: State, rows: Iterable[Row], words: list[str]) -> None:
    """Give an identity's rows these tags, the newest last: until that has them, the former ones are its tags."""
    few(words)
    if words and not state.tagged:
        turn.commit(replace(state, tagged=True))
    keys = [key_of(word) for word in words]
    changed = ({**row, "tags": keys, "words": list(words)} for row in sorted(rows, key=lambda row: int(row["id"])))
    for request in in_requests(changed, state.dimension):
        turn.renew()
        connection.replace(collection_name(state.name, state.generation), request)


def put_tags(connection: Connection, turn: Turn, state: State, tags: Mapping[str, set[str]]) -> None:
    """Give those of the identities, by canonical name, that are enrolled canonical tags beside those they have."""
    collection = collection_name(state.name, state.generation)
    held = _held_words(connection, collection, state, tags)
    for name, new in tags.items():
        old = held.get(key_of(name))
        if old is not None and not new.issubset(old):
            rows = connection.rows(collection, f"id <= {state.last} and {any_of('person', [key_of(name)])}", ROW)
            retag(connection, turn, state if turn.state is None else turn.state, rows, sorted(new.union(old)))


def spread_tags(connection: Connection, turn: Turn) -> None:
    """Finish the last enrollment: the older templates of its identities get the tags that it brought."""
    state = turn.state
    if state is None or state.spreading is None:
        return
    collection = collection_name(state.name, state.generation)
    first, last = state.spreading
    brought: dict[str, list[str]] = {}
    for page in connection.pages(collection, f"id >= {first} and id <= {last}", ("person", "words")):
        brought.update((row["person"], list(row["words"])) for row in page)
    for person, words in brought.items():
        rows = connection.rows(collection, f"id < {first} and {any_of('person', [person])}", ROW)
        if any(list(row["words"]) != words for row in rows):
            retag(connection, turn, state, rows, words)
    turn.commit(replace(state, spreading=None))


def few(words: list[str]) -> list[str]:
    """The tags of an identity, unless they are more than Milvus keeps: then BadInput."""
    if len(words) > MOST_TAGS:
        raise BadInput(f"tags: Milvus keeps at most {MOST_TAGS} for an identity, got {len(words)}")
    return words
