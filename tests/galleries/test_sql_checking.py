"""A check reads everything and tells of every kind of damage; it never raises for what it finds."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import BACK_ENDS, faces, sqlite_url, with_options

from mien.galleries import NewEnrollment, Portraits, SqlGallery, open_gallery


def opened(url: str) -> SqlGallery:
    gallery = open_gallery(url)
    assert isinstance(gallery, SqlGallery)
    return gallery


def fill(gallery: SqlGallery) -> None:
    portraits = Portraits([b"\xff\xd8"] * 2, np.zeros((2, 5, 2), np.float32))
    gallery.add_many([NewEnrollment("Ada", faces(2), ["staff"], portraits), ("Bob", faces(1, seed=1))])
    gallery.add_many([(f"person {i}", faces(1, seed=i)) for i in range(700)])
    gallery.begin_migration("other@1", 8)
    gallery.put_pending([(1, faces(1, dimension=8).vectors[0])], mapped=False)


@pytest.mark.parametrize("name", ["sqlite", "sqlite-encrypted", "postgresql"])
def test_a_sound_gallery(name: str, tmp_path: Path) -> None:
    with opened(with_options(BACK_ENDS[name](tmp_path), "portraits=yes")) as gallery:
        assert gallery.check() == []
        fill(gallery)
        assert gallery.check() == []
        gallery.remove_identity("Ada")
        assert gallery.check() == []


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ("UPDATE templates SET vector = x'00' WHERE id IN (5, 600)", ["number 5", "number 600"]),
        ("UPDATE templates SET vector = zeroblob(64) WHERE id = 2", ["unit norm.*number 2"]),
        ("UPDATE templates SET vector = 'text' WHERE id = 2", ["number 2"]),
        ("UPDATE templates SET vector = CAST(zeroblob(64) AS TEXT) WHERE id = 2", ["number 2"]),
        ("UPDATE pending SET vector = x'00'", ["number 1"]),
        ("UPDATE portraits SET landmarks = x'00' WHERE template_id = 2", ["landmarks of template 2"]),
        ("DELETE FROM identities WHERE id = 2", ["1 templates whose identity is missing"]),
        ("INSERT INTO identities (gallery_id, id, name) VALUES (1, 999, 'x')", ["without a template", "never given"]),
        ("INSERT INTO tags (gallery_id, identity_id, tag) VALUES (1, 999, 'x')", ["1 tags whose identity is missing"]),
        ("UPDATE portraits SET template_id = 999 WHERE template_id = 1", ["1 portraits whose template is missing"]),
        ("UPDATE pending SET template_id = 999", ["1 pending whose template is missing"]),
        ("UPDATE galleries SET last_template = 700", ["3 templates of ids that were never given out"]),
        ("UPDATE galleries SET target = 'x'", ["target of the gallery's migration is damaged"]),
    ],
)
def test_each_kind_of_damage_has_its_line(tmp_path: Path, statement: str, lines: list[str]) -> None:
    with opened(with_options(sqlite_url(tmp_path), "portraits=yes")) as gallery:
        fill(gallery)
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute(statement)
    with opened(sqlite_url(tmp_path)) as gallery:
        found = gallery.check()
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert re.search(expected, line), line


def test_a_file_damaged_by_the_page(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with opened(sqlite_url(tmp_path)) as gallery:
        fill(gallery)
    content = bytearray(path.read_bytes())
    for page in range(22, len(content) // 8192, 3):
        content[page * 8192 : page * 8192 + 4000] = b"\xa5" * 4000
    path.write_bytes(content)
    with opened(sqlite_url(tmp_path)) as gallery:
        assert gallery.check()


def test_damage_without_end_is_cut_short(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as gallery:
        fill(gallery)
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        connection.execute("UPDATE templates SET vector = x'00'")
    with opened(sqlite_url(tmp_path)) as gallery:
        found = gallery.check()
    assert len(found) == 101
    assert found[-1] == "and perhaps more"
