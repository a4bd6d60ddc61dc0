"""Renaming and joining in SQL galleries: the log, encryption, a migration under way, the index file, raw bytes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, faces, sqlite_url, with_options
from postgres_server import postgres_server

from mien.errors import GalleryError, IdentityNotFound
from mien.galleries import NewEnrollment, Portraits, SqlGallery, open_gallery


@pytest.fixture(params=["sqlite", "sqlite-encrypted", "postgresql", "pgvector"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return BACK_ENDS[request.param](tmp_path)


def opened(url: str, options: str = "actor=warden") -> SqlGallery:
    gallery = open_gallery(with_options(url, options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def person(name: str, seed: int) -> NewEnrollment:
    landmarks = faces(1).vectors[:, :10].reshape(1, 5, 2)
    return NewEnrollment(name, faces(1, seed=seed), [f"tag {seed}"], Portraits([b"picture %d" % seed], landmarks))


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_it_is_logged_without_any_name(url: str) -> None:
    with opened(url) as gallery:
        gallery.add_many([("Ada", faces(2)), ("Bob", faces(1, seed=1))])
        gallery.rename("Ada", "Countess")
        gallery.rename("Bob", "Bob")
        gallery.rename("Countess", "Bob", merge=True)
        log = [(e.actor, e.action, e.identity_id, e.detail, e.identity) for e in gallery.audit_log()]
        assert log[2:] == [
            ("warden", "rename", 1, "templates=2", None),
            ("warden", "merge", 2, "from=1 templates=2", "Bob"),
        ]
        assert {entry.action for entry in gallery.audit_log(identity="Bob")} == {"enroll", "merge"}
        with gallery._shelf.database.reading() as session:
            stored = str(session.execute("SELECT * FROM audit"))
        assert not any(name in stored for name in ("Ada", "Bob", "Countess"))


def test_what_belongs_to_templates_goes_with_them(url: str) -> None:
    with opened(url, "portraits=yes") as gallery:
        gallery.add_many([person("Ada", 0), person("Bob", 1)])
        before = gallery.export_identity("Ada")["templates"] + gallery.export_identity("Bob")["templates"]
        gallery.rename("Bob", "Ada", merge=True)
        exported = gallery.export_identity("Ada")
        assert exported["templates"] == before
        assert exported["tags"] == ["tag 0", "tag 1"]
        assert gallery.portrait(2) == b"picture 1"
        assert gallery.check() == []


def test_a_migration_under_way_goes_on(url: str) -> None:
    target = [faces(1, seed=50 + i, dimension=8, space="other@1") for i in range(4)]
    with opened(url, "codec=int8" if "pgvector" not in url else "") as gallery:
        gallery.add_many([("Ada", faces(2)), ("Bob", faces(2, seed=1))])
        gallery.begin_migration("other@1", 8)
        gallery.put_pending([(i + 1, target[i].vectors[0]) for i in (0, 2)], target="other@1", mapped=True)
        gallery.rename("Ada", "Countess")
        gallery.rename("Bob", "Countess", merge=True)
        assert gallery.check() == []
        gallery.put_pending([(i + 1, target[i].vectors[0]) for i in (1, 3)], target="other@1", mapped=False)
        assert gallery.finish_migration("other@1") == 0
        ids, templates = gallery.templates("Countess")
        assert ids == [1, 2, 3, 4]
        assert np.array_equal(templates.vectors, np.concatenate([t.vectors for t in target]))
        assert gallery.mapped() == 2
        assert gallery.check() == []
        assert [m.template_id for m in gallery.search(target[2])[0]] == [3]


def test_templates_keep_their_age(url: str) -> None:
    with opened(url, "retention_days=0.00003") as gallery:
        gallery.add("Ada", faces(1))
        time.sleep(1.6)
        gallery.add("Bob", faces(1, seed=1))
        gallery.rename("Ada", "Bob", merge=True)
        assert gallery.identities() == [("Bob", 2)]
        time.sleep(1.3)
        assert gallery.identities(limit=5) == [("Bob", 1)]
        assert gallery.count_identities() == 1
        time.sleep(1.6)
        assert gallery.identities(limit=5) == []
        assert gallery.count_identities() == 0
        with pytest.raises(IdentityNotFound):
            gallery.rename("Bob", "Cleo")


@pytest.mark.parametrize("options", ["", "codec=int8-only", "fusion=mean"])
def test_the_index_file_stays_in_use(tmp_path: Path, options: str) -> None:
    snapshot = tmp_path / "people.db.1.index"
    with opened(sqlite_url(tmp_path), options) as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(9)])
        gallery.compact()
        written = snapshot.stat().st_ino
        gallery.rename("person 0", "Ada")
        gallery.rename("person 1", "Ada", merge=True)
        gallery.rename("person 2", "person 3", merge=True)
        gallery.remove_template(3)
        assert gallery.check() == []
    for _ in range(2):
        with opened(sqlite_url(tmp_path), options) as gallery:
            assert [m.identity for m in gallery.search(faces(1, seed=1), top=20)[0]].count("Ada") == 1
            if not options:
                names = [gallery.search(faces(1, seed=i))[0][0].identity for i in (0, 1, 3, 8)]
                assert names == ["Ada", "Ada", "person 3", "person 8"]
            assert len(gallery.search(faces(1), top=20)[0]) == 7
            assert gallery.check() == []
        assert snapshot.stat().st_ino == written


def test_a_former_name_leaves_no_bytes(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), "portraits=yes") as gallery:
        gallery.add_many([person("a-former-name-", 0), person("another-former-name-", 1), person("Cleo", 2)])
        gallery.rename("a-former-name-", "a-new-name-")
        gallery.rename("another-former-name-", "Cleo", merge=True)
        for content in (content_of(tmp_path),):
            assert b"former-name-" not in content
            assert b"a-new-name-" in content
    assert b"former-name-" not in content_of(tmp_path)


def test_postgresql_keeps_no_former_name_where_it_can_be_read() -> None:
    server = postgres_server()
    database = server.new_database()
    try:
        with opened(server.url(database)) as gallery:
            gallery.add("a-former-name-", faces(1))
            gallery.rename("a-former-name-", "Ada")
        server.execute(database, "CREATE EXTENSION pageinspect")
        page = "SELECT t_data FROM heap_page_items(get_raw_page('mien.identities', 0)) WHERE lp_len > 0"
        ((row,),) = server.execute(database, page)
        assert b"Ada" in bytes(row)
    finally:
        server.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)")


def test_a_page_is_read_by_the_index_of_names(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery:
        gallery.add("Ada", faces(1))
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id, name FROM identities WHERE gallery_id = 1 AND name > 'A' "
            "ORDER BY name LIMIT 10"
        ).fetchall()
    assert "gallery_id=? AND name>?" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_a_read_only_gallery_refuses(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery:
        gallery.add("Ada", faces(1))
    with opened(sqlite_url(tmp_path), "mode=ro") as gallery:
        with pytest.raises(GalleryError, match="read-only"):
            gallery.rename("Ada", "Bob")
        assert gallery.identities(limit=1) == [("Ada", 1)]


KILLED = """
import os, signal, sys
import mien.galleries.sql.renaming as renaming
from mien.galleries import open_gallery
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
renaming.log_changes = killed
open_gallery(sys.argv[1]).rename("Ada", "Bob", merge=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_who_is_killed_at_it_has_changed_nothing(url: str) -> None:
    with opened(url) as gallery:
        gallery.add_many([("Ada", faces(3)), ("Bob", faces(1, seed=1))])
        done = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
        assert done.returncode == -signal.SIGKILL
        assert gallery.identities() == [("Ada", 3), ("Bob", 1)]
        assert gallery.search(faces(1))[0][0].identity == "Ada"
        assert gallery.check() == []
