"""PostgreSQL galleries when the server is restarted, killed, silent or gone, and news between processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
from postgres_server import PostgresServer, postgres_server

from mien.errors import ConnectionLost, GalleryError
from mien.galleries.sql import postgres_connections, postgres_listener
from mien.galleries.sql.postgres import PostgresDatabase
from mien.galleries.urls import parse_url

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


@pytest.fixture
def database(url: str) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(parse_url(url), create=True)
    with opened.writing() as session:
        session.execute("CREATE TABLE things (id BIGINT PRIMARY KEY)")
        session.insert("galleries", ("id", "name", "options"), [(1, "staff", "{}")])
    yield opened
    opened.close()


def count(database: PostgresDatabase) -> int:
    with database.reading() as session:
        return int(session.execute("SELECT count(*) FROM things")[0][0])


def add(database: PostgresDatabase, number: int) -> None:
    with database.writing(1) as session:
        session.execute("INSERT INTO things (id) VALUES (?)", (number,))
        database.announce(session, 1)


def pid_of(database: PostgresDatabase) -> int:
    """The server's process for the next reader."""
    with database.reading() as session:
        return int(session.execute("SELECT pg_backend_pid()")[0][0])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restarted_server_is_connected_to_again(
    database: PostgresDatabase, server: PostgresServer, how: signal.Signals
) -> None:
    add(database, 1)
    assert count(database) == 1
    server.stop(how)
    server.start()
    assert count(database) == 1
    add(database, 2)
    assert count(database) == 2


def test_without_the_server_every_call_fails_and_later_works(
    database: PostgresDatabase, server: PostgresServer
) -> None:
    add(database, 1)
    database.version()
    server.stop()
    time.sleep(0.1)
    assert database.version() != database.version()
    with pytest.raises(ConnectionLost, match="no connection to the server"):
        count(database)
    with pytest.raises(ConnectionLost, match="no connection to the server"):
        add(database, 2)
    server.start()
    assert count(database) == 1
    add(database, 2)
    assert count(database) == 2


def write_and_lose(database: PostgresDatabase, server: PostgresServer) -> None:
    with database.writing(1) as session:
        session.execute("INSERT INTO things (id) VALUES (7)")
        server.stop()
        server.start()
        session.execute("INSERT INTO things (id) VALUES (8)")


def test_a_change_that_was_cut_off_says_that_nothing_was_stored(
    database: PostgresDatabase, server: PostgresServer
) -> None:
    with pytest.raises(ConnectionLost, match="nothing was stored"):
        write_and_lose(database, server)
    assert count(database) == 0
    add(database, 1)
    assert count(database) == 1


def commit_slowly(database: PostgresDatabase) -> None:
    with database.writing() as session:
        session.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$"
        )
        session.execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION wait()"
        )


@pytest.mark.parametrize(
    ("how", "message"),
    [(signal.SIGKILL, "whether the change was stored is unknown"), (signal.SIGTERM, "nothing was stored")],
)
def test_a_commit_that_was_cut_off_says_what_is_known(
    database: PostgresDatabase, how: signal.Signals, message: str
) -> None:
    commit_slowly(database)
    with database.writing(1) as session:
        pid = int(session.execute("SELECT pg_backend_pid()")[0][0])
    killer = threading.Timer(0.3, os.kill, (pid, how))
    killer.start()
    with pytest.raises(ConnectionLost, match=message):
        add(database, 1)
    killer.join()
    # After a killed process the server starts anew, and is waited for.
    assert count(database) == 0


def test_a_server_that_hangs_is_not_waited_for_without_end(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "NO_ANSWER_S", 0.3)
    stopped = pid_of(database)
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert count(database) == 0
        assert time.monotonic() - began < 5
        assert pid_of(database) != stopped
    finally:
        os.kill(stopped, signal.SIGCONT)


def settled(database: PostgresDatabase) -> object:
    """A version that stays as long as nothing happens; the listener needs a moment to begin."""
    deadline = time.monotonic() + 10
    while (version := database.version()) != database.version():
        assert time.monotonic() < deadline, "the server's word never came"
        time.sleep(0.02)
    return version


def test_the_version_stays_until_something_happens(
    database: PostgresDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = settled(database)
    for _ in range(30):
        time.sleep(0.05)
        assert database.version() == version
    add(database, 1)
    assert database.version() != version
    version = settled(database)
    # Nobody looks for a while, and the listener lets the server alone; the first look then counts as a change.
    monkeypatch.setattr(postgres_listener, "_ASLEEP_AFTER_S", 0.1)
    time.sleep(postgres_listener.SILENCE_S + 0.5)
    assert database.version() != version


def test_a_silent_server_counts_as_changed(database: PostgresDatabase, server: PostgresServer) -> None:
    settled(database)
    name = database.place.rpartition("/")[2]
    query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND query LIKE 'SELECT 1%%'"
    ((listening,),) = server.execute(name, query, name)
    os.kill(listening, signal.SIGSTOP)
    try:
        time.sleep(postgres_listener.SILENCE_S + 0.2)
        assert database.version() != database.version()
    finally:
        os.kill(listening, signal.SIGCONT)
    settled(database)
    server.execute(name, "SELECT pg_terminate_backend(%s)", listening)
    time.sleep(0.1)
    assert database.version() != database.version()
    settled(database)


def add_and_tell(url: str, results: Connection) -> None:
    """In another process: add a thing whenever asked to, and say when that was done."""
    database = PostgresDatabase(parse_url(url), create=False)
    while (number := results.recv()) is not None:
        add(database, number)
        results.send(time.monotonic())
    database.close()


def test_what_another_process_commits_shows_at_once(
    database: PostgresDatabase, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = processes.Pipe()
    worker = processes.Process(target=add_and_tell, args=(url, there))
    worker.start()
    delays_ms = []
    for number in range(20):
        version = settled(database)
        here.send(number)
        deadline = time.monotonic() + 10
        while database.version() == version:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        seen = time.monotonic()
        delays_ms.append(1000 * (seen - here.recv()))
        assert count(database) == number + 1
    here.send(None)
    worker.join()
    assert worker.exitcode == 0
    with capsys.disabled():
        middle, most = statistics.median(delays_ms), max(delays_ms)
        sys.stdout.write(f"\nPostgreSQL: news of a commit takes {middle:.1f} ms (median), {most:.1f} ms (most)\n")
    assert max(delays_ms) < 1000


def add_many(url: str, turns: int) -> None:
    database = PostgresDatabase(parse_url(url + "?timeout_s=60"), create=False)
    for _ in range(turns):
        with database.writing(1) as session:
            (last,) = session.execute("SELECT coalesce(max(id), 0) FROM things")[0]
            session.execute("INSERT INTO things (id) VALUES (?)", (last + 1,))
            database.announce(session, 1)
    database.close()


def test_processes_that_write_to_one_gallery_take_turns(database: PostgresDatabase, url: str) -> None:
    workers = [processes.Process(target=add_many, args=(url, 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    last = 0
    while any(worker.is_alive() for worker in workers):
        with database.reading() as session:
            ((highest, rows),) = session.execute("SELECT coalesce(max(id), 0), count(*) FROM things")
        assert highest == rows >= last
        last = rows
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert count(database) == 60


def test_a_refused_statement_is_no_lost_connection(database: PostgresDatabase) -> None:
    with pytest.raises(GalleryError) as caught, database.reading() as session:
        session.execute("SELECT 1 / 0")
    assert not isinstance(caught.value, ConnectionLost)
