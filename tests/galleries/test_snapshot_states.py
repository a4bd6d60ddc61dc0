"""A snapshot of the index is used for the state of the gallery that it belongs to, and for no other."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from gallery_cases import faces, sqlite_url, with_options

from mien.galleries import SqlGallery, open_gallery

COUNT = 10


def opened(folder: Path, options: str = "") -> SqlGallery:
    gallery = open_gallery(with_options(sqlite_url(folder), options))
    assert isinstance(gallery, SqlGallery)
    return gallery


def name_of(number: int) -> str:
    return f"person {number}"


def compacted(folder: Path) -> Path:
    """A gallery with a snapshot; and where that is."""
    with opened(folder) as gallery:
        gallery.add_many([(name_of(i), faces(1, seed=i)) for i in range(COUNT)])
        gallery.compact()
    return folder / "people.db.1.index"


def backed_up(folder: Path) -> Path:
    """A backup of the database, as the documentation says to make it."""
    backup = folder / "backup" / "people.db"
    backup.parent.mkdir()
    with closing(sqlite3.connect(folder / "people.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    return backup


def found_by(gallery: SqlGallery) -> set[str]:
    """Who is found by their own template."""
    return {name_of(i) for i in range(COUNT) if gallery.search(faces(1, seed=i), threshold=0.99)[0]}


EVERYONE = {name_of(i) for i in range(COUNT)}


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_backup_that_is_put_back_after_a_removal_has_everyone(tmp_path: Path, mode: str) -> None:
    snapshot = compacted(tmp_path)
    backup = backed_up(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.remove_identity(name_of(3))
    shutil.copy(backup, tmp_path / "people.db")
    with opened(tmp_path, f"mode={mode}") as gallery:
        assert found_by(gallery) == EVERYONE
    assert snapshot.exists() == (mode == "ro")


def test_it_has_everyone_though_others_are_removed_meanwhile(tmp_path: Path) -> None:
    """The log of removals is then as long as the file's, and another one."""
    compacted(tmp_path)
    backup = backed_up(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.remove_identity(name_of(3))
    shutil.copy(backup, tmp_path / "people.db")
    with opened(tmp_path) as gallery:
        # A process that only changes the gallery does not read the snapshot.
        gallery.remove_identity(name_of(5))
        gallery.remove_identity(name_of(6))
    with opened(tmp_path) as gallery:
        assert found_by(gallery) == EVERYONE - {name_of(5), name_of(6)}


def test_a_backup_that_is_written_into_an_open_gallery_is_searched(tmp_path: Path) -> None:
    compacted(tmp_path)
    backup = backed_up(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.add("new", faces(1, seed=70))
        gallery.remove_identity(name_of(3))
        assert found_by(gallery) == EVERYONE - {name_of(3)}
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(tmp_path / "people.db")) as target:
            source.backup(target)
        assert found_by(gallery) == EVERYONE
        assert not gallery.search(faces(1, seed=70), threshold=0.99)[0]


def test_removals_that_the_database_knows_of_leave_the_snapshot_in_use(tmp_path: Path) -> None:
    snapshot = compacted(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.remove_identity(name_of(3))
        gallery.remove_identity(name_of(4))
    with closing(sqlite3.connect(tmp_path / "people.db", isolation_level=None)) as connection:
        # Were the templates read from here, this would be reported.
        connection.execute("UPDATE templates SET vector = x'00'")
    with opened(tmp_path) as gallery:
        assert found_by(gallery) == EVERYONE - {name_of(3), name_of(4)}
    assert snapshot.exists()


KILLED = """
import os, signal, sys
import mien.galleries.sql.snapshot as snapshot
from mien.galleries import open_gallery
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
snapshot.SnapshotFile.remove = killed
open_gallery(sys.argv[1]).finish_migration("other@1")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_the_former_space_goes_though_who_switched_was_killed(tmp_path: Path) -> None:
    snapshot = compacted(tmp_path)
    with opened(tmp_path) as gallery:
        gallery.begin_migration("other@1", 8)
        gallery.put_pending(
            [(i + 1, faces(1, seed=i, dimension=8).vectors[0]) for i in range(COUNT)], target="other@1", mapped=False
        )
    done = subprocess.run([sys.executable, "-c", KILLED, sqlite_url(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert snapshot.exists()
    with opened(tmp_path) as gallery:
        assert gallery.search(faces(1, seed=2, dimension=8, space="other@1"))[0][0].identity == name_of(2)
        assert not snapshot.exists()


@pytest.mark.parametrize("folder", ["plain", "[a] *"])
def test_a_snapshot_that_was_never_finished_goes(tmp_path: Path, folder: str) -> None:
    tmp_path = tmp_path / folder
    tmp_path.mkdir()
    snapshot = compacted(tmp_path)
    unfinished = tmp_path / ".people.db.1.index.abcdefgh"
    unfinished.write_bytes(b"templates")
    with opened(tmp_path) as gallery:
        gallery.compact()
    assert not unfinished.exists()
    unfinished.write_bytes(b"templates")
    snapshot.unlink()
    with opened(tmp_path) as gallery:
        assert found_by(gallery) == EVERYONE
    assert not unfinished.exists()


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_who_may_read_the_database_may_read_the_snapshot(tmp_path: Path, mode: int) -> None:
    open_gallery(sqlite_url(tmp_path)).close()
    (tmp_path / "people.db").chmod(mode)
    snapshot = compacted(tmp_path)
    assert stat.S_IMODE(snapshot.stat().st_mode) == mode
    with opened(tmp_path) as gallery:
        gallery.remove_identity(name_of(1))
    assert stat.S_IMODE(snapshot.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give a file away")
def test_the_snapshot_belongs_to_whom_the_database_belongs(tmp_path: Path) -> None:
    open_gallery(sqlite_url(tmp_path)).close()
    os.chown(tmp_path / "people.db", 65534, 65534)
    status = compacted(tmp_path).stat()
    assert (status.st_uid, status.st_gid) == (65534, 65534)
