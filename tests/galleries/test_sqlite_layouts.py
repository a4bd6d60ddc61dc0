"""Files of older layouts are brought up to date with all that they hold; newer ones are left alone."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import SPACE, faces

from mien.errors import BadGallery, GalleryError
from mien.galleries import GalleryOptions, SqlGallery, open_gallery
from mien.galleries.sql.schema import SCHEMA_VERSIONS
from mien.galleries.sql.sqlite_file import APPLICATION_ID

SCHEMA_VERSION = SCHEMA_VERSIONS["sqlite"]

LAYOUT_1 = (
    """CREATE TABLE galleries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, space TEXT, dimension INTEGER)""",
    """CREATE TABLE identities (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL REFERENCES galleries (id),
        name TEXT NOT NULL, UNIQUE (gallery_id, name))""",
    """CREATE TABLE templates (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL REFERENCES galleries (id),
        identity_id INTEGER NOT NULL REFERENCES identities (id), vector BLOB NOT NULL)""",
    "CREATE INDEX templates_of_gallery ON templates (gallery_id)",
    "CREATE INDEX templates_of_identity ON templates (identity_id)",
    """CREATE TABLE removals (
        id INTEGER PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL, template_id INTEGER NOT NULL)""",
    """CREATE TRIGGER log_removal AFTER DELETE ON templates BEGIN
        INSERT INTO removals (gallery_id, template_id) VALUES (old.gallery_id, old.id); END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
)


def url_of(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


def make_layout_1(path: Path) -> None:
    """Two galleries: staff with Ada (2 templates) and Bob (1), guests with Ada (1); what was last is removed again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 8192")
        for statement in LAYOUT_1:
            connection.execute(statement)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO galleries (name, space, dimension) VALUES ('staff', ?, 16)", (SPACE,))
        connection.execute("INSERT INTO galleries (name, space, dimension) VALUES ('guests', 'other@1', 8)")
        connection.execute("INSERT INTO galleries (name) VALUES ('empty')")
        for gallery, name in ((1, "Ada"), (1, "Bob"), (2, "Ada"), (2, "gone")):
            connection.execute("INSERT INTO identities (gallery_id, name) VALUES (?, ?)", (gallery, name))
        staff, guests = faces(3), faces(2, dimension=8, space="other@1")
        rows = [
            *((1, identity, staff.vectors[i]) for i, identity in enumerate((1, 1, 2))),
            *((2, identity, guests.vectors[i]) for i, identity in enumerate((3, 4))),
        ]
        for gallery, identity, vector in rows:
            connection.execute(
                "INSERT INTO templates (gallery_id, identity_id, vector) VALUES (?, ?, ?)",
                (gallery, identity, vector.astype("<f4").tobytes()),
            )
        connection.execute("DELETE FROM templates WHERE identity_id = 4")
        connection.execute("DELETE FROM identities WHERE id = 4")


def layout_of(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        rows = connection.execute(query).fetchall()
        statistics = connection.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx").fetchall()
    return [*rows, *((f"{table} {index}", text) for table, index, text in statistics)]


def test_layout_1_is_brought_up_to_date_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    make_layout_1(path)
    with open_gallery(url_of(path, "?name=staff"), create=False) as staff:
        assert staff.options == GalleryOptions()
        assert staff.space == SPACE
        assert staff.identities() == [("Ada", 2), ("Bob", 1)]
        ids, templates = staff.templates("Ada")
        assert ids == [1, 2]
        assert np.array_equal(templates.vectors, faces(3).vectors[:2])
        assert staff.search(faces(3)[2])[0][0].identity == "Bob"
        assert staff.add("Cleo", faces(1, seed=5))[0].template_id == 6
    with open_gallery(url_of(path, "?name=guests")) as guests:
        assert guests.space == "other@1"
        assert guests.identities() == [("Ada", 1)]
        assert guests.search(faces(1, dimension=8, space="other@1"))[0][0].template_id == 4
        # 5 was given out before and removed: never again, though the ids count within each gallery now.
        assert guests.add("Bob", faces(1, dimension=8, space="other@1", seed=3))[0].template_id == 6
        assert guests.remove_identity("Ada") == 1
    with open_gallery(url_of(path, "?name=empty")) as empty:
        assert empty.space is None
        assert isinstance(empty, SqlGallery)
        assert empty.check() == []


def test_an_upgraded_file_is_laid_out_as_a_new_one(tmp_path: Path) -> None:
    make_layout_1(tmp_path / "old.db")
    open_gallery(url_of(tmp_path / "old.db")).close()
    open_gallery(url_of(tmp_path / "new.db")).close()
    assert layout_of(tmp_path / "old.db") == layout_of(tmp_path / "new.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_interrupted_upgrade_leaves_the_old_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "people.db"
    make_layout_1(path)

    def pulled_plug(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mien.galleries.sql.schema.create", pulled_plug)
        with pytest.raises(KeyboardInterrupt):
            open_gallery(url_of(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM templates").fetchone() == (4,)
    with open_gallery(url_of(path, "?name=staff")) as gallery:
        assert gallery.identities() == [("Ada", 2), ("Bob", 1)]


def test_an_old_layout_that_may_not_be_written_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    make_layout_1(path)
    with pytest.raises(GalleryError, match=r"layout 1 is brought to layout 2 when it is first opened for writing"):
        open_gallery(url_of(path, "?name=staff&mode=ro"))
    open_gallery(url_of(path, "?name=staff")).close()
    with open_gallery(url_of(path, "?name=staff&mode=ro")) as gallery:
        assert len(gallery) == 3


def open_and_count(path: str) -> None:
    with open_gallery(f"sqlite:///{path}?name=staff") as gallery:
        assert len(gallery) == 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_upgrade_once(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    make_layout_1(path)
    processes = multiprocessing.get_context("fork")
    workers = [processes.Process(target=open_and_count, args=(str(path),)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert layout_of(path)
    with open_gallery(url_of(path, "?name=staff")) as gallery:
        assert gallery.identities() == [("Ada", 2), ("Bob", 1)]


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99, -1])
def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "people.db"
    open_gallery(url_of(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    content = path.read_bytes()
    with pytest.raises(BadGallery, match=rf"expected gallery layout {SCHEMA_VERSION}, got {version}; a newer version"):
        open_gallery(url_of(path))
    assert path.read_bytes() == content


def test_a_damaged_file_of_layout_1_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    make_layout_1(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE templates")
    with pytest.raises(BadGallery, match="damaged"):
        open_gallery(url_of(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
