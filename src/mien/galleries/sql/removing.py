"""Removing from a SQL gallery, inside a writing transaction; triggers take along what belongs to what goes."""

from __future__ import annotations

from collections.abc import Sequence

from mien.errors import IdentityNotFound, TemplateNotFound
from mien.galleries.sql.audit import log_changes
from mien.galleries.sql.database import Session
from mien.galleries.sql.enrolling import identity_numbers
from mien.galleries.sql.schema import KEPT_REMOVALS
from mien.galleries.sql.shelf import Shelf, chunks, marks

__all__ = [
    "expire",
    "is_due",
    "last_removal",
    "log_moves",
    "number_of",
    "remove_identity",
    "remove_tags",
    "remove_template",
    "removed_since",
]


def number_of(session: Session, shelf: Shelf, name: str) -> int:
    """The number of the identity of that canonical name; raises IdentityNotFound."""
    numbers = identity_numbers(session, shelf, [name])
    if name not in numbers:
        raise IdentityNotFound(f"the gallery holds no identity {name!r}")
    return numbers[name]


def remove_identity(session: Session, shelf: Shelf, name: str) -> int:
    """Remove an identity and its templates; how many there were. Raises IdentityNotFound."""
    number = number_of(session, shelf, name)
    owned = (shelf.gallery_id, number)
    removed = session.affected("DELETE FROM templates WHERE gallery_id = ? AND identity_id = ?", owned)
    session.execute("DELETE FROM identities WHERE gallery_id = ? AND id = ?", owned)
    _trim(session, shelf)
    log_changes(session, shelf, "remove", [(number, None, f"templates={removed}")])
    return removed


def remove_template(session: Session, shelf: Shelf, template_id: int) -> None:
    """Remove a template, and its identity if that was the last one. Raises TemplateNotFound."""
    which = (shelf.gallery_id, template_id)
    rows = session.execute("SELECT identity_id FROM templates WHERE gallery_id = ? AND id = ?", which)
    if not rows:
        raise TemplateNotFound(f"the gallery holds no template {template_id}")
    number = int(rows[0][0])
    session.execute("DELETE FROM templates WHERE gallery_id = ? AND id = ?", which)
    _remove_bare(session, shelf, [number])
    _trim(session, shelf)
    log_changes(session, shelf, "remove", [(number, template_id, "templates=1")])


def remove_tags(session: Session, shelf: Shelf, number: int) -> None:
    """Take all tags from an identity."""
    session.execute("DELETE FROM tags WHERE gallery_id = ? AND identity_id = ?", (shelf.gallery_id, number))


def is_due(session: Session, shelf: Shelf) -> bool:
    """Whether ``expire`` would find something."""
    first_kept = shelf.cutoff()
    query = "SELECT 1 FROM templates WHERE gallery_id = ? AND created < ? LIMIT 1"
    return first_kept is not None and bool(session.execute(query, (shelf.gallery_id, first_kept)))


def expire(session: Session, shelf: Shelf) -> int:
    """Erase the templates that the gallery has kept for as long as it may; how many there were."""
    first_kept = shelf.cutoff()
    if first_kept is None:
        return 0
    which = (shelf.gallery_id, first_kept)
    counts = session.execute(
        "SELECT identity_id, count(*) FROM templates WHERE gallery_id = ? AND created < ? "
        "GROUP BY identity_id ORDER BY identity_id",
        which,
    )
    if not counts:
        return 0
    removed = session.affected("DELETE FROM templates WHERE gallery_id = ? AND created < ?", which)
    _remove_bare(session, shelf, [int(number) for number, _ in counts])
    _trim(session, shelf)
    log_changes(session, shelf, "expire", [(int(number), None, f"templates={count}") for number, count in counts])
    return removed


def _remove_bare(session: Session, shelf: Shelf, numbers: Sequence[int]) -> None:
    """Remove those of the identities that have no template left."""
    for part in chunks(numbers):
        session.execute(
            f"DELETE FROM identities WHERE gallery_id = ? AND id IN {marks(part)} AND NOT EXISTS (SELECT 1 "
            "FROM templates t WHERE t.gallery_id = identities.gallery_id AND t.identity_id = identities.id)",
            (shelf.gallery_id, *part),
        )


def last_removal(session: Session, shelf: Shelf) -> int:
    """Where the log of removals ends."""
    query = "SELECT coalesce(max(id), 0) FROM removals WHERE gallery_id = ?"
    return int(session.execute(query, (shelf.gallery_id,))[0][0])


def removed_since(session: Session, shelf: Shelf, last: int) -> list[int] | None:
    """The templates that were removed after the log ended there, or None where it does not reach back so far."""
    query = "SELECT id, template_id FROM removals WHERE gallery_id = ? AND id > ? ORDER BY id"
    rows = session.execute(query, (shelf.gallery_id, last))
    gone = [int(template_id) for _, template_id in rows if template_id > 0]
    return None if rows and rows[0][0] > last + 1 else gone


def log_moves(session: Session, shelf: Shelf, template_ids: Sequence[int]) -> None:
    """Tell those who follow the log of removals to read these templates, and all names, anew.

    They stand there with a minus: removed from whom they belonged to, and there again.
    """
    last = last_removal(session, shelf)
    rows = ((shelf.gallery_id, id_, -template_id) for id_, template_id in enumerate(template_ids, start=last + 1))
    session.insert("removals", ("gallery_id", "id", "template_id"), rows)
    _trim(session, shelf)


def _trim(session: Session, shelf: Shelf) -> None:
    session.execute(
        "DELETE FROM removals WHERE gallery_id = ? AND id <= (SELECT max(id) FROM removals WHERE gallery_id = ?) - ?",
        (shelf.gallery_id, shelf.gallery_id, KEPT_REMOVALS),
    )
