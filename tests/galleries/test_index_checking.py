"""A check finds every way in which the snapshot of an index is no copy of the gallery, and says how to mend it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gallery_cases import faces, sqlite_url, with_options

from mien.galleries import SqlGallery, open_gallery
from mien.matching import CODECS, SearchIndex, encode

COUNT = 1200


def opened(folder: Path, options: str = "") -> SqlGallery:
    gallery = open_gallery(with_options(sqlite_url(folder), options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def filled(folder: Path, options: str = "") -> SqlGallery:
    gallery = opened(folder, options)
    gallery.add_many([(f"person {i}", faces(2, seed=i, dimension=32)) for i in range(COUNT // 2)])
    gallery.compact()
    return gallery


def index_of(folder: Path) -> Path:
    return folder / "people.db.1.index"


def change(folder: Path, place: bytes, offset: int, value: int) -> None:
    """Flip bits of one byte of the index, some way behind where these bytes are."""
    content = bytearray(index_of(folder).read_bytes())
    content[content.index(place) + offset] ^= value
    index_of(folder).write_bytes(content)


def execute(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "people.db", isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("codec", CODECS)
def test_a_sound_index(codec: str, tmp_path: Path) -> None:
    with filled(tmp_path, f"codec={codec}") as gallery:
        assert gallery.check() == []
        gallery.remove_identity("person 7")
        gallery.add("late", faces(3, dimension=32))
        assert gallery.check() == []
    with opened(tmp_path) as gallery:
        assert gallery.check() == []
        gallery.search(faces(1, dimension=32))
        gallery.remove_template(COUNT)
        gallery.remove_identity("late")
        assert gallery.check() == []
        gallery.compact(snapshot=False)
        assert gallery.check() == []


@pytest.mark.parametrize("codec", CODECS)
def test_flipped_signs_are_found_though_searches_still_answer(codec: str, tmp_path: Path) -> None:
    filled(tmp_path, f"codec={codec}").close()
    content = bytearray(index_of(tmp_path).read_bytes())
    width = 1 if codec == "int8-only" else 4
    for id_ in (3, 4, 900):
        vector = faces(2, seed=(id_ - 1) // 2, dimension=32).vectors[(id_ - 1) % 2 :][:1]
        stored = encode(vector, "int8-only" if codec == "int8-only" else "float32").tobytes()
        start = content.index(stored)
        for number in range(0, 32, 2):
            content[start + width * number + width - 1] ^= 0x80
    index_of(tmp_path).write_bytes(content)
    with opened(tmp_path) as gallery:
        assert gallery.search(faces(1, seed=1, dimension=32))[0][0].score < 0.99
        (line,) = gallery.check()
        assert "people.db.1.index: the index is damaged: it holds other numbers than the gallery for 3 temp" in line
        assert "(3, 4, 900)" in line
        assert "mien gallery compact" in line
        gallery.compact()
        assert gallery.check() == []
    with opened(tmp_path) as gallery:
        assert gallery.search(faces(1, seed=1, dimension=32))[0][0].score == pytest.approx(1, abs=0.001)


def test_one_flipped_bit_of_a_code_or_a_scale_is_found(tmp_path: Path) -> None:
    filled(tmp_path, "codec=int8").close()
    whole = index_of(tmp_path).read_bytes()
    codes = encode(faces(2, seed=50, dimension=32).vectors, "int8-only").tobytes()
    scales = SearchIndex.load(index_of(tmp_path))[0].rows([101]).scales
    assert scales is not None
    for place in (codes, scales.tobytes()):
        change(tmp_path, place, 0, 1)
        with opened(tmp_path) as gallery:
            (line,) = gallery.check()
            assert "1 template (101)" in line
        index_of(tmp_path).write_bytes(whole)
    with opened(tmp_path) as gallery:
        assert gallery.check() == []


def test_another_identity_or_a_missing_row_is_found(tmp_path: Path) -> None:
    filled(tmp_path).close()
    index, facts = SearchIndex.load(index_of(tmp_path))
    ids = index.ids()
    vectors = index.rows(ids).vectors
    assert vectors is not None
    changed = SearchIndex(32)
    numbers = (ids + 1) // 2
    numbers[4] = 77
    kept = np.delete(np.arange(len(ids)), [10, 20])
    changed.add(ids[kept], numbers[kept], vectors[kept])
    changed.save(index_of(tmp_path), facts)
    with opened(tmp_path) as gallery:
        other, lacking = gallery.check()
        assert "other numbers than the gallery for 1 template (5)" in other
        assert "lacks 2 templates (11, 21)" in lacking
    execute(tmp_path, "DELETE FROM removals")
    changed.add([COUNT + 5], [1], faces(1, dimension=32).vectors)
    changed.add([11, 21], numbers[[10, 20]], vectors[[10, 20]])
    changed.save(index_of(tmp_path), facts)
    with opened(tmp_path) as gallery:
        other, beyond = gallery.check()
        assert f"holds what the gallery does not: 1 template ({COUNT + 5})" in beyond


@pytest.mark.parametrize("damage", [b"", b"mienidx", b"\0" * 5000, b"mienidx\x01" + b"\0" * 5000])
def test_a_file_that_is_no_index_is_told(damage: bytes, tmp_path: Path) -> None:
    filled(tmp_path).close()
    index_of(tmp_path).write_bytes(damage)
    with opened(tmp_path) as gallery:
        (line,) = gallery.check()
        assert "people.db.1.index" in line
        assert "mien gallery compact writes it anew" in line


def test_an_index_of_another_state_is_told(tmp_path: Path) -> None:
    with filled(tmp_path) as gallery:
        former = index_of(tmp_path).read_bytes()
        gallery.compact()
    index_of(tmp_path).write_bytes(former)
    with opened(tmp_path) as gallery:
        (line,) = gallery.check()
        assert "of another state of the gallery and is not used; mien gallery compact writes it anew" in line


def test_damaged_templates_are_not_blamed_on_the_index(tmp_path: Path) -> None:
    filled(tmp_path).close()
    execute(tmp_path, "UPDATE templates SET vector = x'00' WHERE id = 5")
    with opened(tmp_path) as gallery:
        (line,) = gallery.check()
        assert "number 5" in line


def test_what_has_expired_may_be_missing(tmp_path: Path) -> None:
    with filled(tmp_path, "retention_days=30") as gallery:
        execute(tmp_path, "UPDATE templates SET created = created - 31 * 86400.0 WHERE id = 9")
        with gallery._shelf.database.writing() as session:
            gallery._engine.save(session)  # type: ignore[attr-defined]
        assert len(SearchIndex.load(index_of(tmp_path))[0]) == COUNT - 1
        assert gallery.check() == []


def test_changes_meanwhile_are_no_damage(tmp_path: Path) -> None:
    with filled(tmp_path) as gallery, opened(tmp_path) as other:
        done = threading.Event()

        def remove() -> None:
            for i in range(COUNT // 2 - 60, COUNT // 2):
                other.remove_identity(f"person {i}")
            done.set()

        thread = threading.Thread(target=remove)
        thread.start()
        checks = 0
        while not done.is_set():
            assert gallery.check() == []
            checks += 1
        thread.join()
        assert checks > 1
        assert gallery.check() == []
