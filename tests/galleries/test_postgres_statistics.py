"""PostgreSQL's statistics, which outlive what they were taken of, hold nothing that tells of people."""

from __future__ import annotations

import pytest
from gallery_cases import faces
from postgres_server import PostgresServer, pgvector_server, postgres_server

from mien.galleries import NewEnrollment, SqlGallery, open_gallery
from mien.galleries.sql.enrolling import identity_numbers
from mien.galleries.sql.schema import SCHEMA_VERSIONS
from mien.types import Templates

COUNT = 120
TELLING = {
    "galleries": {"secret"},
    "identities": {"name", "sealed"},
    "tags": {"tag", "sealed"},
    "templates": {"vector"},
    "pending": {"vector"},
    "portraits": {"picture", "landmarks"},
    "searchable": {"embedding"},
}


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def database(server: PostgresServer) -> str:
    return server.emptied_database()


def opened(url: str) -> SqlGallery:
    gallery = open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    return gallery


def fill(gallery: SqlGallery) -> None:
    templates = faces(COUNT)
    gallery.add_many([NewEnrollment(f"person {i}", templates[i], [f"tag {i}"]) for i in range(COUNT)])


def sampled(server: PostgresServer, database: str) -> set[tuple[str, str]]:
    """The telling columns that the server has statistics of, whatever they hold."""
    rows = server.execute(
        database,
        "SELECT c.relname, a.attname FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid "
        "JOIN pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum "
        "WHERE c.relnamespace = 'mien'::regnamespace",
    )
    assert ("identities", "gallery_id") in rows
    return {(table, column) for table, column in rows if column in TELLING.get(table, ())}


def test_nothing_that_tells_of_people_is_sampled(server: PostgresServer, database: str) -> None:
    with opened(server.url(database)) as gallery:
        fill(gallery)
        gallery.compact()
        server.execute(database, "ANALYZE")
        assert sampled(server, database) == set()
        assert gallery.search(faces(1), tags=["tag 0"], identities=["person 0", "nobody"])[0][0].identity == "person 0"


def make_layout_2(server: PostgresServer, database: str) -> None:
    """Tables as layout 2 had them, and their statistics as autovacuum took them."""
    tables = {table for (table,) in server.execute(database, "SELECT tablename FROM pg_tables WHERE schemaname='mien'")}
    for table in tables & TELLING.keys():
        for column in TELLING[table]:
            server.execute(database, f"ALTER TABLE mien.{table} ALTER COLUMN {column} SET STATISTICS -1")
    server.execute(database, "DROP FUNCTION IF EXISTS mien.searchable_outdated CASCADE")
    server.execute(database, "UPDATE mien.layout SET version = 2")
    server.execute(database, "ANALYZE")


def test_what_an_older_layout_has_sampled_goes(server: PostgresServer, database: str) -> None:
    url = server.url(database)
    with opened(url) as gallery:
        fill(gallery)
    make_layout_2(server, database)
    assert {("identities", "name"), ("tags", "tag"), ("templates", "vector")} <= sampled(server, database)
    with opened(url) as gallery:
        assert sampled(server, database) == set()
        assert server.execute(database, "SELECT version FROM mien.layout") == [(SCHEMA_VERSIONS["postgresql"],)]
        server.execute(database, "ANALYZE")
        assert sampled(server, database) == set()
        assert gallery.remove_identity("person 7") == 1
        assert gallery.add("person 8", faces(1, seed=1))[0].template_id == COUNT + 1
        assert gallery.identities()[0] == ("person 0", 1)
        assert gallery.check() == []


def migrate(gallery: SqlGallery) -> Templates:
    new = faces(COUNT, seed=1, dimension=8, space="other@1")
    gallery.begin_migration("other@1", 8)
    gallery.put_pending(
        [(row.template_id, new.vectors[row.template_id - 1]) for row in gallery.unmigrated(COUNT)],
        target="other@1",
        mapped=False,
    )
    assert gallery.finish_migration("other@1") == 0
    return new


def searchable(server: PostgresServer, database: str) -> int:
    return int(server.execute(database, "SELECT count(*) FROM mien.searchable")[0][0])


@pytest.mark.parametrize("layout", [2, 3])
def test_pgvectors_table_keeps_nothing_of_a_former_space(layout: int) -> None:
    server = pgvector_server()
    database = server.emptied_database()
    url = server.url(database)
    with opened(f"{url}?engine=pgvector") as gallery, opened(f"{url}?engine=pgvector&name=other") as other:
        for each in (gallery, other):
            fill(each)
            assert each.search(faces(1))[0][0].identity == "person 0"
    if layout == 2:
        make_layout_2(server, database)
        assert ("searchable", "embedding") in sampled(server, database)
        # Moved by a process that knew no better.
        server.execute(database, "UPDATE mien.galleries SET epoch = epoch + 1 WHERE name = 'default'")
        open_gallery(url).close()
        assert searchable(server, database) == COUNT
    else:
        assert searchable(server, database) == 2 * COUNT
    with opened(url) as gallery:
        new = migrate(gallery)
    assert searchable(server, database) == COUNT
    server.execute(database, "ANALYZE")
    assert ("searchable", "embedding") not in sampled(server, database)
    with opened(f"{url}?engine=pgvector") as gallery, opened(f"{url}?engine=pgvector&name=other") as other:
        assert gallery.search(new[5])[0][0].identity == "person 5"
        assert other.search(faces(COUNT)[5])[0][0].identity == "person 5"
        assert searchable(server, database) == 2 * COUNT


def test_many_names_at_once_are_looked_up_by_the_index(server: PostgresServer, database: str) -> None:
    """Without statistics of names the planner thinks that many of them are equal, and would read the whole table."""
    with opened(server.url(database)) as gallery:
        fill(gallery)
        server.execute(
            database,
            "INSERT INTO mien.identities (gallery_id, id, name) "
            f"SELECT 1, i, 'filling ' || i FROM generate_series({COUNT + 1}, 20000) i",
        )
        server.execute(database, "ANALYZE mien.identities")
        wanted = ["nobody", *(f"person {i}" for i in range(COUNT))]
        with gallery._shelf.database.reading() as session:
            numbers = identity_numbers(session, gallery._shelf, wanted)
            assert numbers == {f"person {i}": i + 1 for i in range(COUNT)}
            scans = session.execute("SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relname = 'identities'")
            assert scans == [(0,)]
