"""The layout of the tables: made anew, or brought up from an older version, by numbered steps.

Every id counts from 1 within its gallery and is given out by mien, in rising order and never twice; two galleries
of one database can so be written at the same time. Triggers do what must not be forgotten: they log removals, which
other processes follow, take along what belongs to a removed template or identity, and keep the audit log from being
rewritten.

In the log of removals a template's id with a minus says that the template belongs to another identity, or an identity
of another name, from there on; a 0 says that the whole gallery was removed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal

from mien.galleries.protocol import GalleryOptions
from mien.galleries.sql.database import Session

__all__ = ["KEPT_REMOVALS", "PGVECTOR_RULES", "SCHEMA_VERSIONS", "Kind", "create", "index_ages", "upgrade"]

Kind = Literal["sqlite", "postgresql"]

SCHEMA_VERSIONS: dict[Kind, int] = {"sqlite": 2, "postgresql": 3}
"""The newest layout of each engine; a database adapter keeps its own where the engine has a place for it."""

KEPT_REMOVALS = 100_000
"""How many removals the log of a gallery remembers; a process further behind reads the whole gallery again."""

_TYPES = {
    "sqlite": {"number": "INTEGER", "real": "REAL", "blob": "BLOB", "text": "TEXT", "clustered": " WITHOUT ROWID"},
    # Names are ordered by their code points, whatever the server's language.
    "postgresql": {
        **{"number": "BIGINT", "real": "DOUBLE PRECISION", "blob": "BYTEA"},
        **{"text": 'TEXT COLLATE "C"', "clustered": ""},
    },
}

_TABLES = (
    """CREATE TABLE galleries (
        id {number} NOT NULL PRIMARY KEY, name {text} NOT NULL UNIQUE, space {text}, dimension {number},
        options {text} NOT NULL, secret {blob}, epoch {number} NOT NULL DEFAULT 0, target {text}, snapshot {text},
        last_template {number} NOT NULL DEFAULT 0, last_identity {number} NOT NULL DEFAULT 0,
        last_audit {number} NOT NULL DEFAULT 0)""",
    """CREATE TABLE identities (
        gallery_id {number} NOT NULL, id {number} NOT NULL, name {text} NOT NULL, sealed {blob},
        PRIMARY KEY (gallery_id, id), UNIQUE (gallery_id, name)){clustered}""",
    """CREATE TABLE tags (
        gallery_id {number} NOT NULL, identity_id {number} NOT NULL, tag {text} NOT NULL, sealed {blob},
        PRIMARY KEY (gallery_id, identity_id, tag)){clustered}""",
    "CREATE INDEX identities_of_tag ON tags (gallery_id, tag)",
    """CREATE TABLE templates (
        gallery_id {number} NOT NULL, id {number} NOT NULL, identity_id {number} NOT NULL, vector {blob} NOT NULL,
        created {real} NOT NULL, mapped {number} NOT NULL DEFAULT 0, PRIMARY KEY (gallery_id, id))""",
    "CREATE INDEX templates_of_identity ON templates (gallery_id, identity_id, id)",
    """CREATE TABLE portraits (
        gallery_id {number} NOT NULL, template_id {number} NOT NULL, picture {blob} NOT NULL,
        landmarks {blob} NOT NULL, PRIMARY KEY (gallery_id, template_id))""",
    """CREATE TABLE pending (
        gallery_id {number} NOT NULL, template_id {number} NOT NULL, vector {blob} NOT NULL,
        mapped {number} NOT NULL, PRIMARY KEY (gallery_id, template_id))""",
    """CREATE TABLE removals (
        gallery_id {number} NOT NULL, id {number} NOT NULL, template_id {number} NOT NULL,
        PRIMARY KEY (gallery_id, id)){clustered}""",
    """CREATE TABLE audit (
        gallery_id {number} NOT NULL, id {number} NOT NULL, at {real} NOT NULL, actor {text} NOT NULL,
        action {text} NOT NULL, identity_id {number}, template_id {number}, detail {text} NOT NULL,
        PRIMARY KEY (gallery_id, id)){clustered}""",
)

# Only galleries that let templates or entries expire need these; in bulk, each costs a tenth of the time to enroll.
_AGES = (
    "CREATE INDEX IF NOT EXISTS templates_by_age ON templates (gallery_id, created)",
    "CREATE INDEX IF NOT EXISTS audit_by_time ON audit (gallery_id, at)",
)

_SQLITE_TRIGGERS = (
    """CREATE TRIGGER template_removed AFTER DELETE ON templates BEGIN
        INSERT INTO removals (gallery_id, id, template_id)
            SELECT old.gallery_id, coalesce(max(id), 0) + 1, old.id FROM removals WHERE gallery_id = old.gallery_id;
        DELETE FROM portraits WHERE gallery_id = old.gallery_id AND template_id = old.id;
        DELETE FROM pending WHERE gallery_id = old.gallery_id AND template_id = old.id; END""",
    """CREATE TRIGGER identity_removed AFTER DELETE ON identities BEGIN
        DELETE FROM tags WHERE gallery_id = old.gallery_id AND identity_id = old.id; END""",
    """CREATE TRIGGER audit_not_rewritten BEFORE UPDATE ON audit BEGIN
        SELECT raise(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER audit_kept BEFORE DELETE ON audit WHEN NOT EXISTS (
        SELECT 1 FROM galleries WHERE id = old.gallery_id
            AND old.at < (julianday('now') - 2440587.5) * 86400.0 - 86400.0 * json_extract(options, '$.audit_days'))
        BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
)

