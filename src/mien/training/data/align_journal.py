"""What of a folder of chips is done: a line for each photo; work that was cut off goes on behind the last one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mien.errors import OutputError
from mien.training.data.claims import FACTS, claimed, compared
from mien.training.data.naming import FileNames
from mien.training.data.preparing import Prepared, Refused
from mien.training.data.unpacking import write_file

__all__ = ["AlignJournal", "Row"]

Row = tuple[str, str, "tuple[float, ...] | None", str]
"""Of the table of chips: path, identity, landmarks, license."""

_FOLDER, _LINES = ".aligning", "done.jsonl"


@dataclass(frozen=True, slots=True)
class _Written:
    """A chip that is there, as a line tells of it."""

    name: str
    identity: str
    suffix: str
    landmarks: tuple[float, ...] | None
    license: str
    path: str
    digest: str


class AlignJournal:
    """The journal of a folder of chips; one process at a time has it.

    A line is written after the chip it tells of. Going on, lines count up to the first that was cut off, or whose chip
    is gone or is not what was written; what comes after is done anew.

    Args:
        folder: the chips'; made if need be.
        facts: what the chips depend on: work that goes on must have the same.

    Attributes:
        rows: of the table, so far.
        refused: the photos without a chip, so far.
        resumed: how many photos an earlier run has done.

    Raises:
        BadInput: an earlier run had other facts; the message shows which.
        OutputError: the folder holds something else, another process works in it, or it cannot be written.
    """

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self._out, self._place = folder, folder / _FOLDER
        self._names = FileNames()
        self.rows: list[Row] = []
        self.refused: list[Refused] = []
        begun = (self._place / FACTS).is_file()
        if not begun and folder.exists() and not (folder.is_dir() and set(os.listdir(folder)) <= {_FOLDER}):
            raise OutputError(
                f"{folder}: expected a folder that is not there yet, is empty, or where aligning was cut off"
            )
        self._place.mkdir(parents=True, exist_ok=True)
        self._lock = claimed(self._place / "lock", f"{folder}: another process is aligning there")
        try:
            compared(self._place, facts, f"{folder}: aligning was begun with other settings")
            whole = self._read() if begun else 0
            self._lines = (self._place / _LINES).open("r+b" if begun and whole else "wb")
            self._lines.truncate(whole)
            self._lines.seek(whole)
        except BaseException:
            self._lock.close()
            raise
        self.resumed = len(self.rows) + len(self.refused)

    def add(self, item: Prepared | Refused, license_: str) -> None:
        """Write a chip, and that it is done; or that there is none.

        Args:
            item: what has become of the next photo.
            license_: of images that have none of their own.

        Raises:
            OSError: it cannot be written.
        """
        if isinstance(item, Refused):
            self.refused.append(item)
            line: dict[str, Any] = {"refused": asdict(item)}
        else:
            license_ = license_ if item.license is None else item.license
            path = self._names.path(item.identity, item.name, item.suffix).as_posix()
            write_file(self._out / path, item.data)
            digest = _digest(item.data)
            made = _Written(item.name, item.identity, item.suffix, item.landmarks, license_, path, digest)
            self.rows.append((path, made.identity, made.landmarks, made.license))
            line = {"chip": asdict(made)}
        self._lines.write(json.dumps(line).encode() + b"\n")
        self._lines.flush()

    def remove(self) -> None:
        """Remove the journal: all is done."""
        self.close()
        (self._place / FACTS).unlink(missing_ok=True)
        shutil.rmtree(self._place, ignore_errors=True)

    def close(self) -> None:
        """Let another process have it."""
        self._lines.close()
        self._lock.close()

    def __enter__(self) -> AlignJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> int:
        """Take up the lines that are whole; how many bytes they are."""
        file, whole = self._place / _LINES, 0
        if not file.is_file():
            return 0
        with file.open("rb") as stream:
            for text in stream:
                try:
                    line = json.loads(text) if text.endswith(b"\n") else {}
                    if "refused" in line:
                        self.refused.append(Refused(**line["refused"]))
                    else:
                        points = line["chip"].pop("landmarks")
                        made = _Written(landmarks=None if points is None else tuple(points), **line["chip"])
                        chip = self._out / made.path
                        if not chip.is_file() or _digest(chip.read_bytes()) != made.digest:
                            break
                        # The names that are given out from here on depend on those before.
                        self._names.path(made.identity, made.name, made.suffix)
                        self.rows.append((made.path, made.identity, made.landmarks, made.license))
                except (ValueError, KeyError, TypeError):
                    break
                whole += len(text)
        return whole


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
