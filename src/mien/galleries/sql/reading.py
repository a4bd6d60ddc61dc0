"""Looking things up in a SQL gallery, inside any transaction; what has expired is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from mien.errors import IdentityNotFound
from mien.galleries.sql.database import Session
from mien.galleries.sql.enrolling import identity_numbers
from mien.galleries.sql.removing import number_of
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.types import Templates

__all__ = ["allowed_numbers", "count", "identities", "identity_names", "space_of", "tags", "templates"]


def space_of(session: Session, shelf: Shelf) -> tuple[str | None, int]:
    """The gallery's embedding space and its dimension, None and 0 before the first enrollment."""
    ((space, dimension),) = session.execute("SELECT space, dimension FROM galleries WHERE id = ?", (shelf.gallery_id,))
    return (None, 0) if space is None else (str(space), int(dimension))


def count(session: Session, shelf: Shelf, *, mapped_only: bool = False) -> int:
    """How many templates are enrolled, or how many of them came out of a learned map."""
    condition, parameters = shelf.shown("templates")
    mapped = " AND mapped <> 0" if mapped_only else ""
    query = f"SELECT count(*) FROM templates WHERE gallery_id = ?{condition}{mapped}"
    return int(session.execute(query, (shelf.gallery_id, *parameters))[0][0])


def identities(session: Session, shelf: Shelf) -> list[tuple[str, int]]:
    """Name and number of templates of every identity, sorted by name."""
    condition, parameters = shelf.shown("t")
    rows = session.execute(
        "SELECT i.id, i.name, i.sealed, c.templates FROM identities i JOIN "
        f"(SELECT t.identity_id, count(*) AS templates FROM templates t WHERE t.gallery_id = ?{condition} "
        "GROUP BY t.identity_id) c ON c.identity_id = i.id WHERE i.gallery_id = ?",
        (shelf.gallery_id, *parameters, shelf.gallery_id),
    )
    names = shelf.sealer.texts([row[:3] for row in rows], "identity")
    return sorted(zip(names, (int(row[3]) for row in rows), strict=True))


def identity_names(session: Session, shelf: Shelf, numbers: Iterable[int]) -> dict[int, str]:
    """The names of those of the identities, by number, that are enrolled."""
    found: dict[int, str] = {}
    for part in chunks(list(numbers)):
        query = f"SELECT id, name, sealed FROM identities WHERE gallery_id = ? AND id IN {marks(part)}"
        rows = session.execute(query, (shelf.gallery_id, *part))
        found.update(zip((int(row[0]) for row in rows), shelf.sealer.texts(rows, "identity"), strict=True))
    return found


def templates(session: Session, shelf: Shelf, name: str) -> tuple[list[int], Templates]:
    """Ids and templates of the identity of that canonical name; raises IdentityNotFound."""
    number = number_of(session, shelf, name)
    condition, parameters = shelf.shown("templates")
    rows = session.execute(
        f"SELECT id, vector FROM templates WHERE gallery_id = ? AND identity_id = ?{condition} ORDER BY id",
        (shelf.gallery_id, number, *parameters),
    )
    if not rows:
        raise IdentityNotFound(f"the gallery holds no identity {name!r}")
    space, dimension = space_of(session, shelf)
    ids = [int(id_) for id_, _ in rows]
    return ids, shelf.sealer.templates([row[1] for row in rows], ids, [number] * len(ids), space or "", dimension)


def tags(session: Session, shelf: Shelf, name: str) -> list[str]:
    """The tags of the identity of that canonical name, sorted; raises IdentityNotFound."""
    number = number_of(session, shelf, name)
    condition, parameters = shelf.shown("templates")
    query = f"SELECT 1 FROM templates WHERE gallery_id = ? AND identity_id = ?{condition} LIMIT 1"
    if condition and not session.execute(query, (shelf.gallery_id, number, *parameters)):
        raise IdentityNotFound(f"the gallery holds no identity {name!r}")
    rows = session.execute(
        "SELECT identity_id, tag, sealed FROM tags WHERE gallery_id = ? AND identity_id = ?",
        (shelf.gallery_id, number),
    )
    return sorted(shelf.sealer.texts(rows, "tag"))


def allowed_numbers(
    session: Session, shelf: Shelf, tagged: Collection[str] | None, names: Collection[str] | None
) -> NDArray[np.int64]:
    """The numbers, rising, of the identities that have one of the tags and one of the names (None: any)."""
    allowed = None if names is None else set(identity_numbers(session, shelf, sorted(names)).values())
    if tagged is not None:
        numbers: set[int] = set()
        for part in chunks(shelf.sealer.keys(sorted(tagged), "tag")):
            query = f"SELECT identity_id FROM tags WHERE gallery_id = ? AND tag IN {marks(part)}"
            numbers.update(int(number) for (number,) in session.execute(query, (shelf.gallery_id, *part)))
        allowed = numbers if allowed is None else allowed & numbers
    return np.array(sorted(allowed or ()), np.int64)
