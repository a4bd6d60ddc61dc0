"""milvus-lite in this process: one server for each file, shared by all galleries that are open there."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import BadGallery, GalleryError, GalleryLocked, GalleryNotFound, MissingExtra
from mien.galleries.urls import GalleryUrl

__all__ = ["LocalServer", "attach", "detach", "require_folder"]

_POLL_S = 0.05
_UNEXPECTED = 1
_OWN_FILES = {"LOCK", "collections", "databases"}


@dataclass(eq=False)
class LocalServer:
    """A running milvus-lite.

    Attributes:
        path: its folder, absolute.
        address: where its client connects to.
        writers: for each gallery, what its writers hold in turn.
        clients: who is connected.
    """

    path: str
    address: str
    _server: Any
    _database: Any
    _folder: str
    _pid: int = field(default_factory=os.getpid)
    _users: int = 1
    _failed: bool = False
    _turn: threading.RLock = field(default_factory=threading.RLock)
    writers: dict[str, threading.Lock] = field(default_factory=dict)
    clients: list[Any] = field(default_factory=list)

    @contextmanager
    def call(self, *, changes: bool) -> Iterator[None]:
        """The inside of a call; after a change that failed in the files (no room on the disk) there is no other.

        milvus-lite would write on behind half a record of its log, and at the next start not read beyond it, and it
        forgets what it held in memory when writing that to a file fails. A new start begins from what is whole.
        """
        with self._turn:
            if self._failed:
                raise GalleryError(f"{self.path}: milvus-lite failed at a change: close the gallery and open it again")
            try:
                yield
            except Exception as error:
                self._failed = changes and getattr(error, "code", None) == _UNEXPECTED
                raise

    def drop_indexes(self, collection: str) -> bool:
        """Delete a collection's index files, which are made anew when it is loaded; whether there were any.

        milvus-lite writes them in place, so of a killed process half a file may be left, at which loading fails.
        """
        files = [*Path(self.path).glob(f"collections/{collection}/partitions/*/indexes/*")]
        for file in files:
            file.unlink(missing_ok=True)
        return bool(files)

    def stop(self) -> None:
        """Write what is in memory to the files and give them back."""
        for client in self.clients:
            client.close()
        self._server.stop(None).wait()
        self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)


# A folder lets in one server at a time, so the galleries of one process have to share it.
_running: dict[str, LocalServer] = {}
_starting = threading.Lock()


def attach(url: GalleryUrl, create: bool) -> LocalServer:
    """The server for a URL's file, started where none runs yet; every ``attach`` wants its ``detach``.

    Raises:
        MissingExtra: ``milvus-lite`` is not installed.
        BadGallery: no file there (without ``create``), or something else is there.
        GalleryLocked: another process holds the file for longer than the URL's time-out.
        GalleryError: the file cannot be made or read.
    """
    path = os.path.realpath(url.path)
    with _starting:
        server = _running.get(path)
        if server is not None and server._pid == os.getpid():
            server._users += 1
            return server
        require_folder(Path(path), create=create)
        server = _start(path, url.timeout_s)
        if not _running:
            atexit.register(_stop_all)
        _running[path] = server
        return server


def detach(server: LocalServer) -> None:
    """Stop a server when its last user leaves."""
    with _starting:
        server._users -= 1
        if server._users == 0 and server._pid == os.getpid():
            del _running[server.path]
            server.stop()


def _stop_all() -> None:
    for path in list(_running):
        server = _running.pop(path)
        if server._pid == os.getpid():
            server.stop()


def require_folder(path: Path, *, create: bool) -> None:
    """Check that there is a folder of milvus-lite or (with ``create``) room for one; makes nothing.

    Raises:
        BadGallery: something else is there, or nothing.
        GalleryError: there is no folder to make it in, or it cannot be read.
    """
    try:
        if path.is_dir():
            held = {entry.name for entry in path.iterdir()}
            if held and not held >= _OWN_FILES:
                raise BadGallery(f"{path}: a folder of something else, not of milvus-lite")
            if held or create:
                return
        elif path.exists():
            raise BadGallery(f"{path}: a file of something else; milvus-lite keeps a folder")
        if not create:
            raise GalleryNotFound(f"no gallery at {path}")
        if not path.parent.is_dir():
            raise GalleryError(f"{path}: there is no folder {path.parent}")
    except OSError as error:
        raise GalleryError(f"{path}: {error.strerror or error}") from error


def _start(path: str, timeout_s: float) -> LocalServer:
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise MissingExtra(
            "a Milvus gallery in a file needs milvus-lite 3.2: pip install 'mien[milvus]' 'milvus-lite>=3.2'"
        ) from error
    # What it logs here it also answers to its client, which is mien, and mien raises it.
    logging.getLogger("milvus_lite.adapter.grpc.servicer").addFilter(_no_record)
    folder = tempfile.mkdtemp(prefix="mien-")
    # A socket in a folder of the user's own lets no one else in, unlike a port, for which milvus-lite has no password.
    socket = os.path.join(folder, "milvus") if os.name == "posix" else None
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            try:
                host, port = ("unix", socket) if socket else ("127.0.0.1", 0)
                server, database, bound = start_server_in_thread(data_dir=path, host=host, port=port)
                break
            except DataDirLockedError as error:
                if time.monotonic() >= deadline:
                    raise GalleryLocked(f"{path}: another process has it open; milvus-lite lets in one") from error
                time.sleep(_POLL_S)
    except (MilvusLiteError, OSError, RuntimeError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise GalleryError(f"{path}: milvus-lite does not start: {error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _drop_written_logs(Path(path))
    address = f"unix:{socket}" if socket else f"http://127.0.0.1:{bound}"
    return LocalServer(path, address, server, database, folder)


def _no_record(_: logging.LogRecord) -> bool:
    return False


def _drop_written_logs(folder: Path) -> None:
    """Delete the logs of what is in the data files already.

    milvus-lite 3.2 writes its data files, then the manifest, which names the first log that is not in them, and only
    then deletes the logs. Killed before that last step it reads them again at the next start, whatever the manifest
    says, and everything in them is there twice. Collections are read when first used, so after the start, which locks
    the folder, it is still time to do what the manifest says.
    """
    for manifest in folder.glob("collections/*/manifest.json"):
        try:
            first = json.loads(manifest.read_bytes()).get("active_wal_number")
        except (OSError, ValueError, AttributeError):
            # The engine has a copy of the last manifest, and its own words for a damaged one.
            continue
        for log in manifest.parent.glob("wal/wal_*.arrow"):
            number = log.stem.rpartition("_")[2]
            if isinstance(first, int) and number.isdecimal() and int(number) < first:
                log.unlink(missing_ok=True)
