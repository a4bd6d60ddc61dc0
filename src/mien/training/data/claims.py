"""A folder that one process at a time works in, and whose work must go on with what it was begun with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from mien.errors import BadInput, OutputError

__all__ = ["FACTS", "claimed", "compared", "synced"]

FACTS = "facts.json"


def claimed(file: Path, busy: str, *, forking: bool = False) -> IO[str]:
    """Lock a file, which is made; who holds it open has the folder for itself, and dying lets go of it.

    Args:
        file: the lock.
        busy: what to tell where another process has it.
        forking: processes are forked meanwhile; they do not share the lock then, and cannot outlive it. Only other
            processes are kept out then, not another call in this one.

    Raises:
        OutputError: another process has it.
        OSError: it cannot be made.
    """
    stream = file.open("w")
    try:
        import fcntl
    except ImportError:  # not a POSIX system: the file being open is all there is
        return stream
    try:
        lock = fcntl.lockf if forking else fcntl.flock
        lock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise OutputError(busy) from error
    return stream


def compared(folder: Path, facts: Mapping[str, object], told: str) -> bool:
    """Whether work was begun with these facts before; where none was, they are kept for the next time.

    Args:
        folder: where they are kept; it is there already.
        facts: what JSON can hold.
        told: what the message says before the differences.

    Raises:
        BadInput: it was begun with others; the message shows which.
        OSError: they cannot be written.
    """
    file = folder / FACTS
    given = json.loads(json.dumps(dict(facts)))
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name in sorted({*kept, *given}) if kept.get(name) != given.get(name)]
        if changed:
            differences = "; ".join(f"{name}: was {kept.get(name)!r}, is {given.get(name)!r}" for name in changed)
            raise BadInput(f"{told}: {differences}")
        return True
    work = file.with_suffix(".part")
    work.write_text(json.dumps(given, indent=1), encoding="utf-8")
    synced(work)
    os.replace(work, file)
    return False


def synced(file: Path) -> None:
    """Wait until a file is on the disk."""
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())
