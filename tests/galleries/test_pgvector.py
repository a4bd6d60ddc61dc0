"""Galleries that the database searches, by pgvector: the same answers as the copy in memory gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest
from gallery_cases import faces
from postgres_server import STRICT_PASSWORD, STRICT_USER, PostgresServer, pgvector_server

from mien.errors import BadGallery, GalleryError, GalleryLocked
from mien.galleries import open_gallery
from mien.galleries.sql import pgvector, pgvector_table
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.urls import parse_url
from mien.types import Match, Templates


@pytest.fixture
def server() -> PostgresServer:
    return pgvector_server()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.url(server.emptied_database())


def crowd(people: int, seed: int = 0) -> list[tuple[str, Templates]]:
    """People with one to five templates each, some of them alike to the last bit, in dimension 16."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((people, 16))
    items = []
    for i in range(people):
        noise = rng.standard_normal((int(rng.integers(1, 6)), 16)) * 0.3
        vectors = centers[i // 3 if i % 7 == 0 else i] + noise
        vectors[0] = centers[i // 5]
        items.append((f"person {i}", Templates.normalized(vectors.astype(np.float32), "test@00000000")))
    return items


SEARCHES: list[dict[str, Any]] = [
    {},
    {"top": 7},
    {"top": 10_000},
    {"top": 40, "threshold": 0.5},
    {"top": 3, "threshold": 0.999_999},
    {"top": 9, "tags": ["even"]},
    {"top": 9, "identities": [f"person {i}" for i in range(0, 300, 3)] + ["nobody"]},
    {"top": 9, "tags": ["even"], "identities": ["person 4", "person 5"]},
    {"tags": ["no such tag"]},
    {"identities": []},
]


@pytest.mark.parametrize("options", ["fusion=max", "fusion=mean", "codec=int8"])
def test_the_answers_are_those_of_the_copy_in_memory(url: str, options: str) -> None:
    with ExitStack() as stack:
        ram, server = (
            stack.enter_context(open_gallery(f"{url}?{options}&engine={engine}")) for engine in ("ram", "pgvector")
        )
        people = crowd(300)
        ram.add_many(people)
        for i in range(0, 300, 10):
            ram.set_tags(f"person {i}", ["even"])
        # One person with more templates than are asked for at once.
        ram.add("Many", Templates(np.repeat(people[0][1].vectors[:1], 200, axis=0), people[0][1].space))
        probes = Templates.normalized(
            np.concatenate([faces(3, seed=5).vectors, *(people[i][1].vectors[:1] for i in (0, 5, 10, 14))]),
            "test@00000000",
        )
        for search in SEARCHES:
            expected = ram.search(probes, **search)
            assert server.search(probes, **search) == expected
            assert server.search(probes[3], **search) == [expected[3]]
        assert server.search(probes[0:0]) == []


def test_a_threshold_that_is_a_score_is_met(url: str) -> None:
    with open_gallery(f"{url}?engine=pgvector") as gallery:
        gallery.add_many(crowd(60))
        probe = faces(1, seed=9)
        (everyone,) = gallery.search(probe, top=60)
        assert len(everyone) == 60
        for score in {match.score for match in everyone}:
            for threshold in (score, float(np.nextafter(np.float32(score), np.float32(2)))):
                expected = [match for match in everyone if match.score >= threshold]
                assert gallery.search(probe, top=60, threshold=threshold) == [expected]


def test_what_others_change_is_seen(url: str) -> None:
    with open_gallery(url) as ram, open_gallery(f"{url}?engine=pgvector") as gallery:
        assert gallery.search(faces(1)) == [[]]
        ram.add("Ada", faces(2))
        first = gallery.search(faces(1))[0][0]
        assert first.identity == "Ada"
        ram.add("Bob", faces(1, seed=1))
        assert gallery.search(faces(1, seed=1))[0][0].identity == "Bob"
        ram.remove_template(first.template_id)
        assert gallery.search(faces(1), top=5)[0][0].template_id != first.template_id
        ram.remove_identity("Ada")
        assert [match.identity for match in gallery.search(faces(1), top=5)[0]] == ["Bob"]


def test_a_removal_takes_the_searched_vector_along(url: str, server: PostgresServer) -> None:
    name = url.rpartition("/")[2]
    rows = "SELECT count(*) FROM mien.searchable"
    with open_gallery(f"{url}?engine=pgvector") as gallery:
        gallery.add_many(crowd(20))
        gallery.search(faces(1))
        assert server.execute(name, rows) == [(len(gallery),)]
        with open_gallery(url) as ram:
            ram.remove_identity("person 3")
        assert server.execute(name, rows) == [(len(gallery),)]
        assert gallery.check() == []  # type: ignore[attr-defined]
        server.execute(name, "UPDATE mien.searchable SET template_id = 1000 WHERE template_id = 1")
        assert gallery.check() == ["searchable: 1 vectors whose template is missing"]  # type: ignore[attr-defined]
        with pytest.raises(BadGallery, match="pgvector's table holds templates that the gallery does not hold"):
            gallery.search(faces(1), top=99)


def test_a_large_gallery_is_taken_in_by_turns(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector_table, "_ROWS_A_TURN", 50)
    with open_gallery(url) as ram, open_gallery(f"{url}?engine=pgvector") as gallery:
        people = crowd(200)
        ram.add_many(people)
        # The newest are gone before the table is filled.
        ram.remove_identity("person 199")
        assert gallery.search(faces(4), top=9) == ram.search(faces(4), top=9)
        ram.add_many(crowd(50, seed=1))
        assert gallery.search(faces(4), top=9) == ram.search(faces(4), top=9)


def while_writing(url: str, search: Callable[[], list[list[Match]]]) -> list[list[Match]]:
    """What a search gives while another process is in the middle of a change."""
    with closing(PostgresDatabase(parse_url(url), create=False)) as database, database.writing(1) as session:
        session.execute("UPDATE galleries SET last_identity = last_identity")
        began = time.monotonic()
        found = search()
        assert time.monotonic() - began < 4
    return found


@pytest.mark.parametrize("fusion", ["max", "mean"])
def test_a_search_waits_for_no_writer_and_misses_nothing(
    url: str, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery(f"{url}?fusion={fusion}") as ram, open_gallery(f"{url}?engine=pgvector") as gallery:
        people = crowd(90)
        ram.add_many(people[:40])
        expected = ram.search(faces(3), top=9)
        assert while_writing(url, lambda: gallery.search(faces(3), top=9)) == expected
        gallery.search(faces(1))
        ram.add_many(people[30:])
        searches: list[dict[str, Any]] = [{"top": 9}, {"top": 9, "identities": ["person 35", "person 60"]}]
        for search in searches:
            expected = ram.search(faces(3), **search)
            assert while_writing(url, lambda s=search: gallery.search(faces(3), **s)) == expected  # type: ignore[misc]
        monkeypatch.setattr(pgvector, "_MOST_BEHIND", 3)
        ram.add_many(crowd(9, seed=2))
        with pytest.raises(GalleryLocked, match="lacks"):
            while_writing(url, lambda: gallery.search(faces(1)))
        assert gallery.search(faces(3), top=9) == ram.search(faces(3), top=9)


def test_a_read_only_gallery_is_searched_with_what_it_lacks(url: str) -> None:
    with open_gallery(url) as ram:
        ram.add_many(crowd(30))
        with pytest.raises(BadGallery, match=r"engine=pgvector was never used here; open it once without mode=ro"):
            open_gallery(f"{url}?engine=pgvector&mode=ro")
        open_gallery(f"{url}?engine=pgvector").close()
        with open_gallery(f"{url}?engine=pgvector&mode=ro") as reader:
            assert reader.search(faces(2), top=5) == ram.search(faces(2), top=5)
            ram.add("Ada", faces(2))
            assert reader.search(faces(2), top=5) == ram.search(faces(2), top=5)


def test_a_role_that_may_not_make_the_table_is_told_so(server: PostgresServer) -> None:
    name = server.new_database()
    server.execute(name, f"CREATE SCHEMA mien AUTHORIZATION {STRICT_USER}")
    strict = server.url(name, user=STRICT_USER, password=STRICT_PASSWORD)
    open_gallery(strict).close()
    with pytest.raises(GalleryError, match=r"needs CREATE EXTENSION vector in .*, once, by an administrator"):
        open_gallery(f"{strict}?engine=pgvector")
    server.execute(name, "CREATE EXTENSION vector SCHEMA public")
    with open_gallery(f"{strict}?engine=pgvector") as gallery:
        gallery.add("Ada", faces(1))
        assert gallery.search(faces(1))[0][0].identity == "Ada"


def test_what_pgvector_cannot_search_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_GALLERY_KEY", "00" * 32)
    with pytest.raises(BadGallery, match=r"float32, the gallery has codec=int8-only"):
        open_gallery(f"{url}?engine=pgvector&name=small&codec=int8-only")
    with pytest.raises(BadGallery, match="cannot search an encrypted gallery"):
        open_gallery(f"{url}?engine=pgvector&name=secret&encrypted=yes")


def test_a_person_of_very_many_templates_is_not_fetched_whole(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    ranked = pgvector.PgvectorEngine._ranked

    def counted(engine: Any, state: Any, rows: Any, *others: Any) -> Any:
        fetched.append(len(rows))
        return ranked(engine, state, rows, *others)

    monkeypatch.setattr(pgvector.PgvectorEngine, "_ranked", counted)
    with open_gallery(url) as ram, open_gallery(f"{url}?engine=pgvector") as gallery:
        near = faces(1).vectors + 0.2 * faces(2000, seed=1).vectors
        ram.add("Many", Templates.normalized(near, "test@00000000"))
        ram.add_many(crowd(20))
        assert gallery.search(faces(1), top=9) == ram.search(faces(1), top=9)
    assert len(fetched) == 2
    assert max(fetched) < 200


def test_expired_templates_are_not_found(url: str, server: PostgresServer) -> None:
    name = url.rpartition("/")[2]
    with open_gallery(f"{url}?engine=pgvector&retention_days=1") as gallery:
        gallery.add_many(crowd(30))
        assert gallery.search(faces(1), top=99)[0]
        for table in ("templates", "searchable"):
            server.execute(name, f"UPDATE mien.{table} SET created = created - 86400 WHERE identity_id > 3")
        assert {match.identity for match in gallery.search(faces(1), top=99)[0]} == {"person 0", "person 1", "person 2"}


def test_vectors_that_were_changed_in_place_are_taken_in_anew(url: str) -> None:
    with open_gallery(url) as ram, open_gallery(f"{url}?engine=pgvector") as gallery:
        enrolled = ram.add("Ada", faces(2)) + ram.add("Bob", faces(1, seed=1))
        gallery.search(faces(1))
        ram.begin_migration("new@1", 8)  # type: ignore[attr-defined]
        new = faces(3, seed=7, dimension=8, space="new@1")
        ram.put_pending([(e.template_id, new.vectors[i]) for i, e in enumerate(enrolled)], target="new@1", mapped=False)  # type: ignore[attr-defined]
        assert ram.finish_migration("new@1") == 0  # type: ignore[attr-defined]
        assert gallery.search(new, top=5) == ram.search(new, top=5)
        assert gallery.search(new[2])[0][0].identity == "Bob"
