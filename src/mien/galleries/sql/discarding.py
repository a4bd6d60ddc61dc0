"""Removing a whole gallery from a SQL database."""

from __future__ import annotations

import json

from mien.errors import GalleryNotFound
from mien.galleries.sql.database import Database, Session
from mien.galleries.sql.shelf import missing

__all__ = ["discard"]

_TABLES = ("templates", "identities", "portraits", "pending", "tags", "audit", "removals")
_EVER_DAYS = -1e6


def discard(database: Database, name: str) -> tuple[int, int]:
    """Erase a gallery with all that belongs to it, its audit log too; no key is needed.

    Returns:
        The gallery's number, which is not given out again, and how many templates there were.

    Raises:
        GalleryNotFound: there is none of that name.
        GalleryLocked: another process is writing to it for longer than the time-out.
    """
    gallery_id = _number(database, name)
    with database.writing(gallery_id) as session:
        rows = session.execute("SELECT options FROM galleries WHERE id = ?", (gallery_id,))
        if not rows:
            raise GalleryNotFound(f"{database.place}: another process has just removed the gallery {name!r}")
        _let_go_of_the_audit_log(session, gallery_id, str(rows[0][0]))
        removed = 0
        for table in _TABLES:
            count = session.affected(f"DELETE FROM {table} WHERE gallery_id = ?", (gallery_id,))
            removed = count if table == "templates" else removed
        session.execute("DELETE FROM galleries WHERE id = ?", (gallery_id,))
        # It tells ``find_or_make`` that the number is taken.
        session.insert("removals", ("gallery_id", "id", "template_id"), [(gallery_id, 0, 0)])
        database.announce(session, gallery_id)
    database.erase_leftovers()
    return gallery_id, removed


def _number(database: Database, name: str) -> int:
    with database.reading() as session:
        rows = session.execute("SELECT id FROM galleries WHERE name = ?", (name,))
    if not rows:
        raise GalleryNotFound(missing(database, name))
    return int(rows[0][0])


def _let_go_of_the_audit_log(session: Session, gallery_id: int, options: str) -> None:
    """The trigger that keeps the log lets go of what is past its days: now that is all of it."""
    try:
        held = json.loads(options)
        kept = dict(held) if isinstance(held, dict) else {}
    except ValueError:
        # A damaged gallery can be removed as well.
        kept = {}
    text = json.dumps({**kept, "audit_days": _EVER_DAYS})
    session.execute("UPDATE galleries SET options = ? WHERE id = ?", (text, gallery_id))
