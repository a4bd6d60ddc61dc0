"""What may be kept for some days only: not shown a moment longer, and erased soon after."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, SPACE, faces, sqlite_url, with_options

from mien.errors import IdentityNotFound, TemplateNotFound
from mien.galleries import (
    Block,
    Gallery,
    NewEnrollment,
    Portraits,
    SqlGallery,
    galleries_at,
    keeper,
    open_gallery,
)

DAY_S = 86_400.0


def shift_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let mien's clock be ahead."""
    moved = time.time

    class Clock:
        @staticmethod
        def time() -> float:
            return moved() + seconds

    monkeypatch.setattr(keeper, "time", Clock)


@pytest.fixture(params=["memory", "sqlite", "sqlite-encrypted", "postgresql", "pgvector"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return with_options(BACK_ENDS[request.param](tmp_path), "retention_days=30")


def nothing_is_shown(gallery: Gallery) -> None:
    assert gallery.search(faces(1), top=9) == [[]]
    assert gallery.identities() == []
    assert len(gallery) == 0
    for call in (gallery.templates, gallery.tags):
        with pytest.raises(IdentityNotFound):
            call("Ada")


def test_nothing_is_shown_a_moment_longer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(2), tags=["staff"])
        assert [m.identity for m in gallery.search(faces(1))[0]] == ["Ada"]
        with monkeypatch.context() as patch:
            shift_clock(patch, 29.9 * DAY_S)
            assert gallery.identities() == [("Ada", 2)]
            assert [m.identity for m in gallery.search(faces(1), tags=["staff"])[0]] == ["Ada"]
        shift_clock(monkeypatch, 30.1 * DAY_S)
        nothing_is_shown(gallery)


def test_what_has_expired_cannot_be_changed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_gallery(url) as gallery:
        (old,) = gallery.add("Ada", faces(1), tags=["staff"])
        shift_clock(monkeypatch, 31 * DAY_S)
        with pytest.raises(TemplateNotFound):
            gallery.remove_template(old.template_id)
        with pytest.raises(IdentityNotFound):
            gallery.remove_identity("Ada")
        with pytest.raises(IdentityNotFound):
            gallery.set_tags("Ada", ["guest"])


def make(folder: Path, options: str = "retention_days=30") -> SqlGallery:
    gallery = open_gallery(with_options(sqlite_url(folder), options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def age(folder: Path, days: float, where: str = "1 = 1") -> None:
    """Let templates have been enrolled earlier."""
    with closing(sqlite3.connect(folder / "people.db", isolation_level=None)) as connection:
        connection.execute(f"UPDATE templates SET created = created - ? WHERE {where}", (days * DAY_S,))


def stored(folder: Path, table: str = "templates") -> int:
    with closing(sqlite3.connect(folder / "people.db")) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_opening_erases(tmp_path: Path) -> None:
    with make(tmp_path, "retention_days=30&portraits=yes") as gallery:
        gallery.add_many([NewEnrollment("Ada", faces(2), ["staff"]), ("Bob", faces(1, seed=1))])
    age(tmp_path, 31, "identity_id = 1")
    with make(tmp_path) as gallery:
        assert stored(tmp_path) == 1
        assert [stored(tmp_path, table) for table in ("identities", "tags", "removals")] == [1, 0, 2]
        assert gallery.identities() == [("Bob", 1)]
        assert [(e.action, e.identity_id, e.detail) for e in gallery.audit_log()][-1] == ("expire", 1, "templates=2")
        assert gallery.check() == []
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert faces(2).vectors[0].tobytes() not in content
    assert faces(1, seed=1).vectors[0].tobytes() in content


def test_some_templates_of_an_identity_expire(tmp_path: Path) -> None:
    with make(tmp_path) as gallery:
        gallery.add("Ada", faces(1))
        gallery.add("Ada", faces(1, seed=1))
    age(tmp_path, 31, "id = 1")
    with make(tmp_path) as gallery:
        assert gallery.templates("Ada")[0] == [2]


def test_it_is_erased_while_the_gallery_is_open(tmp_path: Path) -> None:
    with make(tmp_path, f"retention_days={2 / DAY_S}") as gallery:
        gallery.add("Ada", faces(1))
        gallery.search(faces(1))
        wait_until(lambda: stored(tmp_path) == 0)
        assert gallery.search(faces(1)) == [[]]
        gallery.add("Bob", faces(1, seed=1))
        assert gallery.search(faces(1))[0][0].identity == "Bob"
    assert faces(1).vectors.tobytes() not in (tmp_path / "people.db").read_bytes()


def test_the_thread_ends_with_the_gallery(tmp_path: Path) -> None:
    def threads() -> int:
        return sum(thread.name == "mien gallery keeper" for thread in threading.enumerate())

    before = threads()
    gallery = make(tmp_path, f"retention_days={1 / DAY_S}")
    assert threads() == before + 1
    gallery.close()
    wait_until(lambda: threads() == before)
    forgotten = make(tmp_path, f"retention_days={1 / DAY_S}")
    assert threads() == before + 1
    del forgotten
    wait_until(lambda: threads() == before)
    with make(tmp_path, "name=other"):
        assert threads() == before


def test_what_cannot_be_erased_is_hidden(tmp_path: Path) -> None:
    with make(tmp_path) as gallery:
        gallery.add("Ada", faces(2), tags=["staff"])
        gallery.add("Bob", faces(1, seed=1))
    age(tmp_path, 31, "identity_id = 1")
    with make(tmp_path, "mode=ro") as gallery:
        assert gallery.identities() == [("Bob", 1)]
        assert len(gallery) == 1
        assert [m.identity for m in gallery.search(faces(1), top=9)[0]] == ["Bob"]
        assert gallery.search(faces(1), tags=["staff"]) == [[]]
        assert [name for block in gallery.blocks() for name in block.identities] == ["Bob"]
    assert stored(tmp_path) == 3
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with make(tmp_path, "timeout_s=0.05") as gallery:
            assert gallery.identities() == [("Bob", 1)]
            assert stored(tmp_path) == 3
        other.execute("ROLLBACK")


def test_what_has_expired_is_counted_nowhere(tmp_path: Path) -> None:
    with make(tmp_path, "retention_days=30&portraits=yes") as gallery:
        pictures = Portraits([b"\xff\xd8"] * 2, np.zeros((2, 5, 2), np.float32))
        gallery.add_many([NewEnrollment("Ada", faces(2), ["staff"], pictures), ("Bob", faces(1, seed=1))])
    with make(tmp_path, "name=kept") as gallery:
        gallery.add("Cy", faces(4))
    age(tmp_path, 31, "identity_id = 1 AND gallery_id = 1")
    with make(tmp_path, "mode=ro") as gallery:
        expired, kept = galleries_at(sqlite_url(tmp_path))
        assert (expired.identities, expired.templates, expired.portraits) == (1, 1, 0)
        assert (kept.identities, kept.templates, kept.portraits) == (1, 4, 0)
        assert [(e.identity_id, e.identity) for e in gallery.audit_log()] == [(1, None), (2, "Bob")]
        assert list(gallery.audit_log(identity="Ada")) == []
    assert stored(tmp_path) == 7


def test_what_is_restored_too_late_is_not_stored(url: str) -> None:
    with open_gallery(url) as gallery:
        if not isinstance(gallery, SqlGallery):
            pytest.skip("galleries in memory keep no times")
        now = time.time()
        times = np.array([now - 31 * DAY_S, now - 29 * DAY_S])
        block = Block(np.arange(2), ["old", "young"], [(), ()], faces(2).vectors, times, np.zeros(2, np.bool_))
        gallery.restore(block, SPACE)
        with gallery._read() as session:
            assert session.execute("SELECT id FROM templates") == [(2,)]
            assert len(session.execute("SELECT id FROM identities")) == 1


def test_what_is_restored_keeps_its_age(tmp_path: Path) -> None:
    now = time.time()
    vectors = faces(3)
    block = Block(
        np.arange(3),
        ["old", "young", "young"],
        [(), ("staff",), ()],
        vectors.vectors,
        np.array([now - 29.9999 * DAY_S, now - 5 * DAY_S, now]),
        np.zeros(3, np.bool_),
    )
    with make(tmp_path) as gallery:
        gallery.restore(block, SPACE)
        assert gallery.identities() == [("old", 1), ("young", 2)]
    age(tmp_path, 1)
    with make(tmp_path) as gallery:
        assert gallery.identities() == [("young", 2)]
