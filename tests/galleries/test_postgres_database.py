"""PostgreSQL as a place for galleries: opening it, its transactions, and what it keeps of deleted rows."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres_server import STRICT_PASSWORD, STRICT_USER, PostgresServer, postgres_server

from mien.errors import BadGallery, ConnectionLost, GalleryError, GalleryLocked, MissingExtra
from mien.galleries.sql import schema
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.sql.postgres_words import with_percent_s
from mien.galleries.urls import parse_url

THINGS = "CREATE TABLE things (id BIGINT PRIMARY KEY, data BYTEA, at DOUBLE PRECISION, name TEXT)"
COLUMNS = ("id", "data", "at", "name")


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def url(server: PostgresServer) -> str:
    """The URL of an empty database."""
    return server.url(server.emptied_database())


@pytest.fixture
def own_url(server: PostgresServer) -> Iterator[str]:
    """The URL of a new database, for tests that change more than mien's schema."""
    name = server.new_database()
    yield server.url(name)
    server.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(url: str) -> Iterator[PostgresDatabase]:
    """A database with a table to play with beside mien's own, and two galleries."""
    opened = PostgresDatabase(parse_url(url), create=True)
    with opened.writing() as session:
        session.execute(THINGS)
        session.insert("galleries", ("id", "name", "options"), [(1, "staff", "{}"), (2, "guests", "{}")])
    yield opened
    opened.close()


def another(url: str, options: str = "") -> PostgresDatabase:
    return PostgresDatabase(parse_url(url + options), create=False)


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ("SELECT a FROM t WHERE b = ? AND c > ?", "SELECT a FROM t WHERE b = %s AND c > %s"),
        ("SELECT '?', \"a?\", 'it''s ?', ?", "SELECT '?', \"a?\", 'it''s ?', %s"),
        ("SELECT '100%' LIKE ? -- really?\n, ?", "SELECT '100%%' LIKE %s -- really?\n, %s"),
        ("DO $$ BEGIN x ? 5 % 3; END $$; SELECT ? % 2", "DO $$ BEGIN x ? 5 %% 3; END $$; SELECT %s %% 2"),
        ("SELECT /* ? */ $a$ ? $$ ? $a$, ?", "SELECT /* ? */ $a$ ? $$ ? $a$, %s"),
    ],
)
def test_placeholders_are_put_into_psycopgs_words(shared: str, expected: str) -> None:
    assert with_percent_s(shared) == expected


def test_without_psycopg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[postgres\]'"):
        PostgresDatabase(parse_url("postgresql://127.0.0.1/people"))


def test_what_is_not_there_is_said_and_not_made(server: PostgresServer, url: str) -> None:
    with pytest.raises(BadGallery, match="no gallery at"):
        another(url)
    assert server.execute(url.rpartition("/")[2], "SELECT to_regnamespace('mien')") == [(None,)]
    with pytest.raises(BadGallery, match=r"there is no such database.*nowhere"):
        PostgresDatabase(parse_url(server.url("nowhere")))
    with pytest.raises(BadGallery, match="no gallery at"):
        PostgresDatabase(parse_url(f"{url}?mode=ro"), create=True)


def test_a_server_that_cannot_be_reached_is_said(server: PostgresServer) -> None:
    for address in (
        "postgresql://ada:secret@127.0.0.1:1/people",
        "postgresql://ada:secret@no-such-host.invalid/people",
    ):
        with pytest.raises(ConnectionLost, match="no connection to the server") as caught:
            PostgresDatabase(parse_url(address))
        assert "secret" not in str(caught.value)
        assert "/people" in str(caught.value)


