"""Milvus galleries when something fails: the connection, the disk, the engine, a file of it."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from gallery_cases import faces
from milvus_places import processes, serving

from mien.errors import ConnectionLost, GalleryError, GalleryLocked
from mien.galleries import parse_url
from mien.galleries.milvus import MilvusGallery, connection, ledger
from mien.galleries.milvus.connection import Connection
from mien.galleries.milvus.schema import collection_name


def opened(url: str, create: bool = True) -> MilvusGallery:
    return MilvusGallery(parse_url(url), create)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"milvus:///{tmp_path / 'people.db'}"


def test_a_server_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(ConnectionLost, match=r"milvus://127\.0\.0\.1:9/people: no answer") as caught:
        opened("milvus://ada:secret@127.0.0.1:9/people")
    assert "secret" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_lost_connection_is_an_error_and_nothing_is_half_enrolled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(connection, "_CALL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.5)
    with serving(tmp_path) as url:
        gallery = opened(url)
        gallery.add("Ada", faces(1))
    for call in (lambda: gallery.search(faces(1)), lambda: gallery.add("Bob", faces(1)), gallery.identities):
        with pytest.raises(ConnectionLost, match="no answer"):
            call()
    gallery.close()
    assert "Traceback" not in capfd.readouterr().err
    with serving(tmp_path) as url, opened(url) as gallery:
        assert gallery.identities() == [("Ada", 1)]


def enroll_beyond_a_file_limit(url: str, outcome: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with opened(url) as gallery:
        gallery.add("Ada", faces(1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for call in (
            lambda: gallery.add("Bob", faces(900, seed=1)),
            gallery.identities,
            lambda: gallery.add("Cleo", faces(1)),
        ):
            try:
                call()
            except GalleryError as error:
                outcome.put(str(error))


def test_a_full_disk_loses_nothing_and_is_no_empty_answer(url: str) -> None:
    outcome = processes.Queue()
    process = processes.Process(target=enroll_beyond_a_file_limit, args=(url, outcome))
    process.start()
    messages = [outcome.get(timeout=30) for _ in range(3)]
    process.join()
    assert "File too large" in messages[0]
    assert all("close the gallery and open it again" in message for message in messages[1:])
    with opened(url) as gallery:
        assert gallery.identities() == [("Ada", 1)]
        gallery.add("Bob", faces(900, seed=1))
    with opened(url) as gallery:
        assert gallery.identities() == [("Ada", 1), ("Bob", 900)]


@pytest.mark.parametrize("failing", ["insert", "commit"])
def test_a_failure_in_the_middle_enrolls_nothing(url: str, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = Connection.insert

    def broken(self: Connection, collection: str, rows: Any) -> None:
        insert(self, collection, rows[:1])
        if ("vector" in rows[0]) if failing == "insert" else (rows[0].get("kind") == "state"):
            raise GalleryError("the disk is full")

    with opened(url) as gallery:
        gallery.add("Ada", faces(1))
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "insert", broken)
            if failing == "commit":
                patched.setattr(ledger.Turn, "_add", refused(ledger.Turn._add))
            with pytest.raises(GalleryError, match="the disk is full"):
                gallery.add("Bob", faces(3, seed=1))
        assert gallery.identities() == [("Ada", 1)]
        assert gallery._access.connection.count(collection_name("default", 1), "") == 1
        gallery.add("Bob", faces(1, seed=1))
        assert gallery.identities() == [("Ada", 1), ("Bob", 1)]


def refused(really: Any) -> Any:
    def add(self: Any, kind: str, serial: int, text: Any) -> str:
        if kind == "state":
            raise GalleryError("the disk is full")
        return str(really(self, kind, serial, text))

    return add


def test_an_unanswered_commit_is_left_for_the_next_writer_to_judge(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(really: Any) -> Any:
        def add(self: Any, kind: str, serial: int, text: Any) -> str:
            key = str(really(self, kind, serial, text))
            if kind == "state":
                raise ConnectionLost("people.db: no answer from Milvus: cable pulled")
            return key

        return add

    with opened(f"{url}?timeout_s=0.1") as gallery:
        gallery.add("Ada", faces(1))
        with monkeypatch.context() as patched:
            patched.setattr(ledger.Turn, "_add", unanswered(ledger.Turn._add))
            with pytest.raises(ConnectionLost, match="whether the change was made is unknown"):
                gallery.add("Bob", faces(3, seed=1))
        assert gallery.identities() == [("Ada", 1), ("Bob", 3)]
        with pytest.raises(GalleryLocked):
            gallery.add("Cleo", faces(1, seed=2))
        monkeypatch.setattr(ledger, "LEASE_S", 0.05)
        time.sleep(0.1)
        gallery.add("Cleo", faces(1, seed=2))
        assert gallery.identities() == [("Ada", 1), ("Bob", 3), ("Cleo", 1)]


@pytest.mark.parametrize("index", ["FLAT", "HNSW"])
def test_half_an_index_file_is_made_anew(url: str, tmp_path: Path, index: str) -> None:
    with opened(f"{url}?index={index}") as gallery:
        gallery.add("Ada", faces(20))
    files = [path for path in tmp_path.rglob("indexes/*") if path.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with opened(url) as gallery:
        assert gallery.search(faces(20)[7])[0][0].score == pytest.approx(1)
        assert gallery.identities() == [("Ada", 20)]


def test_what_a_killed_engine_would_read_twice_is_read_once(url: str, tmp_path: Path) -> None:
    """As if the process had been killed between writing the files and deleting the log of what is in them."""
    with opened(url) as gallery:
        gallery.add("Ada", faces(2))
        folder = tmp_path / "people.db" / "collections" / collection_name("default", 1)
        shutil.copytree(folder / "wal", tmp_path / "wal")
        gallery._access.connection.flush(folder.name)
    assert list((tmp_path / "wal").iterdir())
    shutil.copytree(tmp_path / "wal", folder / "wal", dirs_exist_ok=True)
    with opened(url) as gallery:
        assert len(gallery) == 2
        assert gallery.identities() == [("Ada", 2)]
        assert gallery.check() == []
