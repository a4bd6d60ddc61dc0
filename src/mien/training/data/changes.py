"""Lists of what cleaning and merging change: a CSV line for each row, with the reason and the numbers."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.errors import OutputError

__all__ = ["CHANGES_FILE", "Change", "require_free", "write_rows"]

CHANGES_FILE = "changes.csv"
"""Beside the index that was written: every row that was removed or got another person, and why."""

_DIGITS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one image.

    Attributes:
        action: ``removed``, ``relabeled``, or ``kept`` where something is wrong that nobody but a person can settle.
        reason: ``wrong_label``, ``outlier``, ``near_duplicate``, ``duplicate_elsewhere``, ``unreadable``,
            ``ambiguous``; of merging ``same_person``, ``same_bytes``, ``name_taken``.
        pack: the index it is from.
        row: its row there.
        name: where the image came from.
        identity: whom it was said to show.
        new_identity: whom it shows now; empty if it was removed.
        own_score: with the center of the person it was said to show, or None.
        other_identity: the person who is more like it, or whose it is.
        other_score: with that person's center, or None.
        compared_pack: the index of the image it was compared with; empty for none.
        compared_row: that image's row, or None.
        compared_name: that image's name.
        compared_score: of the two images' templates, or None.
        hash_bits: how many of 64 bits of the two images' hashes differ, or None.
        correlation: of the two images' pixels, or None.
    """

    action: str
    reason: str
    pack: str
    row: int
    name: str
    identity: str
    new_identity: str = ""
    own_score: float | None = None
    other_identity: str = ""
    other_score: float | None = None
    compared_pack: str = ""
    compared_row: int | None = None
    compared_name: str = ""
    compared_score: float | None = None
    hash_bits: int | None = None
    correlation: float | None = None


def write_rows(file: Path, kind: type[Any], rows: Sequence[Any]) -> None:
    """Write dataclass objects as a CSV file with a column for each field; it appears whole or not at all.

    Args:
        file: where.
        kind: their class.
        rows: the objects.

    Raises:
        OutputError: it cannot be written.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    work = file.with_name(f".part-{os.getpid()}-{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with work.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(names)
                writer.writerows([_shown(getattr(row, name)) for name in names] for row in rows)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(work, file)
        finally:
            work.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error


def require_free(out: Path, lists: Sequence[str]) -> None:
    """Check that an index can be written into a folder: it is new, empty, or holds no more than the lists of a try.

    Args:
        out: the folder.
        lists: names of files that may be there.

    Raises:
        OutputError: something else is there.
    """
    if not out.exists():
        return
    found = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else [out.name]
    others = [name for name in found if name not in lists]
    if others or not out.is_dir():
        shown = ", ".join(others[:3])
        raise OutputError(f"{out}: expected a folder that is not there yet or is empty, found {shown}")


def _shown(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.{_DIGITS}f}"
    return "" if value is None else value