def test_the_password_is_asked_for_and_never_shown(server: PostgresServer, own_url: str) -> None:
    name = own_url.rpartition("/")[2]
    for wrong in (None, "wrong"):
        with pytest.raises(GalleryError, match=r"the server refused the login.*password") as caught:
            PostgresDatabase(parse_url(server.url(name, user=STRICT_USER, password=wrong)))
        assert not isinstance(caught.value, (BadGallery, ConnectionLost))
        assert "wrong" not in str(caught.value)
    server.execute(name, f"GRANT CREATE ON DATABASE {name} TO {STRICT_USER}")
    strict = parse_url(server.url(name, user=STRICT_USER, password=STRICT_PASSWORD))
    database = PostgresDatabase(strict, create=True)
    assert database.place == f"127.0.0.1:{server.port}/{name}"
    with pytest.raises(GalleryError) as raised, database.writing() as session:
        session.execute("SELECT * FROM no_such_table")
    assert STRICT_PASSWORD not in str(raised.value)
    assert STRICT_PASSWORD not in repr(strict)
    database.close()


def test_a_role_without_permission_is_told_so(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    strict = server.url(name, user=STRICT_USER, password=STRICT_PASSWORD)
    with pytest.raises(GalleryError, match="the role lacks a permission"):
        PostgresDatabase(parse_url(strict), create=True)
    PostgresDatabase(parse_url(url), create=True).close()
    with pytest.raises(GalleryError, match="the role lacks a permission"):
        another(strict)
    server.execute(name, f"GRANT USAGE ON SCHEMA mien TO {STRICT_USER}")
    server.execute(name, f"GRANT SELECT ON ALL TABLES IN SCHEMA mien TO {STRICT_USER}")
    reader = another(strict, "?mode=ro")
    with reader.reading() as session:
        assert session.execute("SELECT count(*) FROM galleries") == [(0,)]
    assert reader.check() == []
    assert reader.version() != reader.version()
    with pytest.raises(GalleryError, match="read-only"), reader.writing():
        pass
    reader.close()


def test_a_schema_that_was_made_for_a_role_is_enough(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    server.execute(name, f"CREATE SCHEMA mien AUTHORIZATION {STRICT_USER}")
    strict = PostgresDatabase(parse_url(server.url(name, user=STRICT_USER, password=STRICT_PASSWORD)), create=True)
    with strict.writing() as session:
        session.execute(THINGS)
    strict.compact()
    strict.close()


def test_other_applications_tables_are_left_alone(server: PostgresServer, own_url: str) -> None:
    name = own_url.rpartition("/")[2]
    server.execute(name, "CREATE TABLE public.galleries (paintings TEXT)")
    server.execute(name, "INSERT INTO public.galleries VALUES ('Mona Lisa')")
    database = PostgresDatabase(parse_url(own_url), create=True)
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM galleries") == [(0,)]
    database.close()
    assert server.execute(name, "SELECT * FROM public.galleries") == [("Mona Lisa",)]


def test_a_foreign_schema_and_a_newer_layout_are_refused(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    server.execute(name, "CREATE SCHEMA mien")
    server.execute(name, "CREATE TABLE mien.songs (title TEXT)")
    with pytest.raises(BadGallery, match="the schema mien in this database is another application's"):
        PostgresDatabase(parse_url(url), create=True)
    server.execute(name, "DROP SCHEMA mien CASCADE")
    PostgresDatabase(parse_url(url), create=True).close()
    newer = schema.SCHEMA_VERSIONS["postgresql"] + 1
    server.execute(name, f"UPDATE mien.layout SET version = {newer}")
    with pytest.raises(BadGallery, match=f"expected gallery layout {newer - 1}, got {newer}; a newer version"):
        another(url)


def test_a_database_that_cannot_hold_every_name_is_refused(server: PostgresServer) -> None:
    server.execute("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(BadGallery, match="expected a database in UTF8, got LATIN1"):
        PostgresDatabase(parse_url(server.url("latin")), create=True)


def test_many_make_the_tables_at_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        databases = list(pool.map(lambda _: PostgresDatabase(parse_url(url), create=True), range(8)))
    for database in databases:
        with database.reading() as session:
            assert session.execute("SELECT version FROM layout") == [(schema.SCHEMA_VERSIONS["postgresql"],)]
        database.close()


def test_rows_go_in_and_come_back(database: PostgresDatabase) -> None:
    rows = [(i, bytes([i % 256]) * 600, i / 7, f"Łukasz 山田 👩‍🚀 '); DROP TABLE things;-- {i}") for i in range(700)]
    rows.append((700, None, None, None))  # type: ignore[arg-type]
    with database.writing(1) as session:
        session.insert("things", COLUMNS, ((i, memoryview(d) if d else None, a, n) for i, d, a, n in rows))
        session.insert("things", ("id", "name"), [])
    with database.reading() as session:
        assert session.execute("SELECT id, data, at, name FROM things ORDER BY id") == rows
        blocks = list(session.stream("SELECT id, data FROM things WHERE id > ? ORDER BY id", (9,), rows=300))
        assert [len(block) for block in blocks] == [300, 300, 91]
        assert [row for block in blocks for row in block] == [(i, d) for i, d, _, _ in rows[10:]]
        # An abandoned stream leaves the session as it was, and two may run at once.
        first, second = (session.stream("SELECT id FROM things ORDER BY id", rows=n) for n in (1, 2))
        assert next(first) == [(0,)]
        assert next(second) == [(0,), (1,)]
        first.close()  # type: ignore[attr-defined]
        assert next(second) == [(2,), (3,)]
        ((total, mean, name),) = session.execute(
            "SELECT sum(id), avg(id), min(name) FROM things WHERE name <> ?", ("'?%",)
        )
        assert (total, type(total), mean) == (244_650, int, 349.5)
        assert name == rows[0][3]
    with database.writing(1) as session:
        assert session.affected("UPDATE things SET at = ? WHERE id < ?", (1.0, 10)) == 10
        assert session.affected("DELETE FROM things WHERE id = ?", (10**12,)) == 0


def add_twice_and_go_on(database: PostgresDatabase) -> None:
    with database.writing(1) as session:
        session.execute("INSERT INTO things (id) VALUES (1)")
        with pytest.raises(GalleryError, match="duplicate key"):
            session.execute("INSERT INTO things (id) VALUES (1)")


def test_all_or_nothing(database: PostgresDatabase) -> None:
    def broken() -> Iterator[tuple[int, str]]:
        yield 1, "Ada"
        raise RuntimeError("the camera fell down")

    with pytest.raises(RuntimeError, match="camera"), database.writing(1) as session:
        session.insert("things", ("id", "name"), broken())
    with (
        pytest.raises(GalleryError, match=r"duplicate key.*nothing was stored") as caught,
        database.writing(1) as session,
    ):
        session.insert("things", ("id", "name"), [(1, "Ada"), (1, "Grace")])
    assert "Ada" not in str(caught.value)
    with pytest.raises(GalleryError, match="gave the transaction up"):
        add_twice_and_go_on(database)
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM things") == [(0,)]
    with database.writing(1) as session:
        session.execute("INSERT INTO things (id) VALUES (1)")
    with pytest.raises(GalleryError, match="read-only"), database.reading() as session:
        session.execute("INSERT INTO things (id) VALUES (2)")


def test_a_reader_sees_one_moment_and_waits_for_nobody(database: PostgresDatabase, url: str) -> None:
    other = another(url)
    with database.reading() as reader:
        assert reader.execute("SELECT count(*) FROM things") == [(0,)]
        with other.writing(1) as writer:
            writer.execute("INSERT INTO things (id) VALUES (1)")
            assert reader.execute("SELECT count(*) FROM things") == [(0,)]
        assert reader.execute("SELECT count(*) FROM things") == [(0,)]
    with database.reading() as reader:
        assert reader.execute("SELECT count(*) FROM things") == [(1,)]
    other.close()


def test_writers_of_one_gallery_take_turns_and_others_do_not_wait(database: PostgresDatabase, url: str) -> None:
    other = another(url, "?timeout_s=0.1")
    with database.writing(1):
        with pytest.raises(GalleryLocked, match="another process is writing"), other.writing(1):
            pass
        with other.writing(2) as session:
            session.execute("INSERT INTO things (id) VALUES (2)")
    with other.writing(1) as session:
        session.execute("INSERT INTO things (id) VALUES (1)")
    with database.writing(), pytest.raises(GalleryLocked), other.writing():
        pass
    other.close()


def test_more_threads_than_connections(database: PostgresDatabase) -> None:
    seen: list[int] = []

    def work(worker: int) -> None:
        for turn in range(5):
            with database.reading() as session:
                seen.append(session.execute("SELECT ? + 0 * count(*) FROM things", (worker,))[0][0])
            with database.writing(1) as session:
                session.execute("INSERT INTO things (id) VALUES (?)", (worker * 100 + turn,))

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(work, range(24)))
    assert sorted(seen) == sorted(list(range(24)) * 5)
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM things") == [(120,)]


def test_a_closed_database_says_so(database: PostgresDatabase) -> None:
    database.version()
    database.close()
    database.close()
    for call in (database.reading, database.writing):
        with pytest.raises(GalleryError, match="is closed"), call():
            pass
    assert not any(thread.name == "mien-listen" for thread in threading.enumerate())


def files_with(server: PostgresServer, database: PostgresDatabase, pattern: bytes) -> list[Path]:
    """The database's table and index files, with what was only in memory, that hold these bytes."""
    name = database.place.rpartition("/")[2]
    server.execute(name, "CHECKPOINT")
    ((number,),) = server.execute(name, "SELECT oid FROM pg_database WHERE datname = %s", name)
    return [path for path in (server.data / "base" / f"{number}").iterdir() if pattern in path.read_bytes()]


def test_compacting_removes_deleted_bytes_from_the_tables(database: PostgresDatabase, server: PostgresServer) -> None:
    secret, kept = os.urandom(64), os.urandom(64)
    with database.writing(1) as session:
        session.insert("things", ("id", "data"), [(i, secret * 9 if i == 5 else kept * 9) for i in range(200)])
    assert files_with(server, database, secret)
    with database.writing(1) as session:
        session.execute("DELETE FROM things WHERE id = 5")
    database.erase_leftovers()
    database.compact()
    assert not files_with(server, database, secret)
    assert files_with(server, database, kept)
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM things") == [(199,)]


def test_pruning_leaves_nothing_that_the_server_can_read(database: PostgresDatabase, server: PostgresServer) -> None:
    name = database.place.rpartition("/")[2]
    server.execute(name, "CREATE EXTENSION IF NOT EXISTS pageinspect")
    pages = "SELECT count(t_data) FROM heap_page_items(get_raw_page('mien.things', 0)) WHERE lp_len > 0"
    with database.writing(1) as session:
        session.insert("things", ("id", "name"), [(i, "Ada") for i in range(9)])
    with database.writing(1) as session:
        session.execute("DELETE FROM things WHERE id < 4")
    assert server.execute(name, pages) == [(9,)]
    database.erase_leftovers()
    deadline = time.monotonic() + 10
    while server.execute(name, pages) != [(5,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with database.writing(1) as session:
        session.execute("DELETE FROM things WHERE id = 5")
    database.erase_leftovers()
    database.close()
    assert server.execute(name, pages) == [(4,)]


@pytest.mark.parametrize("with_amcheck", [True, False])
def test_damage_is_found(server: PostgresServer, with_amcheck: bool, own_url: str) -> None:
    name = own_url.rpartition("/")[2]
    database = PostgresDatabase(parse_url(own_url), create=True)
    with database.writing() as session:
        session.execute(THINGS)
        session.insert("things", ("id", "data"), [(i, os.urandom(1000)) for i in range(100)])
    assert database.check() == []
    ((path,),) = server.execute(name, "SELECT pg_relation_filepath('mien.things')")
    server.stop()
    with (server.data / path).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"\xff" * 500)
    server.start()
    if with_amcheck:
        damage = database.check()
    else:
        server.execute(name, f"GRANT USAGE ON SCHEMA mien TO {STRICT_USER}")
        server.execute(name, f"GRANT SELECT ON ALL TABLES IN SCHEMA mien TO {STRICT_USER}")
        reader = another(server.url(name, user=STRICT_USER, password=STRICT_PASSWORD), "?mode=ro")
        damage = reader.check()
        reader.close()
    assert any("mien.things" in line for line in damage)
    assert server.execute(name, "SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'") == [(0,)]
    database.close()
