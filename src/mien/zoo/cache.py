"""The cache folder: where it is, whole-file writes, and one worker at a time.

Files appear under their final name complete or not at all: they are written beside it, flushed to the disk
and moved. Every writer holds a lock, so that two processes that start at once do the work once.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import platformdirs

from mien.errors import CacheError, HashMismatch

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["cache_dir", "locked", "replacing", "require_sha256", "sha256_of", "write_text", "writing"]

_BLOCK = 1 << 20
_LOCK_TIMEOUT_S = 1800.0


def cache_dir() -> Path:
    """The folder for models, the user's cards and consents: ``MIEN_CACHE``, else the system's place for caches.

    The environment is read at each call; nothing is created.
    """
    chosen = os.environ.get("MIEN_CACHE", "")
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("mien"))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into ``CacheError`` naming ``path``.

    Raises:
        CacheError: permission denied, disk full, a file where a folder should be.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror if error.strerror else str(error)
        hint = "free some space or set MIEN_CACHE to a folder that can be written"
        raise CacheError(f"cannot write {path}: {reason}; {hint}") from error


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """A path beside ``destination`` to write to, moved there when the block ends well, else removed.

    The caller holds the lock that guards ``destination``: the path's name is always the same.

    Raises:
        CacheError: the file cannot be written.
    """
    temporary = destination.with_name(f".part-{destination.name}")
    with writing(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "r+b") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, destination)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(destination: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all; the caller holds the lock that guards ``destination``.

    Raises:
        CacheError: the file cannot be written.
    """
    with replacing(destination) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def locked(name: str, *, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the cache's lock ``name`` in this block; other threads and processes wait for it.

    The operating system frees the lock of a process that dies. It does not count: a thread that asks for a
    lock it holds waits for itself.

    Raises:
        CacheError: the lock cannot be made, or stayed taken for ``timeout_s`` seconds.
    """
    path = cache_dir() / "locks" / f"{name}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a+b")  # noqa: SIM115
    with handle:
        deadline, pause_s = time.monotonic() + timeout_s, 0.005
        while not _try_lock(handle, path):
            if time.monotonic() > deadline:
                raise CacheError(f"another process has held {path} for more than {timeout_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)
        try:
            yield
        finally:
            _unlock(handle)


if sys.platform == "win32":

    def _try_lock(handle: BinaryIO, path: Path) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: BinaryIO) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(handle: BinaryIO, path: Path) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise CacheError(f"cannot lock {path}: {error.strerror}") from error
        return True

    def _unlock(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 lower-case hex digits, about 1 ms a megabyte.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as handle:
        while count := handle.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def require_sha256(path: Path, expected: str) -> None:
    """Check a file against its sha256.

    Raises:
        HashMismatch: the file is another one.
        OSError: the file cannot be read.
    """
    actual = sha256_of(path)
    if actual != expected:
        raise HashMismatch(f"{path}: expected sha256 {expected}, got {actual}")
