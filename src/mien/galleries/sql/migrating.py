"""Moving a SQL gallery to another embedding space: new vectors wait until each template has one, then all switch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.errors import BadGallery, BadInput, GalleryError
from mien.galleries.exchange_rows import Migration, Unmigrated
from mien.galleries.sql.audit import log_changes
from mien.galleries.sql.database import Session
from mien.galleries.sql.reading import space_of
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.types import FloatArray, Templates

__all__ = ["abandon", "begin", "finish", "put_pending", "target_of", "under_way", "unmigrated"]

_LEFT = (
    "FROM templates t WHERE t.gallery_id = ? AND NOT EXISTS "
    "(SELECT 1 FROM pending p WHERE p.gallery_id = t.gallery_id AND p.template_id = t.id)"
)


def target_of(session: Session, shelf: Shelf) -> tuple[str, int, str | None] | None:
    """Space, dimension and method of the migration under way, if there is one."""
    ((text,),) = session.execute("SELECT target FROM galleries WHERE id = ?", (shelf.gallery_id,))
    if text is None:
        return None
    try:
        target = json.loads(text)
        return str(target["space"]), int(target["dimension"]), target["method"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadGallery(f"{shelf.place}: the target of the gallery's migration is damaged: {text[:80]!r}") from error


def under_way(session: Session, shelf: Shelf) -> Migration | None:
    """See ``Migratable.migration``."""
    target = target_of(session, shelf)
    if target is None:
        return None
    which = (shelf.gallery_id,)
    ((done,),) = session.execute("SELECT count(*) FROM pending WHERE gallery_id = ?", which)
    ((left,),) = session.execute(f"SELECT count(*) {_LEFT}", which)
    ((bare,),) = session.execute(
        f"SELECT count(*) {_LEFT} AND NOT EXISTS "
        "(SELECT 1 FROM portraits q WHERE q.gallery_id = t.gallery_id AND q.template_id = t.id)",
        which,
    )
    return Migration(*target, int(done), int(left), int(bare))


def begin(session: Session, shelf: Shelf, target: str, dimension: int, method: str | None) -> Migration:
    """See ``Migratable.begin_migration``."""
    space, _ = space_of(session, shelf)
    if space is None:
        raise GalleryError(f"{shelf.place}: the gallery is empty and in no space yet: there is nothing to migrate")
    if space == target:
        raise GalleryError(f"{shelf.place}: the gallery's templates are of {space} already")
    if not target or dimension < 1:
        raise BadInput(f"expected a space and a dimension of 1 or more, got {target!r} and {dimension}")
    if target_of(session, shelf) != (target, dimension, method):
        _drop_pending(session, shelf)
        text = json.dumps({"space": target, "dimension": dimension, "method": method})
        session.execute("UPDATE galleries SET target = ? WHERE id = ?", (text, shelf.gallery_id))
    migration = under_way(session, shelf)
    if migration is None:
        raise BadGallery(f"{shelf.place}: the gallery of number {shelf.gallery_id} is gone")
    return migration


def unmigrated(session: Session, shelf: Shelf, limit: int, after: int) -> list[Unmigrated]:
    """See ``Migratable.unmigrated``."""
    _required_target(session, shelf)
    rows = session.execute(
        "SELECT t.id, t.identity_id, t.vector, t.mapped, q.picture, q.landmarks FROM templates t "
        "LEFT JOIN portraits q ON q.gallery_id = t.gallery_id AND q.template_id = t.id "
        "WHERE t.gallery_id = ? AND t.id > ? AND NOT EXISTS "
        "(SELECT 1 FROM pending p WHERE p.gallery_id = t.gallery_id AND p.template_id = t.id) ORDER BY t.id LIMIT ?",
        (shelf.gallery_id, after, limit),
    )
    if not rows:
        return []
    space, dimension = space_of(session, shelf)
    ids, numbers, stored = zip(*(row[:3] for row in rows), strict=True)
    vectors = shelf.sealer.templates(stored, ids, numbers, space or "", dimension).vectors
    found = []
    for (id_, _, _, mapped, picture, points), vector in zip(rows, vectors, strict=True):
        landmarks = None
        if picture is not None:
            picture, landmarks = shelf.sealer.portrait(picture, points, id_)
        found.append(Unmigrated(int(id_), vector, picture, landmarks, bool(mapped)))
    return found


def put_pending(session: Session, shelf: Shelf, rows: Sequence[tuple[int, FloatArray]], mapped: bool) -> int:
    """See ``Migratable.put_pending``."""
    space, dimension, _ = _required_target(session, shelf)
    given = {int(id_): vector for id_, vector in rows}
    if not given:
        return 0
    vectors = Templates(np.stack([*given.values()]), space).vectors
    if vectors.shape[1] != dimension:
        raise BadInput(f"expected vectors of dimension {dimension}, got dimension {vectors.shape[1]}")
    owners: dict[int, int] = {}
    for part in chunks([*given]):
        which = f"WHERE gallery_id = ? AND %s IN {marks(part)}"
        values = (shelf.gallery_id, *part)
        owners.update(session.execute(f"SELECT id, identity_id FROM templates {which % 'id'}", values))
        session.execute(f"DELETE FROM pending {which % 'template_id'}", values)
    kept = [place for place, id_ in enumerate(given) if id_ in owners]
    ids = [id_ for id_ in given if id_ in owners]
    stored = shelf.sealer.stored_vectors(vectors[kept], ids, [owners[id_] for id_ in ids], space)
    columns = ("gallery_id", "template_id", "vector", "mapped")
    taken: list[tuple[Any, ...]] = [
        (shelf.gallery_id, id_, piece, int(mapped)) for id_, piece in zip(ids, stored, strict=True)
    ]
    session.insert("pending", columns, taken)
    return len(taken)


def finish(session: Session, shelf: Shelf) -> int:
    """See ``Migratable.finish_migration``."""
    space, dimension, _ = _required_target(session, shelf)
    which = (shelf.gallery_id,)
    ((left,),) = session.execute(f"SELECT count(*) {_LEFT}", which)
    if left:
        return int(left)
    former, _ = space_of(session, shelf)
    pending = "FROM pending p WHERE p.gallery_id = templates.gallery_id AND p.template_id = templates.id"
    session.execute(
        f"UPDATE templates SET vector = (SELECT p.vector {pending}), mapped = (SELECT p.mapped {pending}) "
        "WHERE gallery_id = ?",
        which,
    )
    session.execute("DELETE FROM pending WHERE gallery_id = ?", which)
    session.execute(
        "UPDATE galleries SET space = ?, dimension = ?, target = NULL, snapshot = NULL, epoch = epoch + 1 WHERE id = ?",
        (space, dimension, shelf.gallery_id),
    )
    log_changes(session, shelf, "migrate", [(None, None, f"from={former} to={space}")])
    return 0


def abandon(session: Session, shelf: Shelf) -> None:
    """See ``Migratable.abandon_migration``."""
    _drop_pending(session, shelf)
    session.execute("UPDATE galleries SET target = NULL WHERE id = ?", (shelf.gallery_id,))


def _drop_pending(session: Session, shelf: Shelf) -> None:
    session.execute("DELETE FROM pending WHERE gallery_id = ?", (shelf.gallery_id,))


def _required_target(session: Session, shelf: Shelf) -> tuple[str, int, str | None]:
    target = target_of(session, shelf)
    if target is None:
        raise GalleryError(f"{shelf.place}: no migration is under way: begin one first")
    return target
