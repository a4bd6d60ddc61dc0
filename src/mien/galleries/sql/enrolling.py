"""Enrolling in a SQL gallery, inside a writing transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from mien.galleries.batch import Batch
from mien.galleries.sql.audit import log_columns
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.shelf import Shelf, chunks, marks

__all__ = ["enroll", "identity_numbers", "put_tags"]


def enroll(
    session: Session,
    shelf: Shelf,
    batch: Batch,
    *,
    created: Sequence[float] | None = None,
    mapped: Sequence[int] | None = None,
) -> int:
    """Store a batch; the id of its first template, which the others' follow.

    Args:
        session: the transaction.
        shelf: which gallery.
        batch: what to store.
        created: when each template was enrolled, in seconds since 1970; None: now.
        mapped: 1 for each template that came out of a learned map; None: none did.

    Raises:
        SpaceMismatch: the gallery holds templates of another space.
        BadInput: the gallery holds templates of another dimension.
    """
    gallery_id = shelf.gallery_id
    ((space, dimension, last_template, last_identity),) = session.execute(
        "SELECT space, dimension, last_template, last_identity FROM galleries WHERE id = ?", (gallery_id,)
    )
    batch.require_fit(space, dimension)
    count, first = len(batch), last_template + 1
    if batch.space is None or not count:
        return int(first)
    names = list(dict.fromkeys(batch.names))
    known = identity_numbers(session, shelf, names) if last_identity else {}
    new = [name for name in names if name not in known]
    numbers = {**known, **dict(zip(new, range(last_identity + 1, last_identity + 1 + len(new)), strict=True))}
    _insert_identities(session, shelf, new, [numbers[name] for name in new])
    owners = batch.owners(numbers)
    _insert_templates(session, shelf, batch, first, owners.tolist(), created, mapped)
    put_tags(session, shelf, ((numbers[name], tag) for name, own in batch.tags.items() for tag in own))
    if shelf.options.portraits:
        _insert_portraits(session, shelf, batch, first)
    session.execute(
        "UPDATE galleries SET space = ?, dimension = ?, last_template = ?, last_identity = ? WHERE id = ?",
        (batch.space, batch.dimension, last_template + count, last_identity + len(new), gallery_id),
    )
    if shelf.options.audit != "off":
        log_columns(session, shelf, "enroll", *_entries(owners, first))
    return int(first)


def identity_numbers(session: Session, shelf: Shelf, names: Sequence[str]) -> dict[str, int]:
    """The numbers of those of the canonical names that are enrolled.

    Raises:
        BadGallery: one was tampered with.
    """
    found: dict[str, int] = {}
    for part in chunks(names):
        rows = _rows_of(session, shelf, shelf.sealer.keys(part, "identity"))
        found.update(zip(shelf.sealer.texts(rows, "identity"), (int(row[0]) for row in rows), strict=True))
    return found


def _rows_of(session: Session, shelf: Shelf, keys: Sequence[str]) -> list[Row]:
    """Number, key and what is stored beside it of the identities that have these keys."""
    sealed = shelf.sealer.beside_keys
    if shelf.database.kind == "sqlite":
        query = f"SELECT id, name, {sealed} FROM identities WHERE gallery_id = ? AND name IN {marks(keys)}"
        return session.execute(query, (shelf.gallery_id, *keys))
    # PostgreSQL is kept from knowing how unlike names are, so asked for many at once it would read the whole table.
    # OFFSET 0 lets it ask for one at a time.
    return session.execute(
        "SELECT i.* FROM unnest(CAST(? AS TEXT[])) AS wanted (name) CROSS JOIN LATERAL "
        f'(SELECT id, name, {sealed} FROM identities x WHERE x.gallery_id = ? AND x.name = wanted.name COLLATE "C" '
        "OFFSET 0) i",
        (list(keys), shelf.gallery_id),
    )


def put_tags(session: Session, shelf: Shelf, tags: Iterable[tuple[int, str]]) -> None:
    """Give identities, by number, canonical tags in addition to those they have."""
    wanted = list(tags)
    if not wanted:
        return
    numbers, texts = [number for number, _ in wanted], [tag for _, tag in wanted]
    keys, sealed = shelf.sealer.keys(texts, "tag"), shelf.sealer.sealed_texts(texts, numbers, "tag")
    for number, key, beside in zip(numbers, keys, sealed, strict=True):
        session.execute(
            "INSERT INTO tags (gallery_id, identity_id, tag, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (shelf.gallery_id, number, key, beside),
        )


def _insert_identities(session: Session, shelf: Shelf, names: list[str], numbers: list[int]) -> None:
    keys = shelf.sealer.keys(names, "identity")
    sealed = shelf.sealer.sealed_texts(names, numbers, "identity")
    rows = zip(repeat(shelf.gallery_id), numbers, keys, sealed)
    session.insert("identities", ("gallery_id", "id", "name", "sealed"), rows)


def _insert_templates(
    session: Session,
    shelf: Shelf,
    batch: Batch,
    first: int,
    owners: list[int],
    created: Sequence[float] | None,
    mapped: Sequence[int] | None,
) -> None:
    ids = range(first, first + len(batch))
    stored = shelf.sealer.stored_vectors(batch.vectors, ids, owners, batch.space or "")
    rows = zip(
        repeat(shelf.gallery_id),
        ids,
        owners,
        stored,
        repeat(time.time()) if created is None else created,
        repeat(0) if mapped is None else mapped,
    )
    columns = ("gallery_id", "id", "identity_id", "vector", "created", "mapped")
    session.insert("templates", columns, rows)


def _insert_portraits(session: Session, shelf: Shelf, batch: Batch, first: int) -> None:
    if batch.pictures is None or batch.landmarks is None:
        return
    rows = (
        (shelf.gallery_id, id_, *shelf.sealer.sealed_portrait(picture, landmarks, id_))
        for id_, picture, landmarks in zip(
            range(first, first + len(batch)), batch.pictures, batch.landmarks, strict=True
        )
        if picture is not None
    )
    session.insert("portraits", ("gallery_id", "template_id", "picture", "landmarks"), rows)


def _entries(owners: NDArray[np.int64], first: int) -> tuple[list[int], list[int | None], list[str]]:
    """One entry an identity, in columns: its number, its template where it got one alone, and how many it got."""
    numbers, places, counts = np.unique(owners, return_index=True, return_counts=True)
    templates: list[int | None] = (places + first).tolist()
    for place in np.flatnonzero(counts > 1).tolist():
        templates[place] = None
    kinds, which = np.unique(counts, return_inverse=True)
    words = [f"templates={count}" for count in kinds.tolist()]
    return numbers.tolist(), templates, [words[kind] for kind in which.tolist()]
