"""Another name for an identity of a SQL gallery, or another identity for its templates, inside a writing transaction.

A name is one row, so a plain renaming changes that row alone. To join two identities, the templates of one are given
the number of the other; in an encrypted gallery that means sealing them anew, for what is sealed is bound to it.
"""

from __future__ import annotations

from mien.errors import IdentityExists
from mien.galleries.sql.audit import log_changes
from mien.galleries.sql.database import Session
from mien.galleries.sql.enrolling import identity_numbers, put_tags
from mien.galleries.sql.migrating import target_of
from mien.galleries.sql.reading import space_of, tags_of
from mien.galleries.sql.removing import log_moves, number_of
from mien.galleries.sql.shelf import Shelf, chunks, marks

__all__ = ["rename"]


def rename(session: Session, shelf: Shelf, name: str, new_name: str, merge: bool) -> int:
    """See ``Gallery.rename``, for canonical names."""
    number = number_of(session, shelf, name)
    ids = _ids(session, shelf, number)
    if new_name == name:
        return len(ids)
    other = identity_numbers(session, shelf, [new_name]).get(new_name)
    if other is None:
        ((key,), (sealed,)) = (
            shelf.sealer.keys([new_name], "identity"),
            shelf.sealer.sealed_texts([new_name], [number], "identity"),
        )
        session.execute(
            "UPDATE identities SET name = ?, sealed = ? WHERE gallery_id = ? AND id = ?",
            (key, sealed, shelf.gallery_id, number),
        )
        # One is enough for everybody to look at the names again.
        log_moves(session, shelf, ids[:1])
        log_changes(session, shelf, "rename", [(number, None, f"templates={len(ids)}")])
        return len(ids)
    if not merge:
        raise IdentityExists(f"the gallery holds an identity {new_name!r} already: merge=True (--merge) joins the two")
    _move(session, shelf, ids, number, other)
    put_tags(session, shelf, ((other, tag) for tag in tags_of(session, shelf, [number]).get(number, ())))
    session.execute("DELETE FROM identities WHERE gallery_id = ? AND id = ?", (shelf.gallery_id, number))
    log_moves(session, shelf, ids)
    log_changes(session, shelf, "merge", [(other, None, f"from={number} templates={len(ids)}")])
    return len(_ids(session, shelf, other))


def _ids(session: Session, shelf: Shelf, number: int) -> list[int]:
    query = "SELECT id FROM templates WHERE gallery_id = ? AND identity_id = ? ORDER BY id"
    return [int(id_) for (id_,) in session.execute(query, (shelf.gallery_id, number))]


def _move(session: Session, shelf: Shelf, ids: list[int], former: int, number: int) -> None:
    """Give templates to another identity."""
    space, _ = space_of(session, shelf)
    target = target_of(session, shelf)
    _seal_anew(session, shelf, "templates", "id", ids, former, number, space or "")
    if target is not None:
        _seal_anew(session, shelf, "pending", "template_id", ids, former, number, target[0])
    owners = (number, shelf.gallery_id, former)
    session.execute("UPDATE templates SET identity_id = ? WHERE gallery_id = ? AND identity_id = ?", owners)
    if shelf.database.kind == "postgresql" and session.execute("SELECT to_regclass('searchable')") != [(None,)]:
        # What pgvector searches, whether or not this process does.
        session.execute("UPDATE searchable SET identity_id = ? WHERE gallery_id = ? AND identity_id = ?", owners)


def _seal_anew(
    session: Session, shelf: Shelf, table: str, key: str, ids: list[int], former: int, number: int, space: str
) -> None:
    """Bind the vectors of an encrypted gallery to the identity that they go to."""
    if shelf.sealer.vault is None:
        return
    for part in chunks(ids):
        rows = session.execute(
            f"SELECT {key}, vector FROM {table} WHERE gallery_id = ? AND {key} IN {marks(part)}",
            (shelf.gallery_id, *part),
        )
        held = [int(id_) for id_, _ in rows]
        sealed = shelf.sealer.moved_vectors([row[1] for row in rows], held, former, number, space)
        for id_, piece in zip(held, sealed, strict=True):
            session.execute(
                f"UPDATE {table} SET vector = ? WHERE gallery_id = ? AND {key} = ?", (piece, shelf.gallery_id, id_)
            )
