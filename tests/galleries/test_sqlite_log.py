"""What was removed leaves the write-ahead log as soon as nobody reads an older state any more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from gallery_cases import faces, sqlite_url

from mien.errors import GalleryLocked
from mien.galleries import SqlGallery, open_gallery
from mien.galleries.sql.sqlite import SqliteDatabase

COUNT = 600


def opened(folder: Path) -> SqlGallery:
    gallery = open_gallery(sqlite_url(folder))
    assert isinstance(gallery, SqlGallery)
    return gallery


def holds(folder: Path, number: int) -> bool:
    trace = faces(COUNT, dimension=128).vectors[number].tobytes()
    return any(trace in (folder / f"people.db{end}").read_bytes() for end in ("", "-wal"))


def test_a_removal_during_a_long_reading_is_erased_after_it(tmp_path: Path) -> None:
    templates = faces(COUNT, dimension=128)
    with opened(tmp_path) as gallery, opened(tmp_path) as reader:
        gallery.add_many([(f"person {i}", templates[i]) for i in range(COUNT // 2)])
        blocks = reader.blocks(rows=5)
        next(blocks)
        gallery.add_many([(f"person {i}", templates[i]) for i in range(COUNT // 2, COUNT)])
        gallery.remove_identity("person 500")
        # The reader's state begins before that, and has to stay in the log.
        assert holds(tmp_path, 500)
        assert sum(map(len, blocks)) == COUNT // 2 - 5
        deadline = time.monotonic() + 30
        while holds(tmp_path, 500) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not holds(tmp_path, 500)
        assert holds(tmp_path, 499)


def test_closing_does_it_at_once_where_nobody_reads(tmp_path: Path) -> None:
    templates = faces(COUNT, dimension=128)
    reader = opened(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.add_many([(f"person {i}", templates[i]) for i in range(COUNT)])
        blocks = reader.blocks(rows=5)
        next(blocks)
        gallery.remove_identity("person 500")
        assert holds(tmp_path, 500)
        assert sum(map(len, blocks)) == COUNT - 5
    # The other one is still open, so the log is still there.
    assert (tmp_path / "people.db-wal").exists()
    assert not holds(tmp_path, 500)
    reader.close()


def test_who_does_not_want_to_wait_does_not(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        ours, theirs = one._shelf.database, other._shelf.database
        assert isinstance(ours, SqliteDatabase)
        with theirs.writing():
            began = time.monotonic()
            with pytest.raises(GalleryLocked), ours.writing(wait=False):
                pass
            assert time.monotonic() - began < 4
        with ours.writing(wait=False) as session:
            assert session.execute("SELECT 1") == [(1,)]
        one.add("Ada", faces(1))
