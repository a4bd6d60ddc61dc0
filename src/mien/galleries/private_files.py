"""Files of templates: readable by their owner alone, and there as a whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mien.errors import OutputError

__all__ = ["make_private", "replacing_private", "written_at"]

_PRIVATE = 0o600


@contextmanager
def replacing_private(path: str) -> Iterator[str]:
    """A new file beside ``path`` to write to, moved there when the block ends well, else removed.

    A new file may be read and written by its owner alone; one that takes the place of another gets that one's mode.

    Raises:
        OutputError: the folder or the disk does not take it; the message names ``path``.
    """
    with written_at(path):
        folder, name = os.path.split(os.path.abspath(path))
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=os.path.splitext(name)[1], dir=folder)
        os.close(handle)
        try:
            yield temporary
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


@contextmanager
def written_at(path: str) -> Iterator[None]:
    """Turn the system's errors into one that names ``path``, whatever file it was.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        # Libraries put names of files into the text of the error, and more than one line.
        reason = os.strerror(error.errno) if error.errno is not None else str(error).partition("\n")[0]
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def make_private(path: str) -> None:
    """Make an empty file that its owner alone may read and write, if there is none.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        try:
            # Opening and closing it would drop the locks that this process may have on it already.
            os.mknod(path, stat.S_IFREG | _PRIVATE)
        except (AttributeError, PermissionError):
            # Windows has no such call, and macOS forbids it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
