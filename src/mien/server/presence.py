"""Which of the server's processes are still there, told by locks that the system drops when a process ends.

A process may be killed at any moment, and its number given to another one. So each process gives itself a random name
and holds a lock on a file of that name as long as it lives; whoever can take the lock knows that the process is gone.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from mien.errors import ServerError
from mien.server.state import private_folder

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt

__all__ = ["Presence"]

_PRIVATE = 0o600


class Presence:
    """This process's lock among those of the other processes of the server.

    Args:
        folder: where the locks are; all processes of a server use the same. It is made if there is none.

    Attributes:
        name: the random name of this process.

    Raises:
        ServerError: the folder or the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self.name = secrets.token_hex(16)
        self._folder = folder
        unnamed = folder / f"{self.name}.new"
        try:
            self._handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE)
            _lock(self._handle, shared=False)
            # Under its name, the file is never seen without its lock.
            os.rename(unnamed, self._path(self.name))
        except OSError as error:
            raise ServerError(f"{unnamed}: cannot be made: {error.strerror}") from error
        self._sweep()

    def is_there(self, name: str) -> bool:
        """Whether the process of that name still lives."""
        try:
            handle = os.open(self._path(name), os.O_RDWR)
        except OSError:
            return False
        try:
            _lock(handle, shared=True)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def close(self) -> None:
        """Be gone; closing twice is fine."""
        if self._handle >= 0:
            with suppress(OSError):
                self._path(self.name).unlink()
            os.close(self._handle)
            self._handle = -1

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _sweep(self) -> None:
        """Remove the files of processes that are gone; names are never used again."""
        for path in self._folder.glob("*.lock"):
            if not self.is_there(path.stem):
                with suppress(OSError):
                    path.unlink()


def _lock(handle: int, *, shared: bool) -> None:
    """Take the lock without waiting, or raise OSError; those who only ask do not stand in each other's way."""
    if sys.platform != "win32":
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    else:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
