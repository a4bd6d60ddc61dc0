"""Reading everything that a SQL gallery holds, to find damage before a search does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from mien.errors import BadGallery, GalleryError
from mien.galleries.progress import Progress, Steps
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.index_checking import IndexCheck, index_check
from mien.galleries.sql.migrating import target_of
from mien.galleries.sql.reading import ORPHANS, space_of
from mien.galleries.sql.shelf import Shelf
from mien.galleries.sql.snapshot import SnapshotFile
from mien.galleries.sql.wording import SHOWN, first_ten, plural
from mien.types import Templates

__all__ = ["check"]

_MOST_LINES = 100
_ROWS = 500

_T = TypeVar("_T")

# What there may be none of: a noun, what is wrong with it, what tells it, where it is found, and the cure.
_NONE_MAY_BE = (
    (
        "template",
        "whose identity is missing",
        "t.id",
        ORPHANS,
        "; mien gallery remove --template N removes such a template",
    ),
    (
        "identity",
        "without a template",
        "i.id",
        "identities i WHERE i.gallery_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM templates t WHERE t.gallery_id = i.gallery_id AND t.identity_id = i.id)",
        "",
    ),
    (
        "tag",
        "whose identity is missing",
        "g.identity_id",
        "tags g WHERE g.gallery_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM identities i WHERE i.gallery_id = g.gallery_id AND i.id = g.identity_id)",
        "",
    ),
    *(
        (
            noun,
            "whose template is missing",
            "p.template_id",
            f"{table} p WHERE p.gallery_id = ? AND NOT EXISTS "
            "(SELECT 1 FROM templates t WHERE t.gallery_id = p.gallery_id AND t.id = p.template_id)",
            "",
        )
        for table, noun in (("portraits", "portrait"), ("pending", "pending vector"))
    ),
    (
        "template",
        "with a number that was never given out",
        "t.id",
        "templates t WHERE t.gallery_id = ? "
        "AND t.id > (SELECT last_template FROM galleries g WHERE g.id = t.gallery_id)",
        "",
    ),
    (
        "identity",
        "with a number that was never given out",
        "i.id",
        "identities i WHERE i.gallery_id = ? "
        "AND i.id > (SELECT last_identity FROM galleries g WHERE g.id = i.gallery_id)",
        "",
    ),
)


def check(shelf: Shelf, snapshot: SnapshotFile | None = None, progress: Progress | None = None) -> list[str]:
    """What is wrong, a line each, at most a hundred; none if all is sound. Raises nothing for damage.

    Args:
        shelf: which gallery.
        snapshot: the file that may hold a copy of its index.
        progress: is told of rows that are read, of templates and all that belongs to them.
    """
    found: list[str] = []
    try:
        with shelf.database.reading() as session:
            steps = Steps(progress, _rows_to_read(session, shelf))
        found += shelf.database.check(steps.tell)
        with shelf.database.reading() as session, session.telling(steps.tell):
            for line in _lines(session, shelf, snapshot, steps):
                found.append(line)
                if len(found) >= _MOST_LINES:
                    return [*found, "and perhaps more"]
        steps.finish()
    except GalleryError as error:
        found.append(str(error))
    return found


def _rows_to_read(session: Session, shelf: Shelf) -> int:
    tables = ("templates", "pending", "identities", "tags", "portraits")
    counts = (f"(SELECT count(*) FROM {table} WHERE gallery_id = g.id)" for table in tables)
    ((rows,),) = session.execute(f"SELECT {' + '.join(counts)} FROM galleries g WHERE g.id = ?", (shelf.gallery_id,))
    return int(rows)


def _lines(session: Session, shelf: Shelf, snapshot: SnapshotFile | None, steps: Steps) -> Iterator[str]:
    for noun, what, id_, rest, cure in _NONE_MAY_BE:
        ((count,),) = session.execute(f"SELECT count(*) FROM {rest}", (shelf.gallery_id,))
        if count:
            query = f"SELECT {id_} FROM {rest} ORDER BY 1 LIMIT {SHOWN + 1}"
            ids = [int(number) for (number,) in session.execute(query, (shelf.gallery_id,))]
            yield f"{shelf.place}: {plural(count, noun)} {what}: {first_ten(ids)}{cure}"
    yield from _templates(session, shelf, snapshot, steps)
    target = target_of(session, shelf)
    if target is not None:
        vectors = (
            "SELECT p.template_id, t.identity_id, p.vector FROM pending p JOIN templates t "
            "ON t.gallery_id = p.gallery_id AND t.id = p.template_id WHERE p.gallery_id = ? ORDER BY p.template_id"
        )
        read = partial(_read_vectors, shelf, target[0], target[1])
        yield from _unreadable(session, shelf, vectors, read, steps)
    names = "SELECT id, name, sealed FROM identities WHERE gallery_id = ? ORDER BY id"
    yield from _unreadable(session, shelf, names, partial(_read_texts, shelf, "identity"), steps)
    tags = "SELECT identity_id, tag, sealed FROM tags WHERE gallery_id = ? ORDER BY identity_id"
    yield from _unreadable(session, shelf, tags, partial(_read_texts, shelf, "tag"), steps)
    portraits = "SELECT template_id, picture, landmarks FROM portraits WHERE gallery_id = ? ORDER BY template_id"

    def read_portraits(rows: list[Row]) -> None:
        for id_, picture, landmarks in rows:
            shelf.sealer.portrait(picture, landmarks, id_)

    yield from _unreadable(session, shelf, portraits, read_portraits, steps)


def _templates(session: Session, shelf: Shelf, snapshot: SnapshotFile | None, steps: Steps) -> Iterator[str]:
    """What is wrong with the templates, and with the copy of them that an index is."""
    space, dimension = space_of(session, shelf)
    index = index_check(session, shelf, snapshot)
    if isinstance(index, str):
        # Another process may just have written it anew, of which this transaction does not know.
        with shelf.database.reading() as fresh:
            again = index_check(fresh, shelf, snapshot)
        if isinstance(again, str):
            yield again
        index = None

    def compare(rows: list[Row], templates: Templates) -> None:
        if isinstance(index, IndexCheck):
            index.compare([row[0] for row in rows], [row[1] for row in rows], templates.vectors)

    vectors = "SELECT id, identity_id, vector FROM templates WHERE gallery_id = ? ORDER BY id"
    read = partial(_read_vectors, shelf, space or "", dimension)
    meet = index.meet if isinstance(index, IndexCheck) else None
    yield from _unreadable(session, shelf, vectors, read, steps, good=compare, meet=meet)
    if isinstance(index, IndexCheck):
        yield from index.faults()


def _unreadable(
    session: Session,
    shelf: Shelf,
    query: str,
    read: Callable[[list[Row]], _T],
    steps: Steps,
    *,
    good: Callable[[list[Row], _T], None] | None = None,
    meet: Callable[[list[int]], None] | None = None,
) -> Iterator[str]:
    """A line for each row that cannot be read; rows are read together, and one by one where that fails.

    Args:
        session: the transaction.
        shelf: which gallery.
        query: what gives the rows, each with its number first.
        read: reads rows; raises BadGallery.
        steps: is told of them.
        good: is given the rows that were read, and what they were read as.
        meet: is given the numbers of all rows.
    """
    for rows in session.stream(query, (shelf.gallery_id,), rows=_ROWS):
        if meet is not None:
            meet([row[0] for row in rows])
        try:
            found = read(rows)
            if good is not None:
                good(rows, found)
        except BadGallery:
            for row in rows:
                try:
                    one = read([row])
                except BadGallery as error:
                    yield f"{error} (number {row[0]})"
                    continue
                if good is not None:
                    good([row], one)
        steps.advance(len(rows))


def _read_vectors(shelf: Shelf, space: str, dimension: int, rows: list[Row]) -> Templates:
    ids, numbers, stored = zip(*rows, strict=True)
    return shelf.sealer.templates(stored, ids, numbers, space, dimension)


def _read_texts(shelf: Shelf, purpose: str, rows: list[Row]) -> None:
    texts = shelf.sealer.texts(rows, purpose)
    if shelf.sealer.keys(texts, purpose) != [row[1] for row in rows]:
        raise BadGallery(f"{shelf.place}: the key of the {purpose} does not fit its text")
