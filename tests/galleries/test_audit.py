"""The audit log: who did what when; it can be added to and, when its time is over, shortened, but not rewritten."""

from __future__ import annotations

import getpass
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from gallery_cases import BACK_ENDS, faces, sqlite_url, with_options

from mien.errors import GalleryError
from mien.galleries import AuditEntry, NewEnrollment, SqlGallery, open_gallery


@pytest.fixture(params=["sqlite", "sqlite-encrypted", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return BACK_ENDS[request.param](tmp_path)


def opened(url: str, options: str = "actor=warden") -> SqlGallery:
    gallery = open_gallery(with_options(url, options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def told(gallery: SqlGallery) -> list[tuple[str, int | None, int | None, str, str | None]]:
    return [(e.action, e.identity_id, e.template_id, e.detail, e.identity) for e in gallery.audit_log()]


def test_changes_are_logged_with_who_and_when(url: str) -> None:
    before = time.time()
    with opened(url) as gallery:
        assert gallery.options.audit == "changes"
        gallery.add_many([("Ada", faces(2)), ("Bob", faces(1, seed=1)), ("Ada", faces(1, seed=2))])
        gallery.search(faces(1))
        gallery.set_tags("Bob", ["staff"])
        gallery.remove_template(3)
        gallery.remove_identity("Ada")
        assert told(gallery) == [
            ("enroll", 1, None, "templates=3", None),
            ("enroll", 2, 3, "templates=1", None),
            ("tag", 2, None, "tags=1", None),
            ("remove", 2, 3, "templates=1", None),
            ("remove", 1, None, "templates=3", None),
        ]
        gallery.add("Ada", faces(1))
        *_, last = gallery.audit_log()
        assert isinstance(last, AuditEntry)
        assert (last.actor, last.identity, last.identity_id) == ("warden", "Ada", 3)
        assert before <= last.at <= time.time()
        assert [e.identity_id for e in gallery.audit_log(identity=" Ada ")] == [3]
        assert list(gallery.audit_log(identity="nobody")) == []


def test_the_login_name_stands_for_nobody_named(url: str) -> None:
    with opened(url, "") as gallery:
        gallery.add("Ada", faces(1))
        (entry,) = gallery.audit_log()
        assert entry.actor == getpass.getuser()


def test_searches_are_logged_where_that_is_asked_for(url: str) -> None:
    with opened(url, "audit=all&actor=guard") as gallery:
        gallery.search(faces(1))
        gallery.add_many([("Ada", faces(2)), ("Bob", faces(1, seed=1))])
        gallery.search(faces(3), top=1, threshold=0.99)
        gallery.search(faces(1, seed=7), threshold=0.999)
        gallery.search(faces(1), top=9)
        searches = [entry for entry in told(gallery) if entry[0] == "search"]
        assert searches == [
            ("search", None, None, "probes=1", None),
            ("search", 1, None, "probes=3", "Ada"),
            ("search", None, None, "probes=1", None),
            ("search", 1, None, "probes=1", "Ada"),
            ("search", 2, None, "probes=1", "Bob"),
        ]


def test_a_search_that_cannot_be_logged_is_not_answered(url: str) -> None:
    with opened(url, "audit=all") as gallery:
        gallery.add("Ada", faces(1))
    with opened(url, "mode=ro") as gallery:
        with pytest.raises(GalleryError, match="audit log takes in every search"):
            gallery.search(faces(1))
        assert gallery.identities() == [("Ada", 1)]


def test_without_a_log_nothing_is_logged(url: str) -> None:
    with opened(url, "audit=off") as gallery:
        gallery.add("Ada", faces(1))
        gallery.remove_identity("Ada")
        assert list(gallery.audit_log()) == []


def test_a_change_that_fails_is_not_logged(url: str) -> None:
    with opened(url) as gallery:
        gallery.add("Ada", faces(1))
        for change in (
            lambda: gallery.add("Bob", faces(1, space="other@1")),
            lambda: gallery.remove_identity("Bob"),
            lambda: gallery.remove_template(99),
        ):
            with pytest.raises(Exception, match=r"other@1|no identity|no template"):
                change()
        assert len(list(gallery.audit_log())) == 1


def test_a_part_of_the_log(url: str) -> None:
    with opened(url) as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(2500)])
        middle = time.time()
        time.sleep(0.01)
        gallery.remove_identity("person 7")
        assert len(list(gallery.audit_log())) == 2501
        assert [e.action for e in gallery.audit_log(since=middle)] == ["remove"]
        assert len(list(gallery.audit_log(until=middle))) == 2500
        assert list(gallery.audit_log(since=middle, until=middle)) == []


def test_names_and_vectors_are_in_no_entry(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), "audit=all") as gallery:
        gallery.add_many([NewEnrollment("Ada", faces(2), ["staff"]), ("Bob", faces(1, seed=1))])
        gallery.search(faces(1), top=2)
        gallery.remove_identity("Ada")
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        rows = connection.execute("SELECT * FROM audit").fetchall()
    assert len(rows) == 5
    assert not any(word in str(rows) for word in ("Ada", "Bob", "staff", "\\x"))
    assert {type(value) for row in rows for value in row} <= {int, float, str, type(None)}


def test_the_log_cannot_be_rewritten(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), "audit_days=30") as gallery:
        gallery.add("Ada", faces(1))
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "DELETE FROM audit WHERE id = 1"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (1,)


def test_the_log_is_kept_for_as_long_as_is_asked_for(url: str) -> None:
    days = 3 / 86_400
    with opened(url, f"audit_days={days}&retention_days=7") as gallery:
        gallery.add("Ada", faces(1))
        gallery.add("Bob", faces(1, seed=1))
        assert len(list(gallery.audit_log())) == 2
        deadline = time.monotonic() + 20
        while list(gallery.audit_log()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(gallery.audit_log()) == []
        gallery.remove_identity("Ada")
        assert [e.action for e in gallery.audit_log()] == ["remove"]
        assert gallery.identities() == [("Bob", 1)]


def test_the_log_of_another_gallery_is_another_one(url: str) -> None:
    with opened(url, "name=a") as one, opened(url, "name=b&audit=off") as other:
        one.add("Ada", faces(1))
        other.add("Bob", faces(1))
        assert [e.identity for e in one.audit_log()] == ["Ada"]
        assert list(other.audit_log()) == []
