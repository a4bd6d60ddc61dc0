"""Several processes on one file, killed processes, locks held too long and a full disk."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from gallery_cases import faces

from mien.errors import GalleryError, GalleryLocked
from mien.galleries import SqlGallery, open_gallery
from mien.galleries.sql import removing
from mien.galleries.sql.sqlite import SqliteDatabase

TEMPLATES_PER_PERSON = 3

# Forked, not spawned: quick. A process must be forked before this one opens the file, for SQLite's locks do not
# survive a fork.
processes = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'people.db'}"


def enroll_until_killed(url: str, worker: int, acknowledged: Connection) -> None:
    """Enroll one person after another and report each only when ``add`` has returned."""
    with open_gallery(url) as gallery:
        for turn in range(1_000_000):
            name = f"{worker}-{turn}"
            if turn % 3:
                gallery.add(name, faces(TEMPLATES_PER_PERSON, seed=turn, dimension=128))
            else:
                gallery.add_many([(name, faces(1, seed=turn + i, dimension=128)) for i in range(TEMPLATES_PER_PERSON)])
            acknowledged.send(name)


def received(connection: Connection) -> list[str]:
    names = []
    try:
        while connection.poll():
            names.append(connection.recv())
    except EOFError:
        pass
    return names


def test_a_killed_process_loses_nothing_it_reported(url: str) -> None:
    rng = random.Random(0)
    promised: set[str] = set()
    kills = 0
    while kills < 30:
        workers = []
        for _ in range(2):
            reading, writing = processes.Pipe(duplex=False)
            worker = processes.Process(target=enroll_until_killed, args=(url, kills, writing))
            worker.start()
            writing.close()
            workers.append((worker, reading))
            kills += 1
        assert workers[0][1].poll(30)
        time.sleep(rng.uniform(0, 0.04))
        for worker, reading in workers:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            assert worker.exitcode == -signal.SIGKILL
            promised.update(received(reading))
            reading.close()
            worker.close()
        with open_gallery(url) as gallery:
            stored = dict(gallery.identities())
            assert promised <= set(stored)
            assert set(stored.values()) == {TEMPLATES_PER_PERSON}
            # At most the one enrollment under way in each killed process was stored without being reported.
            assert len(stored) - len(promised) <= kills
            promised = set(stored)
    assert len(promised) > 30
    with open_gallery(url) as gallery:
        assert len(gallery) == TEMPLATES_PER_PERSON * len(promised)
        name = f"{kills - 1}-1" if f"{kills - 1}-1" in promised else min(promised)
        probe = gallery.templates(name)[1]
        assert any(match.identity == name for match in gallery.search(probe[0], top=200)[0])


def change(url: str, worker: int, rounds: int) -> None:
    with open_gallery(url) as gallery:
        for turn in range(rounds):
            gallery.add(f"{worker}-{turn}", faces(2, seed=worker * 1000 + turn))
            if turn % 2:
                gallery.remove_identity(f"{worker}-{turn - 1}")


def change_when(allowed: Event, url: str) -> None:
    allowed.wait()
    change(url, 0, 1)


def test_processes_that_open_and_change_one_new_file_at_once(url: str) -> None:
    workers = [processes.Process(target=change, args=(url, worker, 10)) for worker in range(4)]
    for worker in workers:
        worker.start()
    with open_gallery(url) as gallery:
        while any(worker.is_alive() for worker in workers):
            gallery.search(faces(1), top=3)
            time.sleep(0.002)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        expected = sorted((f"{worker}-{turn}", 2) for worker in range(4) for turn in range(1, 10, 2))
        assert gallery.identities() == expected
        found = gallery.search(faces(1), top=1000)[0]
        assert sorted(match.identity for match in found) == [name for name, _ in expected]


def test_what_another_handle_changes_is_seen_at_once(url: str) -> None:
    with open_gallery(url) as here, open_gallery(url) as there:
        assert here.search(faces(1)) == [[]]
        there.add("Ada", faces(2))
        assert here.search(faces(1))[0][0].identity == "Ada"
        there.add("Bob", faces(1, seed=1))
        there.remove_identity("Ada")
        assert [match.identity for match in here.search(faces(1), top=5)[0]] == ["Bob"]
        there.add("Ada", faces(1))
        first, _ = there.templates("Ada")
        there.add("Ada", faces(1, seed=2))
        there.remove_template(first[0])
        assert sorted(match.identity for match in here.search(faces(1), top=5)[0]) == ["Ada", "Bob"]
        assert here.space == there.space


def test_a_handle_far_behind_reads_everything_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "KEPT_REMOVALS", 3)
    with open_gallery(url) as here, open_gallery(url) as there:
        there.add_many([(f"{i}", faces(1, seed=i)) for i in range(12)])
        assert len(here.search(faces(1), top=99)[0]) == 12
        for i in range(9):
            there.remove_identity(f"{i}")
        assert sorted(match.identity for match in here.search(faces(1), top=99)[0]) == ["10", "11", "9"]
        there.remove_identity("9")
        assert sorted(match.identity for match in here.search(faces(1), top=99)[0]) == ["10", "11"]


@contextmanager
def write_lock(url: str) -> Iterator[None]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_lock_held_too_long_is_reported_and_searching_goes_on(url: str) -> None:
    with open_gallery(f"{url}?timeout_s=0.1") as gallery:
        gallery.add("Ada", faces(1))
        with write_lock(url):
            for change_it in (lambda: gallery.add("Bob", faces(1)), lambda: gallery.remove_identity("Ada")):
                with pytest.raises(GalleryLocked, match="another process is writing"):
                    change_it()
            with pytest.raises(GalleryLocked), open_gallery(f"{url}?timeout_s=0.1&name=staff"):
                pass
            assert gallery.search(faces(1))[0][0].identity == "Ada"
            with open_gallery(f"{url}?timeout_s=0.1", create=False) as another:
                assert another.identities() == [("Ada", 1)]
        gallery.add("Bob", faces(1))
        assert gallery.identities() == [("Ada", 1), ("Bob", 1)]


def test_a_short_lock_is_waited_for(url: str) -> None:
    locked = processes.Event()
    worker = processes.Process(target=change_when, args=(locked, url))
    worker.start()
    with open_gallery(url) as gallery:
        with write_lock(url):
            locked.set()
            time.sleep(0.3)
            assert worker.is_alive()
            assert gallery.identities() == []
        worker.join()
        assert worker.exitcode == 0
        assert gallery.identities() == [("0-0", 2)]


def test_a_full_disk_stores_nothing_by_halves(url: str) -> None:
    with open_gallery(url) as gallery:
        assert isinstance(gallery, SqlGallery)
        gallery.add("Ada", faces(1, dimension=128))
        database = gallery._shelf.database
        assert isinstance(database, SqliteDatabase)
        writer = database._writer
        assert writer is not None
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(GalleryError, match=r"no room left on the disk.*nothing was changed"):
            gallery.add_many([(f"person {i}", faces(1, seed=i, dimension=128)) for i in range(500)])
        assert gallery.identities() == [("Ada", 1)]
        assert [m.identity for m in gallery.search(faces(1, dimension=128), top=9)[0]] == ["Ada"]
        writer.execute("PRAGMA max_page_count = 1000000")
        gallery.add("Bob", faces(1, dimension=128))
    with open_gallery(url) as gallery:
        assert gallery.identities() == [("Ada", 1), ("Bob", 1)]


def enroll_beyond_a_file_limit(url: str, outcome: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(1, dimension=128))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            gallery.add("Bob", faces(2000, dimension=128))
        except GalleryError as error:
            outcome.send((type(error).__name__, gallery.identities(), len(gallery.search(faces(1, dimension=128))[0])))


def test_a_write_that_the_system_refuses_stores_nothing_by_halves(url: str) -> None:
    reading, writing = processes.Pipe(duplex=False)
    worker = processes.Process(target=enroll_beyond_a_file_limit, args=(url, writing))
    worker.start()
    writing.close()
    assert reading.recv() == ("GalleryError", [("Ada", 1)], 1)
    worker.join()
    with open_gallery(url) as gallery:
        assert gallery.identities() == [("Ada", 1)]


def use_after_fork(gallery: SqlGallery) -> str:
    """The error that a forked child gets from its parent's gallery."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            gallery.search(faces(1))
        except GalleryError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        message = pipe.read()
    os.waitpid(child, 0)
    return message


def test_a_forked_child_is_told_to_open_the_gallery_again(url: str) -> None:
    with open_gallery(url) as gallery:
        assert isinstance(gallery, SqlGallery)
        gallery.add("Ada", faces(1))
        assert "opened before this process was forked" in use_after_fork(gallery)
        assert gallery.search(faces(1))[0][0].identity == "Ada"
