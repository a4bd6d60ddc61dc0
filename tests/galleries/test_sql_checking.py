"""A check reads everything and tells of every kind of damage; it never raises for what it finds."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from itertools import pairwise
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
    gallery.put_pending([(1, faces(1, dimension=8).vectors[0])], target="other@1", mapped=False)


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
        ("DELETE FROM identities WHERE id = 2", ["1 template whose identity is missing: 3; mien gallery remove"]),
        (
            "DELETE FROM identities WHERE id BETWEEN 3 AND 14",
            ["12 templates whose identity is missing: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and more;"],
        ),
        ("INSERT INTO identities (gallery_id, id, name) VALUES (1, 999, 'x')", ["without a template", "never given"]),
        ("INSERT INTO tags (gallery_id, identity_id, tag) VALUES (1, 999, 'x')", ["1 tag whose .* missing: 999"]),
        ("UPDATE portraits SET template_id = 999 WHERE template_id = 1", ["1 portrait whose template is missing: 999"]),
        ("UPDATE pending SET template_id = 999", ["1 pending vector whose template is missing: 999"]),
        ("UPDATE galleries SET last_template = 700", ["3 templates with a number .* given out: 701, 702, 703"]),
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


@pytest.mark.parametrize("name", ["sqlite", "sqlite-encrypted", "postgresql"])
def test_work_that_takes_long_tells_how_far_it_is(name: str, tmp_path: Path) -> None:
    with opened(with_options(BACK_ENDS[name](tmp_path), "portraits=yes")) as gallery:
        fill(gallery)
        told: list[tuple[int, int]] = []

        def progress(done: int, total: int) -> None:
            told.append((done, total))

        rows = 703 + 1 + 702 + 1 + 2
        assert gallery.check(progress=progress) == []
        assert told[0] == (0, rows)
        assert told[-1] == (rows, rows)
        assert told == sorted(told)
        assert max(after[0] - before[0] for before, after in pairwise(told)) <= 500
        told.clear()
        gallery.compact(progress=progress)
        assert (told[0], told[-1]) == ((0, 2 * 703), (2 * 703, 2 * 703))
        assert told == sorted(told)


def test_what_a_teller_raises_ends_the_work(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) > 3:
            raise KeyboardInterrupt

    with opened(sqlite_url(tmp_path)) as gallery:
        gallery.add_many([(f"person {i}", faces(3, seed=i, dimension=128)) for i in range(2000)])
        for work in (gallery.check, gallery.compact):
            calls: list[int] = []
            with pytest.raises(KeyboardInterrupt):
                work(progress=stop)
            assert len(calls) == 4
        assert gallery.check() == []
        assert len(gallery) == 6000
