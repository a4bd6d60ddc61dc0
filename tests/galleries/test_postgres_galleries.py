"""Galleries in PostgreSQL that several processes share, when processes are killed and servers restarted."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from gallery_cases import faces
from postgres_server import PostgresServer, postgres_server

from mien.errors import BadGallery, ConnectionLost, GalleryError
from mien.galleries import galleries_at, open_gallery, parse_url
from mien.galleries.opening import require_free

KILLING = Path(__file__).with_name("killing.py")

# Forked, not spawned: quick. A child opens connections of its own.
processes = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    running = postgres_server()
    yield running
    running.recover()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.url(server.emptied_database())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_killed_process_loses_nothing_it_reported(url: str) -> None:
    done = subprocess.run([sys.executable, str(KILLING), url, "20", "1"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["wrong"] == []
    assert report["returned"] >= 20
    assert report["under_way"] > 0


def test_what_was_reported_survives_a_crash_of_the_server(url: str, server: PostgresServer) -> None:
    reported: list[str] = []
    refused: list[GalleryError] = []

    def enroll() -> None:
        turn = 0
        while not refused:
            name = f"person {turn}"
            try:
                gallery.add(name, faces(2, seed=turn))
            except GalleryError as error:
                refused.append(error)
            else:
                reported.append(name)
            turn += 1

    with open_gallery(url) as gallery:
        worker = threading.Thread(target=enroll)
        worker.start()
        while len(reported) < 20:
            time.sleep(0.01)
        server.stop(signal.SIGQUIT)
        worker.join()
        assert isinstance(refused[0], ConnectionLost)
        server.start()
        stored = dict(gallery.identities())
        assert set(reported) <= set(stored)
        assert len(stored) <= len(reported) + 1
        assert set(stored.values()) == {2}
        assert gallery.search(faces(1, seed=3))[0][0].identity == "person 3"


def test_a_search_never_answers_from_what_may_be_out_of_date(url: str, server: PostgresServer) -> None:
    with open_gallery(url) as gallery:
        gallery.add("Ada", faces(1))
        for _ in range(3):
            assert gallery.search(faces(1))[0][0].identity == "Ada"
            time.sleep(0.2)
        server.stop()
        time.sleep(0.1)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="no connection to the server"):
                gallery.search(faces(1))
        with pytest.raises(ConnectionLost, match="no connection to the server"):
            gallery.add("Bob", faces(1, seed=1))
        server.start()
        with open_gallery(url) as other:
            other.remove_identity("Ada")
            other.add("Bob", faces(1, seed=1))
        assert [match.identity for match in gallery.search(faces(1), top=5)[0]] == ["Bob"]
        gallery.add("Cleo", faces(1, seed=2))
        assert gallery.identities() == [("Bob", 1), ("Cleo", 1)]


def enroll_when_asked(url: str, orders: Connection) -> None:
    with open_gallery(url) as gallery:
        while (number := orders.recv()) is not None:
            gallery.add(f"person {number}", faces(1, seed=number))
            orders.send(time.monotonic())


def test_who_another_process_enrolls_is_found_within_a_second(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = processes.Pipe()
    worker = processes.Process(target=enroll_when_asked, args=(url, there))
    worker.start()
    delays_ms = []
    with open_gallery(url) as gallery:
        for number in range(15):
            here.send(number)
            deadline = time.monotonic() + 30
            while not any(m.identity == f"person {number}" for m in gallery.search(faces(1, seed=number))[0]):
                assert time.monotonic() < deadline
            delays_ms.append(1000 * (time.monotonic() - here.recv()))
            time.sleep(0.05)
    here.send(None)
    worker.join()
    assert worker.exitcode == 0
    with capsys.disabled():
        middle, most = statistics.median(delays_ms), max(delays_ms)
        sys.stdout.write(
            f"\nPostgreSQL: found by another process after {middle:.1f} ms (median), {most:.1f} ms (most)\n"
        )
    assert max(delays_ms) < 1000


def change(url: str, worker: int, rounds: int) -> None:
    with open_gallery(url) as gallery:
        for turn in range(rounds):
            gallery.add(f"{worker}-{turn}", faces(2, seed=worker * 1000 + turn))
            if turn % 2:
                gallery.remove_identity(f"{worker}-{turn - 1}")


def test_processes_that_open_and_change_one_new_gallery_at_once(url: str) -> None:
    workers = [processes.Process(target=change, args=(url, worker, 6)) for worker in range(3)]
    for worker in workers:
        worker.start()
    with open_gallery(url) as gallery:
        while any(worker.is_alive() for worker in workers):
            gallery.search(faces(1), top=3)
            time.sleep(0.002)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        expected = sorted((f"{worker}-{turn}", 2) for worker in range(3) for turn in range(1, 6, 2))
        assert gallery.identities() == expected
        found = gallery.search(faces(1), top=1000)[0]
        assert sorted(match.identity for match in found) == [name for name, _ in expected]


def test_several_galleries_share_a_database(url: str) -> None:
    require_free(parse_url(url))
    with pytest.raises(BadGallery, match="no gallery at"):
        galleries_at(url)
    for name in ("staff", "guests", "山田's"):
        with open_gallery(f"{url}?name={name}&codec=int8") as gallery:
            gallery.add("Ada", faces(2, seed=len(name)))
    assert [(summary.name, summary.templates) for summary in galleries_at(url)] == [
        ("guests", 2),
        ("staff", 2),
        ("山田's", 2),
    ]
    with pytest.raises(BadGallery, match=r"no gallery named 'default'.*guests, staff"):
        open_gallery(url, create=False)
    with pytest.raises(BadGallery, match="codec=int8"):
        open_gallery(f"{url}?name=staff&codec=float32")
    with open_gallery(f"{url}?name=staff&mode=ro") as reader:
        assert reader.search(faces(1, seed=5))[0][0].identity == "Ada"
        with pytest.raises(GalleryError, match="read-only"):
            reader.add("Bob", faces(1))


def test_the_audit_log_cannot_be_rewritten(url: str, server: PostgresServer) -> None:
    import psycopg

    name = url.rpartition("/")[2]
    with open_gallery(f"{url}?audit=all&actor=tester") as gallery:
        gallery.add("Ada", faces(1))
        gallery.search(faces(1))
        assert len([*gallery.audit_log()]) == 2  # type: ignore[attr-defined]
        for statement in ("DELETE FROM mien.audit", "UPDATE mien.audit SET actor = 'x'", "TRUNCATE mien.audit"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                server.execute(name, statement)
        assert len([*gallery.audit_log()]) == 2  # type: ignore[attr-defined]


def test_compacting_erases_the_removed_from_the_tables(url: str, server: PostgresServer) -> None:
    name = url.rpartition("/")[2]
    gone, kept = faces(1, seed=1, dimension=128), faces(1, seed=2, dimension=128)
    with open_gallery(url) as gallery:
        gallery.add_many([(f"person {i}", faces(1, seed=100 + i, dimension=128)) for i in range(50)])
        gallery.add("Erased Person", gone)
        gallery.add("Kept Person", kept)
        gallery.remove_identity("Erased Person")
        gallery.compact()  # type: ignore[attr-defined]
    server.execute(name, "CHECKPOINT")
    ((number,),) = server.execute(name, "SELECT oid FROM pg_database WHERE datname = %s", name)
    held = b"".join(path.read_bytes() for path in (server.data / "base" / f"{number}").iterdir())
    assert kept.vectors.tobytes() in held
    assert b"Kept Person" in held
    assert gone.vectors.tobytes() not in held
    assert b"Erased Person" not in held
