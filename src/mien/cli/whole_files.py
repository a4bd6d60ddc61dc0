"""Result files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError

__all__ = ["replacing"]


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """A path beside ``destination`` to write to, moved there when the block ends well, else removed.

    One writer at a time: the path's name is always the same.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary = destination.with_name(f".part-{destination.name}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "r+b") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, destination)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror if error.strerror else str(error)
        raise OutputError(f"{destination}: cannot be written: {reason}") from error