# SQLite takes any first column of an index for a good choice, and would read a whole gallery to find one name in it.
# So it is told that most rows have the same gallery: https://www.sqlite.org/fileformat2.html#the_sqlite_stat1_table
_SQLITE_STATISTICS = (
    ("identities", "identities", "1000000 1000000 1"),
    ("identities", "sqlite_autoindex_identities_2", "1000000 1000000 1"),
    ("tags", "tags", "1000000 1000000 2 1"),
    ("tags", "identities_of_tag", "1000000 1000000 10000 1"),
    ("templates", "sqlite_autoindex_templates_1", "1000000 1000000 1"),
    ("templates", "templates_of_identity", "1000000 1000000 4 1"),
    ("templates", "templates_by_age", "1000000 1000000 100"),
    ("portraits", "sqlite_autoindex_portraits_1", "1000000 1000000 1"),
    ("pending", "sqlite_autoindex_pending_1", "1000000 1000000 1"),
    ("removals", "removals", "100000 100000 1"),
    ("audit", "audit", "1000000 1000000 1"),
    ("audit", "audit_by_time", "1000000 1000000 100"),
)

# What ANALYZE would copy into the server's statistics, where neither a deletion nor a VACUUM reaches it. Of the other
# columns it takes numbers, times and words of mien's own.
_POSTGRESQL_UNSAMPLED = (
    ("galleries", "secret", "BYTEA"),
    ("identities", "name", 'TEXT COLLATE "C"'),
    ("identities", "sealed", "BYTEA"),
    ("tags", "tag", 'TEXT COLLATE "C"'),
    ("tags", "sealed", "BYTEA"),
    ("templates", "vector", "BYTEA"),
    ("pending", "vector", "BYTEA"),
    ("portraits", "picture", "BYTEA"),
    ("portraits", "landmarks", "BYTEA"),
)

_POSTGRESQL_TRIGGERS = (
    # At most 8 kB stay in the row: https://www.postgresql.org/docs/current/storage-toast.html
    "ALTER TABLE templates SET (toast_tuple_target = 8160)",
    "ALTER TABLE pending SET (toast_tuple_target = 8160)",
    """CREATE FUNCTION template_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO removals (gallery_id, id, template_id)
            SELECT gone.gallery_id,
                coalesce((SELECT max(r.id) FROM removals r WHERE r.gallery_id = gone.gallery_id), 0)
                    + row_number() OVER (PARTITION BY gone.gallery_id ORDER BY gone.id),
                gone.id FROM gone;
        DELETE FROM portraits p USING gone WHERE p.gallery_id = gone.gallery_id AND p.template_id = gone.id;
        DELETE FROM pending p USING gone WHERE p.gallery_id = gone.gallery_id AND p.template_id = gone.id;
        RETURN NULL; END $$""",
    """CREATE TRIGGER template_removed AFTER DELETE ON templates REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION template_removed()""",
    """CREATE FUNCTION identity_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM tags t USING gone WHERE t.gallery_id = gone.gallery_id AND t.identity_id = gone.id;
        RETURN NULL; END $$""",
    """CREATE TRIGGER identity_removed AFTER DELETE ON identities REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION identity_removed()""",
    """CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM galleries g WHERE g.id = OLD.gallery_id AND OLD.at
                < extract(epoch FROM clock_timestamp()) - 86400.0 * (g.options::json ->> 'audit_days')::float8) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_kept()""",
    """CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_kept()""",
)

