"""The files that jobs wait with: in the data folder, readable by their owner alone, gone when the job has ended."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mien.errors import OutputError
from mien.server.state import private_folder

__all__ = ["FULL", "Spool", "disk_told", "is_full", "written"]

FULL = "the disk is full"
"""What is told of a disk that takes no more."""

_PRIVATE = 0o600
_FULL_WORDS = ("no space left", "disk is full", "disk full", "quota exceeded", "file too large")


class Spool:
    """A folder for each job below one folder.

    Args:
        folder: the folder; it is made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, job_id: str) -> Path:
        """Where the files of a job are."""
        return self._folder / job_id

    def make(self, job_id: str) -> Path:
        """The folder of a new job.

        Raises:
            ServerError: it cannot be made.
        """
        private_folder(self._folder)
        private_folder(self.folder(job_id))
        return self.folder(job_id)

    def erase(self, job_id: str) -> None:
        """Remove a job's files; there may be none."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def sweep(self, needed: Collection[str]) -> None:
        """Remove the files of all jobs but these."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in needed:
                    self.erase(folder.name)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, readable by its owner alone.

    Raises:
        OutputError: the disk does not take it; the message names no path, since clients see it.
    """
    with disk_told():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(handle, "wb") as file:
            yield file


@contextmanager
def disk_told() -> Iterator[None]:
    """Turn the system's errors into one that clients may see.

    Raises:
        OutputError: the disk does not take it.
    """
    try:
        yield
    except OSError as error:
        # Too large for a limit of the disk's is no room left, too.
        number = errno.ENOSPC if error.errno in (errno.EDQUOT, errno.EFBIG) else error.errno
        reason = "the disk refuses them" if number is None else os.strerror(number)
        raise OutputError(f"the images cannot be kept until they are enrolled: {reason}") from error


def is_full(message: str) -> bool:
    """Whether an error's message, of whatever part of the system, says that a disk is full."""
    return any(words in message.lower() for words in _FULL_WORDS)
