"""Zip archives of images, looked into without ever unpacking one: an entry's name is a name and no path.

What an archive says of itself is checked before its list is read, and no more of an entry is unpacked than one image
may have. So an archive of a few kilobytes that stands for terabytes costs no more than any other.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mien.errors import BadImage, BadInput, TooLarge

__all__ = ["MOST_ENTRIES", "Archive", "Entry", "entries_of", "is_of_the_system"]

MOST_ENTRIES = 100_000
"""Images in one job."""

# What python's zipfile needs for the list of an archive is some multiple of it.
_MOST_LIST_BYTES = 32_000_000
_END, _END_64_PLACE, _END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_BYTES, _END_64_PLACE_BYTES, _END_64_BYTES, _LONGEST_COMMENT = 22, 20, 56, 65_535
_IN_64 = 0xFFFFFFFF
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its place in the archive's list, its name, and how large it says to be."""

    place: int
    name: str
    size: int


class Archive:
    """An open archive whose entries are read one by one; a context manager.

    Args:
        path: the file.

    Raises:
        BadImage: it is no archive any more.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadImage("the archive cannot be read") from error
        self._list = self._file.infolist()

    def read(self, place: int, limit: int) -> bytes:
        """The bytes of an entry.

        Args:
            place: its place in the list.
            limit: the most that it may have.

        Raises:
            BadImage: it is damaged, encrypted, larger than ``limit``, or packed in a way that is not read here.
        """
        info = self._list[place]
        if info.flag_bits & _ENCRYPTED:
            raise BadImage("the archive's entry is encrypted")
        if info.compress_type not in _READ_METHODS:
            raise BadImage("expected a stored or deflated entry of the archive, got another kind of compression")
        if info.file_size > limit:
            raise BadImage(f"expected at most {limit} bytes, got {info.file_size}")
        try:
            with self._file.open(info) as entry:
                # zipfile gives no more than the entry says to have.
                return entry.read(limit)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise BadImage("the archive's entry is damaged") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def entries_of(path: Path, *, most: int, most_bytes: int) -> list[Entry]:
    """The files in an archive, without folders and what operating systems add of their own.

    Args:
        path: the archive.
        most: the most entries.
        most_bytes: the most that all entries together may say to have.

    Raises:
        BadInput: it is no zip archive, or a damaged one.
        TooLarge: it has more entries, or says to have more bytes.
    """
    with path.open("rb") as file:
        size = max(_list_sizes(file), default=None)
    if size is None:
        raise BadInput("expected a zip archive, got something else or only part of one")
    if size > _MOST_LIST_BYTES:
        raise TooLarge(f"the archive's list: expected at most {_MOST_LIST_BYTES} bytes, got {size}")
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput("expected a zip archive, got a damaged one") from error
    found = [
        Entry(place, info.filename, info.file_size)
        for place, info in enumerate(listed)
        if not info.is_dir() and not is_of_the_system(info.filename)
    ]
    if len(found) > most:
        raise TooLarge(f"expected at most {most} images, got an archive of {len(found)}")
    unpacked = sum(entry.size for entry in found)
    if unpacked > most_bytes:
        raise TooLarge(f"expected at most {most_bytes} bytes in all, got an archive that says to have {unpacked}")
    return found


def _list_sizes(file: BinaryIO) -> Iterator[int]:
    """How many bytes the list may have by each record that zipfile may go by (APPNOTE 4.3.14 to 4.3.16)."""
    end = file.seek(0, 2)
    file.seek(max(0, end - _END_BYTES - _LONGEST_COMMENT - _END_64_PLACE_BYTES - _END_64_BYTES))
    tail = file.read()
    place = len(tail) - _END_BYTES
    if place < 0 or tail[place : place + 4] != _END or tail[-2:] != b"\0\0":
        place = tail.rfind(_END)
        if place < 0 or len(tail) - place < _END_BYTES:
            return
    said = int.from_bytes(tail[place + 12 : place + 16], "little")
    yield said if said != _IN_64 else 0
    locator = place - _END_64_PLACE_BYTES
    if locator >= 0 and tail[locator : locator + 4] == _END_64_PLACE:
        file.seek(min(int.from_bytes(tail[locator + 8 : locator + 16], "little"), end))
        for record in (file.read(_END_64_BYTES), tail[max(0, locator - _END_64_BYTES) : locator]):
            if record[:4] == _END_64:
                yield int.from_bytes(record[40:48], "little")


def is_of_the_system(name: str) -> bool:
    """Whether an operating system put a file of that name beside the images."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")
