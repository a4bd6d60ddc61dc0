"""The audit log: who did what when, by numbers that say nothing once their identity is erased."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from mien.errors import GalleryError
from mien.galleries.acting import acting
from mien.galleries.keeper import cutoff
from mien.galleries.names import canonical_name
from mien.galleries.sql.database import Session
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.types import Match

__all__ = [
    "AuditEntry",
    "audit_log",
    "drop_old_entries",
    "is_due",
    "log_changes",
    "log_columns",
    "log_search",
    "takes_in_exports",
]

_COLUMNS = ("gallery_id", "id", "at", "actor", "action", "identity_id", "template_id", "detail")
_PAGE = 1000
# The trigger's clock may be a little behind ours.
_CLOCKS_DIFFER_S = 1.0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        at: when, in seconds since 1970 (UTC).
        actor: who did it: the one of ``acting_as``, else the URL's ``actor``, else the login name.
        action: ``enroll``, ``remove``, ``rename``, ``merge``, ``expire``, ``tag``, ``search``, ``export``,
            ``migrate``, ``abandon`` (of a migration) or ``rotate_key``.
        identity_id: the number of the identity it was done to, or None.
        template_id: the template, where it was done to one alone.
        detail: more of it, such as ``templates=3``; never a name and never a template. That of ``merge`` has the
            number of the identity that is no more: ``from=7 templates=3``.
        identity: the name of that identity, if it is still enrolled.
    """

    at: float
    actor: str
    action: str
    identity_id: int | None
    template_id: int | None
    detail: str
    identity: str | None


def log_changes(
    session: Session,
    shelf: Shelf,
    action: str,
    entries: Collection[tuple[int | None, int | None, str]],
) -> None:
    """Write entries of identity, template and detail, in the transaction of what they tell of."""
    if shelf.options.audit != "off" and entries:
        log_columns(session, shelf, action, *zip(*entries, strict=True))


def log_columns(
    session: Session,
    shelf: Shelf,
    action: str,
    numbers: Sequence[int | None],
    templates: Sequence[int | None],
    details: Sequence[str],
) -> None:
    """Write entries that are given in columns, whatever the gallery's options say."""
    ((last,),) = session.execute("SELECT last_audit FROM galleries WHERE id = ?", (shelf.gallery_id,))
    newest = last + len(numbers)
    actor = acting()
    fixed = (repeat(time.time()), repeat(shelf.actor if actor is None else actor), repeat(action))
    rows = zip(repeat(shelf.gallery_id), range(last + 1, newest + 1), *fixed, numbers, templates, details)
    session.insert("audit", _COLUMNS, rows)
    session.execute("UPDATE galleries SET last_audit = ? WHERE id = ?", (newest, shelf.gallery_id))


def log_search(shelf: Shelf, found: Sequence[Sequence[Match]]) -> None:
    """Write one entry for each identity that a search found, or one if it found none.

    Raises:
        GalleryError: the log cannot be written; then the search must not be answered.
    """
    if shelf.database.read_only:
        raise GalleryError(f"{shelf.place}: the audit log takes in every search, and the gallery is opened read-only")
    template_ids = sorted({match.template_id for matches in found for match in matches})
    detail = f"probes={len(found)}"
    with shelf.database.writing(shelf.gallery_id) as session:
        numbers: list[int | None] = [*_owners(session, shelf, template_ids)]
        log_changes(session, shelf, "search", [(number, None, detail) for number in numbers or [None]])


def takes_in_exports(shelf: Shelf) -> bool:
    """Whether an export is logged: unless nothing is, or it is no more than changes and nothing can be written here."""
    audit = shelf.options.audit
    return audit == "all" or (audit == "changes" and not shelf.database.read_only)


def _owners(session: Session, shelf: Shelf, template_ids: Sequence[int]) -> list[int]:
    """The numbers of the identities that have these templates, rising."""
    found: set[int] = set()
    for part in chunks(template_ids):
        query = f"SELECT DISTINCT identity_id FROM templates WHERE gallery_id = ? AND id IN {marks(part)}"
        found.update(int(number) for (number,) in session.execute(query, (shelf.gallery_id, *part)))
    return sorted(found)


def audit_log(
    shelf: Shelf, since: float | None = None, until: float | None = None, identity: str | None = None
) -> Iterator[AuditEntry]:
    """The entries in the order in which they were written and without those past their days, read a page at a time.

    Args:
        shelf: which gallery.
        since: only those from this time on, in seconds since 1970.
        until: only those before this time.
        identity: only those of the identity that has this name now; entries of erased ones have no name.
    """
    conditions, parameters = "a.gallery_id = ? AND a.id > ?", list[object]()
    if since is not None:
        conditions, parameters = f"{conditions} AND a.at >= ?", [*parameters, since]
    if until is not None:
        conditions, parameters = f"{conditions} AND a.at < ?", [*parameters, until]
    if identity is not None:
        conditions += " AND i.name = ?"
        parameters += shelf.sealer.keys([canonical_name(identity)], "identity")
    last = 0
    while True:
        oldest = cutoff(shelf.options.audit_days)
        condition, first_kept = shelf.shown("t")
        owned = "SELECT 1 FROM templates t WHERE t.gallery_id = i.gallery_id AND t.identity_id = i.id"
        enrolled = f" AND EXISTS ({owned}{condition})" if condition else ""
        with shelf.database.reading() as session:
            rows = session.execute(
                "SELECT a.id, a.at, a.actor, a.action, a.identity_id, a.template_id, a.detail, i.name, i.sealed "
                "FROM audit a LEFT JOIN identities i "
                f"ON i.gallery_id = a.gallery_id AND i.id = a.identity_id{enrolled} "
                f"WHERE {conditions} AND a.at >= ? ORDER BY a.id LIMIT {_PAGE}",
                (*first_kept, shelf.gallery_id, last, *parameters, 0.0 if oldest is None else oldest),
            )
        if not rows:
            return
        last = rows[-1][0]
        named = [(row[4], row[7], row[8]) for row in rows if row[7] is not None]
        names = dict(zip((number for number, _, _ in named), shelf.sealer.texts(named, "identity"), strict=True))
        for _, at, actor, action, number, template_id, detail, _, _ in rows:
            yield AuditEntry(at, actor, action, number, template_id, detail, names.get(number))


def is_due(session: Session, shelf: Shelf) -> bool:
    """Whether ``drop_old_entries`` would find some."""
    oldest = cutoff(shelf.options.audit_days)
    query = "SELECT 1 FROM audit WHERE gallery_id = ? AND at < ? LIMIT 1"
    return oldest is not None and bool(session.execute(query, (shelf.gallery_id, oldest - _CLOCKS_DIFFER_S)))


def drop_old_entries(session: Session, shelf: Shelf) -> None:
    """Delete what is older than the gallery keeps its log."""
    oldest = cutoff(shelf.options.audit_days)
    if oldest is not None:
        session.execute(
            "DELETE FROM audit WHERE gallery_id = ? AND at < ?", (shelf.gallery_id, oldest - _CLOCKS_DIFFER_S)
        )
