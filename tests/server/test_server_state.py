"""The server's own database: private, transactional, shared by threads and processes."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from mien.errors import MienError, ServerError
from mien.galleries import open_gallery
from mien.server.state import State

SCHEMA = ("CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY, word TEXT UNIQUE)",)


def opened(folder: Path) -> State:
    return State(folder / "data" / "server.db", [SCHEMA])


def words(state: State) -> list[str]:
    with state.reading() as connection:
        return [row["word"] for row in connection.execute("SELECT word FROM things ORDER BY id")]


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with state.writing() as connection:
        connection.execute("INSERT INTO things (word) VALUES ('one')")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "data").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    state.close()


def test_what_was_written_is_there_after_closing(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with state.writing() as connection:
        connection.execute("INSERT INTO things (word) VALUES ('one')")
    state.close()
    state = opened(tmp_path)
    assert words(state) == ["one"]
    state.close()


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    state = opened(tmp_path)

    def fail() -> None:
        with state.writing() as connection:
            connection.execute("INSERT INTO things (word) VALUES ('one')")
            with state.writing() as inner:
                inner.execute("INSERT INTO things (word) VALUES ('two')")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert words(state) == []
    state.close()


def test_a_constraint_is_the_caller_s_to_explain(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with pytest.raises(sqlite3.IntegrityError), state.writing() as connection:
        connection.execute("INSERT INTO things (word) VALUES ('one'), ('one')")
    assert words(state) == []
    state.close()


def test_threads_write_together(tmp_path: Path) -> None:
    states = [opened(tmp_path), opened(tmp_path)]
    failures: list[MienError] = []

    def write(state: State, start: int) -> None:
        try:
            for number in range(start, start + 20):
                with state.writing() as connection:
                    connection.execute("INSERT INTO things (word) VALUES (?)", (str(number),))
        except MienError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(states[n % 2], n * 100)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(words(states[0])) == 120
    for state in states:
        state.close()


def test_after_closing_nothing_works(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.close()
    state.close()
    with pytest.raises(ServerError, match="closed"):
        words(state)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    with open_gallery(f"sqlite:///{tmp_path}/people.db"):
        pass
    before = (tmp_path / "people.db").read_bytes()
    with pytest.raises(ServerError, match="another application"):
        State(tmp_path / "people.db", [SCHEMA])
    assert (tmp_path / "people.db").read_bytes() == before
    (tmp_path / "text.db").write_text("no database, " * 100)
    with pytest.raises(ServerError):
        State(tmp_path / "text.db", [SCHEMA])


def test_a_newer_version_s_file_is_refused(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with state.writing() as connection:
        connection.execute("PRAGMA user_version = 99")
    state.close()
    with pytest.raises(ServerError, match="newer version"):
        opened(tmp_path)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(ServerError, match="cannot be made"):
        opened(tmp_path)
