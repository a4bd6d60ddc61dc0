"""What a SQL gallery gives out: all templates in blocks, and all that it holds about one identity."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.galleries.batch import Batch, canonical_tags
from mien.galleries.exchange_rows import Block
from mien.galleries.names import canonical_name
from mien.galleries.sql import reading
from mien.galleries.sql.audit import AuditEntry
from mien.galleries.sql.database import Row, Session
from mien.galleries.sql.migrating import target_of
from mien.galleries.sql.removing import number_of
from mien.galleries.sql.shelf import Shelf, chunks, marks
from mien.types import FloatArray, Templates

__all__ = ["batch_of", "blocks", "exported"]


def blocks(shelf: Shelf, rows: int, portraits: bool) -> Iterator[Block]:
    """See ``Portable.blocks``."""
    with shelf.database.reading() as session:
        space, dimension = reading.space_of(session, shelf)
        condition, parameters = shelf.shown("templates")
        parts = session.stream(
            "SELECT id, identity_id, vector, created, mapped FROM templates "
            f"WHERE gallery_id = ?{condition} ORDER BY id",
            (shelf.gallery_id, *parameters),
            rows=rows,
        )
        for part in parts:
            yield _block(session, shelf, part, space or "", dimension, portraits)


def _block(session: Session, shelf: Shelf, rows: list[Row], space: str, dimension: int, portraits: bool) -> Block:
    ids, numbers, stored, created, mapped = zip(*rows, strict=True)
    unique = sorted(set(numbers))
    names, tags = reading.identity_names(session, shelf, unique), reading.tags_of(session, shelf, unique)
    if len(names) < len(unique):
        raise reading.orphaned(session, shelf)
    pictures, landmarks = _portraits(session, shelf, ids) if portraits else (None, None)
    return Block(
        np.array(ids, np.int64),
        [names[number] for number in numbers],
        [tags.get(number, ()) for number in numbers],
        shelf.sealer.templates(stored, ids, numbers, space, dimension).vectors,
        np.array(created, np.float64),
        np.array(mapped, np.int64) != 0,
        pictures,
        landmarks,
    )


def _portraits(session: Session, shelf: Shelf, ids: Sequence[int]) -> tuple[list[bytes | None], FloatArray]:
    places = {id_: place for place, id_ in enumerate(ids)}
    pictures: list[bytes | None] = [None] * len(ids)
    landmarks = np.full((len(ids), 5, 2), np.nan, np.float32)
    rows = session.execute(
        "SELECT template_id, picture, landmarks FROM portraits "
        "WHERE gallery_id = ? AND template_id >= ? AND template_id <= ?",
        (shelf.gallery_id, ids[0], ids[-1]),
    )
    for id_, picture, points in rows:
        if id_ in places:
            pictures[places[id_]], landmarks[places[id_]] = shelf.sealer.portrait(picture, points, id_)
    return pictures, landmarks


def batch_of(block: Block, space: str) -> Batch:
    """What is to be enrolled of a block.

    Raises:
        BadInput: a name, a vector or a time does not fit.
    """
    now = time.time()
    if not all(math.isfinite(created) and created <= now for created in block.created.tolist()):
        raise BadInput("Block.created: expected times before now, in seconds since 1970")
    names = [canonical_name(name) for name in block.identities]
    tags: dict[str, set[str]] = {}
    for name, own in zip(names, block.tags, strict=True):
        if own:
            tags.setdefault(name, set()).update(canonical_tags(own))
    vectors = Templates(block.vectors, space).vectors
    return Batch(space, vectors, names, [1] * len(names), tags, block.pictures, block.landmarks)


def exported(session: Session, shelf: Shelf, name: str, log: Sequence[AuditEntry]) -> dict[str, Any]:
    """See ``SqlGallery.export_identity``; for a canonical name, with the identity's entries of the audit log."""
    number = number_of(session, shelf, name)
    ids, templates = reading.templates(session, shelf, name)
    space, dimension = reading.space_of(session, shelf)
    rows: dict[int, Row] = {}
    for part in chunks(ids):
        query = f"SELECT id, created, mapped FROM templates WHERE gallery_id = ? AND id IN {marks(part)}"
        rows.update((int(row[0]), row) for row in session.execute(query, (shelf.gallery_id, *part)))
    pictures, landmarks = _portraits(session, shelf, ids)
    entries = [
        {
            "template_id": id_,
            "enrolled": _iso(rows[id_][1]),
            "mapped": bool(rows[id_][2]),
            "vector": vector.tolist(),
            "portrait": None
            if picture is None
            else {"jpeg_base64": base64.b64encode(picture).decode(), "landmarks": points.tolist()},
        }
        for id_, vector, picture, points in zip(ids, templates.vectors, pictures, landmarks, strict=True)
    ]
    return {
        "identity": name,
        "identity_id": number,
        "tags": reading.tags(session, shelf, name),
        "space": space,
        "dimension": dimension,
        "templates": entries,
        "pending": _pending(session, shelf, number, ids),
        "audit": [
            {
                "at": _iso(entry.at),
                "actor": entry.actor,
                "action": entry.action,
                "template_id": entry.template_id,
                "detail": entry.detail,
            }
            for entry in log
        ],
    }


def _pending(session: Session, shelf: Shelf, number: int, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The vectors that a migration under way has made already."""
    target = target_of(session, shelf)
    found: list[dict[str, Any]] = []
    for part in chunks(ids) if target is not None else ():
        query = f"SELECT template_id, vector FROM pending WHERE gallery_id = ? AND template_id IN {marks(part)}"
        for id_, stored in session.execute(query, (shelf.gallery_id, *part)):
            space, dimension = ("", 0) if target is None else target[:2]
            vector = shelf.sealer.templates([stored], [id_], [number], space, dimension).vectors[0]
            found.append({"template_id": int(id_), "space": space, "vector": vector.tolist()})
    return found


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