PGVECTOR_RULES = (
    "ALTER TABLE searchable ALTER COLUMN embedding SET STATISTICS 0",
    """CREATE FUNCTION searchable_outdated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM searchable s WHERE s.gallery_id = OLD.id;
        DELETE FROM searchable_until u WHERE u.gallery_id = OLD.id;
        RETURN NULL; END $$""",
    """CREATE TRIGGER searchable_outdated AFTER UPDATE OF epoch ON galleries FOR EACH ROW
        WHEN (OLD.epoch IS DISTINCT FROM NEW.epoch) EXECUTE FUNCTION searchable_outdated()""",
)
"""What holds for the table that pgvector searches, where there is one: no statistics, and nothing of a former space."""


def create(session: Session, kind: Kind) -> None:
    """Make the tables of the newest layout, inside a writing transaction."""
    for statement in _TABLES:
        session.execute(statement.format(**_TYPES[kind]))
    for statement in _SQLITE_TRIGGERS if kind == "sqlite" else _POSTGRESQL_TRIGGERS:
        session.execute(statement)
    if kind == "sqlite":
        # Makes the table of statistics.
        session.execute("ANALYZE galleries")
        session.insert("sqlite_stat1", ("tbl", "idx", "stat"), _SQLITE_STATISTICS)
    else:
        for table, column, _ in _POSTGRESQL_UNSAMPLED:
            session.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")


def index_ages(session: Session) -> None:
    """Let what has expired be found without reading everything; once for a whole database, in a transaction."""
    for statement in _AGES:
        session.execute(statement)


def upgrade(session: Session, kind: Kind, found: int) -> None:
    """Bring the tables from version ``found`` to the newest one with all that they hold, inside one transaction."""
    for version in range(found, SCHEMA_VERSIONS[kind]):
        _STEPS[version](session, kind)


def _to_2(session: Session, kind: Kind) -> None:
    """Ids that count within each gallery, and room for options, tags, portraits, encryption and the audit log.

    Layout 1 was in SQLite files alone. It did not know when a template was enrolled, so its age counts from now.
    """
    last: dict[str, int] = dict(session.execute("SELECT name, seq FROM sqlite_sequence"))
    for trigger_or_index in ("TRIGGER log_removal", "INDEX templates_of_gallery", "INDEX templates_of_identity"):
        session.execute(f"DROP {trigger_or_index}")
    for table in ("galleries", "identities", "templates"):
        session.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    session.execute("DROP TABLE removals")
    create(session, kind)
    session.execute(
        "INSERT INTO galleries (id, name, space, dimension, options, last_template, last_identity) "
        "SELECT id, name, space, dimension, ?, ?, ? FROM old_galleries",
        (json.dumps(asdict(GalleryOptions())), last.get("templates", 0), last.get("identities", 0)),
    )
    session.execute(
        "INSERT INTO identities (gallery_id, id, name) SELECT gallery_id, id, name FROM old_identities ORDER BY id"
    )
    session.execute(
        "INSERT INTO templates (gallery_id, id, identity_id, vector, created, mapped) "
        "SELECT gallery_id, id, identity_id, vector, ?, 0 FROM old_templates ORDER BY id",
        (time.time(),),
    )
    for table in ("templates", "identities", "galleries"):
        session.execute(f"DROP TABLE old_{table}")


def _to_3(session: Session, kind: Kind) -> None:
    """No statistics of what people are known by; layout 3 is PostgreSQL's alone."""
    for table, column, type_ in _POSTGRESQL_UNSAMPLED:
        # The statistics that there are go with the former type, though it is the same and nothing is written anew.
        session.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {type_}")
        session.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    vectors = session.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass('searchable') AND attname = 'embedding'"
    )
    if vectors:
        session.execute(f"ALTER TABLE searchable ALTER COLUMN embedding TYPE {vectors[0][0]}")
        session.execute(
            "DELETE FROM searchable s WHERE NOT EXISTS (SELECT 1 FROM galleries g JOIN searchable_until u "
            "ON u.gallery_id = g.id AND u.epoch = g.epoch WHERE g.id = s.gallery_id)"
        )
        for statement in PGVECTOR_RULES:
            session.execute(statement)


_STEPS: dict[int, Callable[[Session, Kind], None]] = {1: _to_2, 2: _to_3}
