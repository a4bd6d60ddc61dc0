"""Looking things up in a SQL gallery, inside any transaction; what has expired is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadGallery, IdentityNotFound, TemplateNotFound
from mien.galleries.paging import Page
from mien.galleries.sql.database import Session
from mien.galleries.sql.enrolling import identity_numbers
from mien.galleries.sql.removing import number_of
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.galleries.sql.wording import SHOWN, first_ten, plural
from mien.types import Templates

__all__ = [
    "ORPHANS",
    "allowed_numbers",
    "count",
    "count_identities",
    "identities",
    "identity_names",
    "orphaned",
    "portrait",
    "space_of",
    "tags",
    "tags_of",
    "templates",
]

_MOST_NAMES = 10_000

ORPHANS = (
    "templates t WHERE t.gallery_id = ? AND NOT EXISTS "
    "(SELECT 1 FROM identities i WHERE i.gallery_id = t.gallery_id AND i.id = t.identity_id)"
)
"""The templates of a gallery, as ``t``, whose identity is missing."""


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


def identities(session: Session, shelf: Shelf, page: Page) -> list[tuple[str, int]]:
    """Name and number of templates of a page of the identities, sorted by name."""
    if page.limit is not None and shelf.sealer.vault is None:
        return _some_identities(session, shelf, page, page.limit)
    condition, parameters = shelf.shown("t")
    rows = session.execute(
        "SELECT i.id, i.name, i.sealed, c.templates FROM identities i JOIN "
        f"(SELECT t.identity_id, count(*) AS templates FROM templates t WHERE t.gallery_id = ?{condition} "
        "GROUP BY t.identity_id) c ON c.identity_id = i.id WHERE i.gallery_id = ?",
        (shelf.gallery_id, *parameters, shelf.gallery_id),
    )
    names = shelf.sealer.texts([row[:3] for row in rows], "identity")
    return page.of(zip(names, (int(row[3]) for row in rows), strict=True))


def _some_identities(session: Session, shelf: Shelf, page: Page, limit: int) -> list[tuple[str, int]]:
    """A page, out of names that are stored in their order."""
    found: list[tuple[str, int]] = []
    last, step = "" if page.after is None else page.after, limit if page.containing is None else _MOST_NAMES
    while len(found) < limit:
        rows = session.execute(
            "SELECT id, name FROM identities WHERE gallery_id = ? AND name > ? ORDER BY name LIMIT ?",
            (shelf.gallery_id, last, step),
        )
        if not rows:
            break
        last = rows[-1][1]
        for part in chunks([(int(number), str(name)) for number, name in rows if page.takes(name)]):
            counts = _counts(session, shelf, [number for number, _ in part])
            found += [(name, counts[number]) for number, name in part if number in counts]
            if len(found) >= limit:
                break
    return found[:limit]


def _counts(session: Session, shelf: Shelf, numbers: Sequence[int]) -> dict[int, int]:
    """How many templates those of the identities have that have any."""
    condition, parameters = shelf.shown("t")
    query = (
        f"SELECT t.identity_id, count(*) FROM templates t WHERE t.gallery_id = ? AND t.identity_id IN {marks(numbers)}"
        f"{condition} GROUP BY t.identity_id"
    )
    rows = session.execute(query, (shelf.gallery_id, *numbers, *parameters))
    return {int(number): int(count) for number, count in rows}


def count_identities(session: Session, shelf: Shelf) -> int:
    """How many identities are enrolled."""
    condition, parameters = shelf.shown("t")
    query = "SELECT count(*) FROM identities WHERE gallery_id = ?"
    if condition:
        query = f"SELECT count(DISTINCT t.identity_id) FROM templates t WHERE t.gallery_id = ?{condition}"
    return int(session.execute(query, (shelf.gallery_id, *parameters))[0][0])


def portrait(session: Session, shelf: Shelf, template_id: int) -> bytes | None:
    """The picture of a template, or None if there is none; raises TemplateNotFound."""
    condition, parameters = shelf.shown("t")
    rows = session.execute(
        "SELECT p.picture, p.landmarks FROM templates t LEFT JOIN portraits p "
        f"ON p.gallery_id = t.gallery_id AND p.template_id = t.id WHERE t.gallery_id = ? AND t.id = ?{condition}",
        (shelf.gallery_id, template_id, *parameters),
    )
    if not rows:
        raise TemplateNotFound(f"the gallery holds no template {template_id}")
    ((picture, landmarks),) = rows
    return None if picture is None else bytes(shelf.sealer.portrait(picture, landmarks, template_id)[0])


def identity_names(session: Session, shelf: Shelf, numbers: Iterable[int]) -> dict[int, str]:
    """The names of those of the identities, by number, that are enrolled."""
    found: dict[int, str] = {}
    for part in chunks(list(numbers)):
        query = f"SELECT id, name, sealed FROM identities WHERE gallery_id = ? AND id IN {marks(part)}"
        rows = session.execute(query, (shelf.gallery_id, *part))
        found.update(zip((int(row[0]) for row in rows), shelf.sealer.texts(rows, "identity"), strict=True))
    return found


def orphaned(session: Session, shelf: Shelf) -> BadGallery:
    """The error for templates whose identity is missing; its message names them and the cure."""
    which = (shelf.gallery_id,)
    ((count,),) = session.execute(f"SELECT count(*) FROM {ORPHANS}", which)
    rows = session.execute(f"SELECT t.id FROM {ORPHANS} ORDER BY t.id LIMIT {SHOWN + 1}", which)
    if not rows:
        return BadGallery(f"{shelf.place}: there are templates without an identity in the index: mien gallery compact")
    return BadGallery(
        f"{shelf.place}: the gallery is damaged: {plural(int(count), 'template')} whose identity is missing: "
        f"{first_ten([int(id_) for (id_,) in rows])}; mien gallery remove --template N removes such a template"
    )


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


def tags_of(session: Session, shelf: Shelf, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The tags, sorted, of those of the identities, by number, that have any."""
    found: dict[int, list[str]] = {}
    for part in chunks(numbers):
        query = f"SELECT identity_id, tag, sealed FROM tags WHERE gallery_id = ? AND identity_id IN {marks(part)}"
        rows = session.execute(query, (shelf.gallery_id, *part))
        for row, tag in zip(rows, shelf.sealer.texts(rows, "tag"), strict=True):
            found.setdefault(int(row[0]), []).append(tag)
    return {number: tuple(sorted(own)) for number, own in found.items()}


def allowed_numbers(
    session: Session, shelf: Shelf, tagged: Collection[str] | None, names: Collection[str] | None
) -> NDArray[np.int64]:
    """The numbers, rising, of the identities that have one of the tags and one of the names (None: any).

    Raises:
        BadGallery: a tag or a name was tampered with.
    """
    allowed = None if names is None else set(identity_numbers(session, shelf, sorted(names)).values())
    if tagged is not None:
        numbers: set[int] = set()
        for part in chunks(shelf.sealer.keys(sorted(tagged), "tag")):
            query = (
                f"SELECT identity_id, tag, {shelf.sealer.beside_keys} FROM tags "
                f"WHERE gallery_id = ? AND tag IN {marks(part)} ORDER BY tag, identity_id"
            )
            rows = session.execute(query, (shelf.gallery_id, *part))
            shelf.sealer.require_sound(rows, "tag")
            numbers.update(int(row[0]) for row in rows)
        allowed = numbers if allowed is None else allowed & numbers
    return np.array(sorted(allowed or ()), np.int64)
