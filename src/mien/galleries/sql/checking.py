"""Reading everything that a SQL gallery holds, to find damage before a search does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from mien.errors import BadGallery, GalleryError
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.migrating import target_of
from mien.galleries.sql.reading import space_of
from mien.galleries.sql.shelf import Shelf

__all__ = ["check"]

_MOST_LINES = 100
_ROWS = 500

_NONE_MAY_BE = (
    (
        "templates whose identity is missing",
        "templates t WHERE t.gallery_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM identities i WHERE i.gallery_id = t.gallery_id AND i.id = t.identity_id)",
    ),
    (
        "identities without a template",
        "identities i WHERE i.gallery_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM templates t WHERE t.gallery_id = i.gallery_id AND t.identity_id = i.id)",
    ),
    (
        "tags whose identity is missing",
        "tags g WHERE g.gallery_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM identities i WHERE i.gallery_id = g.gallery_id AND i.id = g.identity_id)",
    ),
    *(
        (
            f"{what} whose template is missing",
            f"{what} p WHERE p.gallery_id = ? AND NOT EXISTS "
            "(SELECT 1 FROM templates t WHERE t.gallery_id = p.gallery_id AND t.id = p.template_id)",
        )
        for what in ("portraits", "pending")
    ),
    (
        "templates of ids that were never given out",
        "templates t WHERE t.gallery_id = ? "
        "AND t.id > (SELECT last_template FROM galleries g WHERE g.id = t.gallery_id)",
    ),
    (
        "identities of numbers that were never given out",
        "identities i WHERE i.gallery_id = ? "
        "AND i.id > (SELECT last_identity FROM galleries g WHERE g.id = i.gallery_id)",
    ),
)


def check(shelf: Shelf) -> list[str]:
    """What is wrong, a line each, at most a hundred; none if all is sound. Raises nothing for damage."""
    found = shelf.database.check()
    try:
        with shelf.database.reading() as session:
            for line in _lines(session, shelf):
                found.append(line)
                if len(found) >= _MOST_LINES:
                    return [*found, "and perhaps more"]
    except GalleryError as error:
        found.append(str(error))
    return found


def _lines(session: Session, shelf: Shelf) -> Iterator[str]:
    for what, rest in _NONE_MAY_BE:
        ((count,),) = session.execute(f"SELECT count(*) FROM {rest}", (shelf.gallery_id,))
        if count:
            yield f"{shelf.place}: {count} {what}"
    sealer = shelf.sealer
    space, dimension = space_of(session, shelf)
    vectors = "SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? ORDER BY id"
    yield from _unreadable(session, shelf, vectors, partial(_read_vectors, shelf, space or "", dimension))
    target = target_of(session, shelf)
    if target is not None:
        vectors = (
            "SELECT p.template_id, t.identity_id, p.vector FROM pending p JOIN templates t "
            "ON t.gallery_id = p.gallery_id AND t.id = p.template_id WHERE p.gallery_id = ? ORDER BY p.template_id"
        )
        yield from _unreadable(session, shelf, vectors, partial(_read_vectors, shelf, target[0], target[1]))
    names = "SELECT id, name, sealed FROM identities WHERE gallery_id = ? ORDER BY id"
    yield from _unreadable(session, shelf, names, partial(_read_texts, shelf, "identity"))
    tags = "SELECT identity_id, tag, sealed FROM tags WHERE gallery_id = ? ORDER BY identity_id"
    yield from _unreadable(session, shelf, tags, partial(_read_texts, shelf, "tag"))
    portraits = "SELECT template_id, picture, landmarks FROM portraits WHERE gallery_id = ? ORDER BY template_id"

    def read_portraits(rows: list[Row]) -> None:
        for id_, picture, landmarks in rows:
            sealer.portrait(picture, landmarks, id_)

    yield from _unreadable(session, shelf, portraits, read_portraits)


def _unreadable(session: Session, shelf: Shelf, query: str, read: Callable[[list[Row]], None]) -> Iterator[str]:
    """A line for each row that cannot be read; rows are read together, and one by one where that fails."""
    for rows in session.stream(query, (shelf.gallery_id,), rows=_ROWS):
        try:
            read(rows)
        except BadGallery:
            for row in rows:
                try:
                    read([row])
                except BadGallery as error:
                    yield f"{error} (number {row[0]})"


def _read_vectors(shelf: Shelf, space: str, dimension: int, rows: list[Row]) -> None:
    ids, numbers, stored = zip(*rows, strict=True)
    shelf.sealer.templates(stored, ids, numbers, space, dimension)


def _read_texts(shelf: Shelf, purpose: str, rows: list[Row]) -> None:
    texts = shelf.sealer.texts(rows, purpose)
    if shelf.sealer.keys(texts, purpose) != [row[1] for row in rows]:
        raise BadGallery(f"{shelf.place}: the key of the {purpose} does not fit its text")
