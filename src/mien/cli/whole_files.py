"""Result files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError

__all__ = ["replacing", "require_place"]


def require_place(out: Path, *, overwrite: bool) -> None:
    """Check that a result file can be made; makes nothing.

    Args:
        out: where.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OutputError: its folder does not exist, or there is a file.
    """
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.absolute().parent}")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: there is a file already; --overwrite replaces it")


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """A path beside ``destination`` to write to, moved there when the block ends well, else removed.

    One writer at a time: the path's name is always the same.

    Raises:
        OutputError: the file cannot be written; told of ``destination``, whatever the block says.
    """
    temporary = destination.with_name(f".part-{destination.name}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # A folder that may not be written is found out before the work begins.
        temporary.touch()
        try:
            yield temporary
            with open(temporary, "r+b") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, destination)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written: {_reason(error)}") from error
    except OutputError as error:
        if str(temporary) not in str(error):
            raise
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno is not None:
            raise OutputError(f"{destination}: cannot be written: {_reason(cause)}") from error
        raise OutputError(str(error).replace(str(temporary), str(destination))) from error


def _reason(error: OSError) -> str:
    # Libraries that are not Python's put whole sentences, with the path again, where the system's words belong.
    return os.strerror(error.errno) if error.errno is not None else str(error)
