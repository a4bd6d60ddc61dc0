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

__all__ = ["abandon", "begin", "finish", "plan", "put_pending", "target_of", "under_way", "unmigrated"]

_Target = tuple[str, int, str | None]

_GIVE_UP = "mien gallery migrate --abandon (in Python, abandon_migration)"
_LEFT = (
    "FROM templates t WHERE t.gallery_id = ? AND NOT EXISTS "
    "(SELECT 1 FROM pending p WHERE p.gallery_id = t.gallery_id AND p.template_id = t.id)"
)


def target_of(session: Session, shelf: Shelf) -> _Target | None:
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
    return None if target is None else _state(session, shelf, target)


def _state(session: Session, shelf: Shelf, target: _Target) -> Migration:
    """How far the gallery is on its way to a target, if what is pending is on its way there."""
    condition, parameters = shelf.shown("t")
    which = (shelf.gallery_id, *parameters)
    expected = "SELECT 1 FROM templates t WHERE t.gallery_id = p.gallery_id AND t.id = p.template_id"
    unexpired = f" AND EXISTS ({expected}{condition})" if condition else ""
    ((done,),) = session.execute(f"SELECT count(*) FROM pending p WHERE p.gallery_id = ?{unexpired}", which)
    ((left,),) = session.execute(f"SELECT count(*) {_LEFT}{condition}", which)
    ((bare,),) = session.execute(
        f"SELECT count(*) {_LEFT} AND NOT EXISTS "
        f"(SELECT 1 FROM portraits q WHERE q.gallery_id = t.gallery_id AND q.template_id = t.id){condition}",
        which,
    )
    return Migration(*target, int(done), int(left), int(bare))


def plan(session: Session, shelf: Shelf, target: str, dimension: int, method: str | None) -> Migration:
    """See ``Migratable.plan_migration``."""
    space, _ = space_of(session, shelf)
    if space is None:
        raise GalleryError(f"{shelf.place}: the gallery is empty and in no space yet: there is nothing to migrate")
    if space == target:
        already = f"{shelf.place}: the gallery's templates are of {space} already"
        pending = under_way(session, shelf)
        if pending is not None:
            already += (
                f", and it is on its way to {pending.target} ({pending.done} of {pending.total} templates done); "
                f"{_GIVE_UP} gives that up"
            )
        raise GalleryError(already)
    if not target or dimension < 1:
        raise BadInput(f"expected a space and a dimension of 1 or more, got {target!r} and {dimension}")
    former = target_of(session, shelf)
    if former is not None and former not in ((target, dimension, method), (target, dimension, None)):
        done = _state(session, shelf, former)
        raise GalleryError(
            f"{shelf.place}: {_words(former)} is under way ({done.done} of {done.total} templates done): "
            f"go on with that one, or give it up first: {_GIVE_UP}"
        )
    return _state(session, shelf, (target, dimension, method))


def begin(session: Session, shelf: Shelf, target: str, dimension: int, method: str | None) -> Migration:
    """See ``Migratable.begin_migration``."""
    state = plan(session, shelf, target, dimension, method)
    text = json.dumps({"space": target, "dimension": dimension, "method": method})
    session.execute("UPDATE galleries SET target = ? WHERE id = ?", (text, shelf.gallery_id))
    return state


def unmigrated(session: Session, shelf: Shelf, limit: int, after: int) -> list[Unmigrated]:
    """See ``Migratable.unmigrated``."""
    _required_target(session, shelf)
    condition, parameters = shelf.shown("t")
    rows = session.execute(
        "SELECT t.id, t.identity_id, t.vector, t.mapped, q.picture, q.landmarks FROM templates t "
        "LEFT JOIN portraits q ON q.gallery_id = t.gallery_id AND q.template_id = t.id "
        "WHERE t.gallery_id = ? AND t.id > ? AND NOT EXISTS "
        f"(SELECT 1 FROM pending p WHERE p.gallery_id = t.gallery_id AND p.template_id = t.id){condition} "
        "ORDER BY t.id LIMIT ?",
        (shelf.gallery_id, after, *parameters, limit),
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


def put_pending(
    session: Session,
    shelf: Shelf,
    rows: Sequence[tuple[int, FloatArray]],
    space: str,
    method: str | None,
    mapped: bool,
) -> int:
    """See ``Migratable.put_pending``."""
    dimension = _required(session, shelf, space, method)
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


def finish(session: Session, shelf: Shelf, space: str, method: str | None) -> int:
    """See ``Migratable.finish_migration``."""
    dimension = _required(session, shelf, space, method)
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


def abandon(session: Session, shelf: Shelf) -> int:
    """See ``Migratable.abandon_migration``; a target that cannot be read is given up as well."""
    which = (shelf.gallery_id,)
    ((text,),) = session.execute("SELECT target FROM galleries WHERE id = ?", which)
    dropped = session.affected("DELETE FROM pending WHERE gallery_id = ?", which)
    if text is None:
        return dropped
    try:
        target = f"to={json.loads(text)['space']}"
    except (KeyError, TypeError, ValueError):
        target = "to=unreadable"
    session.execute("UPDATE galleries SET target = NULL WHERE id = ?", which)
    log_changes(session, shelf, "abandon", [(None, None, f"{target} templates={dropped}")])
    return dropped


def _required(session: Session, shelf: Shelf, space: str, method: str | None) -> int:
    """The dimension of the migration under way, which must be the one to that space by that method."""
    target = _required_target(session, shelf)
    if (target[0], target[2]) != (space, method):
        raise GalleryError(
            f"{shelf.place}: expected {_words((space, target[1], method))}, but {_words(target)} is under way: "
            "another process has begun it"
        )
    return target[1]


def _words(target: _Target) -> str:
    space, dimension, method = target
    # A digest says nothing to people, but tells two maps apart.
    by = "" if method is None else f", by the map {method[:8]}"
    return f"a migration to {space} (dimension {dimension}{by})"


def _required_target(session: Session, shelf: Shelf) -> _Target:
    target = target_of(session, shelf)
    if target is None:
        raise GalleryError(f"{shelf.place}: no migration is under way: begin one first")
    return target
