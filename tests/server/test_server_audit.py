"""The audit log: what it keeps, for how long, and what it never holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.server import audit
from mien.server.access import LOCAL, Caller
from mien.server.audit import AuditLog
from mien.server.state import State

RECEPTION = Caller("reception", ("read", "identify"), "abcdefghijkl")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "server.db", [audit.SCHEMA])
    yield opened
    opened.close()


@pytest.fixture
def log(state: State) -> Iterator[AuditLog]:
    opened = AuditLog(state, keep_days=30)
    yield opened
    opened.close()


def test_lines_newest_first(log: AuditLog) -> None:
    log.record(LOCAL, "enroll", "default", "Ada Lovelace", {"templates": 2}, 207)
    log.record(RECEPTION, "identify", "staff", detail={"faces": 1})
    assert log.flush()
    second, first = log.entries()
    assert (first.caller, first.key_id, first.action, first.gallery) == ("local", None, "enroll", "default")
    assert (first.detail, first.status) == ({"templates": 2}, 207)
    assert (second.caller, second.key_id, second.subject) == ("reception", "abcdefghijkl", None)
    assert first.id < second.id
    assert abs(second.at - time.time()) < 60


def test_names_are_not_in_the_file(log: AuditLog, state: State, tmp_path: Path) -> None:
    log.record(LOCAL, "enroll", "default", "Ada Lovelace")
    log.close()
    (line,) = log.entries(subject="Ada Lovelace")
    assert line.subject == log.digest("Ada Lovelace") != log.digest("Ada Lovelace ")
    assert log.entries(subject="Grace Hopper") == []
    state.close()
    for path in tmp_path.iterdir():
        assert b"Lovelace" not in path.read_bytes(), path


def test_digests_are_of_no_use_without_the_database(tmp_path: Path, log: AuditLog) -> None:
    other_state = State(tmp_path / "other.db", [audit.SCHEMA])
    other = AuditLog(other_state, keep_days=30)
    assert other.digest("Ada Lovelace") != log.digest("Ada Lovelace")
    other.close()
    again = AuditLog(other_state, keep_days=30)
    assert again.digest("Ada Lovelace") == other.digest("Ada Lovelace")
    again.close()
    other_state.close()


def test_pages_and_filters(log: AuditLog) -> None:
    for number in range(25):
        log.record(RECEPTION if number % 2 else LOCAL, "enroll" if number % 5 else "remove", f"g{number % 3}")
    log.flush()
    first = log.entries(limit=10)
    rest = log.entries(before=first[-1].id, limit=100)
    assert len(first) == 10
    assert [line.id for line in [*first, *rest]] == sorted((line.id for line in [*first, *rest]), reverse=True)
    assert len([*first, *rest]) == 25
    assert len(log.entries(caller="reception")) == 12
    assert len(log.entries(action="remove")) == 5
    assert {line.gallery for line in log.entries(gallery="g1")} == {"g1"}


def test_old_lines_go(state: State) -> None:
    with state.writing() as connection:
        for days in (10, 40):
            connection.execute(
                "INSERT INTO audit (at, caller, action, status) VALUES (?, 'local', 'enroll', 200)",
                (time.time() - days * 86_400,),
            )
    log = AuditLog(state, keep_days=30)
    assert len(log.entries()) == 1
    log.record(LOCAL, "remove")
    log.close()
    with state.reading() as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == 2


def test_closing_writes_what_waits(state: State) -> None:
    log = AuditLog(state, keep_days=30)
    for _ in range(2000):
        log.record(LOCAL, "identify")
    log.close()
    log.close()
    assert len(log.entries(limit=5000)) == 2000


def test_a_log_that_cannot_be_written_is_not_healthy(state: State) -> None:
    log = AuditLog(state, keep_days=30)
    with state.writing() as connection:
        connection.execute("ALTER TABLE audit RENAME TO hidden")
    log.record(LOCAL, "identify")
    deadline = time.monotonic() + 10
    while log.healthy:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with state.writing() as connection:
        connection.execute("ALTER TABLE hidden RENAME TO audit")
    assert log.flush(10.0)
    assert log.healthy
    assert len(log.entries()) == 1
    log.close()
