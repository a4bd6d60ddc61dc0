"""The table that pgvector searches: every template's vector once more, in pgvector's own type.

PostgreSQL cannot turn the stored bytes of a vector into pgvector's type, so mien does, after the templates were
enrolled, by whichever process searches next. The table knows up to which template it is complete; what came later
is searched without it. Removals are taken along by triggers, in the same transaction, and so is everything when the
gallery moves to another embedding space.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from mien.errors import BadGallery, GalleryError
from mien.galleries.sql.database import Session
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.sql.schema import PGVECTOR_RULES
from mien.galleries.sql.shelf import Shelf, removed_meanwhile
from mien.types import FloatArray

__all__ = ["State", "bring_up_to_date", "extension_schema", "prepare", "state_of"]

_ROWS_A_TURN = 50_000

_STATEMENTS = (
    # At most 8 kB stay in the row: https://www.postgresql.org/docs/current/storage-toast.html
    """CREATE TABLE searchable (
        gallery_id BIGINT NOT NULL, template_id BIGINT NOT NULL, identity_id BIGINT NOT NULL,
        created DOUBLE PRECISION NOT NULL, embedding {schema}.vector NOT NULL,
        PRIMARY KEY (gallery_id, template_id)) WITH (toast_tuple_target = 8160)""",
    """CREATE TABLE searchable_until (
        gallery_id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, template_id BIGINT NOT NULL)""",
    """CREATE FUNCTION searchable_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM searchable s USING gone WHERE s.gallery_id = gone.gallery_id AND s.template_id = gone.id;
        RETURN NULL; END $$""",
    """CREATE TRIGGER searchable_removed AFTER DELETE ON templates REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION searchable_removed()""",
    """CREATE FUNCTION searchable_emptied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM searchable s USING gone WHERE s.gallery_id = gone.id;
        DELETE FROM searchable_until u USING gone WHERE u.gallery_id = gone.id;
        RETURN NULL; END $$""",
    """CREATE TRIGGER searchable_emptied AFTER DELETE ON galleries REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION searchable_emptied()""",
    *PGVECTOR_RULES,
)


@dataclass(frozen=True, slots=True)
class State:
    """What a gallery holds, and how much of it can be searched by pgvector.

    Attributes:
        space: its embedding space; None before the first enrollment.
        dimension: the length of its vectors.
        epoch: raised when stored vectors change in place.
        last: the highest template id ever given out.
        until: up to which template id the table is complete; None where it holds nothing of use.
    """

    space: str | None
    dimension: int
    epoch: int
    last: int
    until: int | None

    @property
    def complete(self) -> bool:
        """Whether pgvector can search everything."""
        return self.until is not None and self.until >= self.last


def prepare(database: PostgresDatabase) -> None:
    """Make the table, and the extension, where they are missing.

    Raises:
        BadGallery: they are missing, and this server has no pgvector or this role or mode may not make them.
        GalleryError: the role lacks a permission.
    """
    with database.reading() as session:
        if _has_table(session):
            return
        known = session.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
    if not known:
        raise BadGallery(f"{database.place}: engine=pgvector needs the extension pgvector on the server")
    if database.read_only:
        raise BadGallery(f"{database.place}: engine=pgvector was never used here; open it once without mode=ro")
    with database.writing() as session:
        # Another process may have been quicker while this one waited.
        if not _has_table(session):
            if extension_schema(session) is None:
                _install(session, database.place)
            schema = extension_schema(session)
            for statement in _STATEMENTS:
                session.execute(statement.format(schema=schema))


def _install(session: Session, place: str) -> None:
    try:
        # Where other applications look for it as well, for a database has an extension but once.
        session.execute("CREATE EXTENSION vector SCHEMA public")
    except GalleryError as error:
        raise GalleryError(
            f"{error}: engine=pgvector needs CREATE EXTENSION vector in {place}, once, by an administrator"
        ) from error


def _has_table(session: Session) -> bool:
    return session.execute("SELECT to_regclass('searchable')") != [(None,)]


def extension_schema(session: Session) -> str | None:
    """The schema that holds pgvector's type and operators, quoted; None where it is not installed."""
    rows = session.execute(
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
        "WHERE extname = 'vector'"
    )
    return str(rows[0][0]) if rows else None


def state_of(session: Session, shelf: Shelf) -> State:
    """How far the table is behind the templates."""
    rows = session.execute(
        "SELECT space, dimension, g.epoch, last_template, CASE WHEN u.epoch = g.epoch THEN u.template_id END "
        "FROM galleries g LEFT JOIN searchable_until u ON u.gallery_id = g.id WHERE g.id = ?",
        (shelf.gallery_id,),
    )
    if not rows:
        raise removed_meanwhile(shelf)
    ((space, dimension, epoch, last, until),) = rows
    return State(space, 0 if dimension is None else dimension, epoch, last, until)


def bring_up_to_date(database: PostgresDatabase, shelf: Shelf) -> None:
    """Take the templates that are missing into the table, in turns between which others may write.

    Raises:
        GalleryLocked: someone else is writing to the gallery.
    """
    complete = False
    filled = 0
    while not complete:
        with database.writing(shelf.gallery_id, wait=False) as session:
            state = state_of(session, shelf)
            complete = state.complete
            if not complete:
                filled += _fill(session, shelf, state)
    if filled >= _ROWS_A_TURN:
        with database.writing(shelf.gallery_id, wait=False) as session:
            # The planner is to know the table's size before autovacuum comes round.
            session.execute("ANALYZE searchable")


def _fill(session: Session, shelf: Shelf, state: State) -> int:
    """Take in some thousands of templates; how many."""
    gallery_id = shelf.gallery_id
    if state.until is None:
        session.affected("DELETE FROM searchable WHERE gallery_id = ?", (gallery_id,))
    start = 0 if state.until is None else state.until
    rows = session.execute(
        "SELECT id, identity_id, created, vector FROM templates WHERE gallery_id = ? AND id > ? ORDER BY id LIMIT ?",
        (gallery_id, start, _ROWS_A_TURN),
    )
    if rows:
        ids, numbers, created, stored = zip(*rows, strict=True)
        templates = shelf.sealer.templates(stored, ids, numbers, state.space or "", state.dimension)
        session.insert(
            "searchable",
            ("gallery_id", "template_id", "identity_id", "created", "embedding"),
            zip(repeat(gallery_id), ids, numbers, created, _packed(templates.vectors)),
        )
    until = state.last if len(rows) < _ROWS_A_TURN else rows[-1][0]
    session.execute(
        "INSERT INTO searchable_until (gallery_id, epoch, template_id) VALUES (?, ?, ?) "
        "ON CONFLICT (gallery_id) DO UPDATE SET epoch = excluded.epoch, template_id = excluded.template_id",
        (gallery_id, state.epoch, until),
    )
    return len(rows)


def _packed(vectors: FloatArray) -> list[bytes]:
    """Vectors as pgvector takes them in: the length and a zero in 16 bits, then the numbers, all big-endian.

    See ``vector_recv`` in https://github.com/pgvector/pgvector/blob/master/src/vector.c.
    """
    head = np.frombuffer(struct.pack(">HH", vectors.shape[1], 0), np.uint8)
    numbers = np.ascontiguousarray(vectors, ">f4").view(np.uint8)
    rows = np.hstack([np.broadcast_to(head, (len(vectors), len(head))), numbers])
    packed: list[bytes] = rows.view(f"V{rows.shape[1]}").ravel().tolist()
    return packed
