"""The images of a job as they come: a form or a zip archive, piece by piece into files, never whole in memory.

Files are numbered by the server. What the client calls them is kept as text alone, and says who is in an image: the
folder that it lies in.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mien.errors import BadImage, BadInput, MienError, TooLarge
from mien.galleries.names import canonical_name
from mien.server.archives import MOST_ENTRIES, entries_of, is_of_the_system
from mien.server.job_records import Item, Mark
from mien.server.spool import disk_told, written

__all__ = ["Upload", "boundary_of", "identity_of"]

_LONGEST_NAME = 4096
_LONGEST_FIELD = 8192
_MOST_FIELDS = 100
# An archive of photos hardly shrinks, so one that says to hold much more than it could is none of photos.
_MOST_UNPACKED = 10
_ZIP_TYPES = ("application/zip", "application/x-zip-compressed")


@dataclass(slots=True)
class _Part:
    """What is known of the part of a form that is being read."""

    headers: dict[str, bytes] = field(default_factory=dict)
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    name: str = ""
    file_name: str | None = None
    is_archive: bool = False
    text: bytearray = field(default_factory=bytearray)
    size: int = 0


class Upload:
    """Takes in a body piece by piece. Its methods block on the disk.

    Args:
        folder: an empty folder for the files.
        boundary: the form's; None if the body is one zip archive.
        most_file_bytes: the largest image.
        most_bytes: the largest body.

    Attributes:
        items: the images, once ``finish`` was called.
        refused: those that are refused already.
        fields: the form's fields without a file, by name; the last of a name counts.
    """

    def __init__(self, folder: Path, boundary: bytes | None, *, most_file_bytes: int, most_bytes: int) -> None:
        from python_multipart.multipart import MultipartParser

        self.items: list[Item] = []
        self.refused: list[Mark] = []
        self.fields: dict[str, str] = {}
        self._folder = folder
        self._most_file_bytes = most_file_bytes
        self._most_bytes = most_bytes
        self._taken = 0
        self._files = 0
        self._numbers = itertools.count()
        self._ended = False
        self._part = _Part()
        self._stack = ExitStack()
        self._open: BinaryIO | None = None
        self._archives: list[str] = []
        self._parser: MultipartParser | None = None
        if boundary is None:
            self._part = _Part(file_name="archive.zip", is_archive=True)
            self._new_file()
        else:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_end": self._on_end,
                },
            )

    def feed(self, data: bytes) -> None:
        """The next piece of the body.

        Raises:
            TooLarge: there are more bytes, or more images, than a job may have.
            BadInput: it is no multipart form.
            OutputError: the disk does not take it.
        """
        from python_multipart.exceptions import MultipartParseError

        self._taken += len(data)
        if self._taken > self._most_bytes:
            raise TooLarge(f"expected at most {self._most_bytes} bytes, got more")
        if self._parser is None:
            self._on_part_data(data, 0, len(data))
            return
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise BadInput("expected a multipart form, got a malformed one") from error

    def finish(self, identity: str | None = None) -> None:
        """The body is whole: find out what is in it.

        Args:
            identity: who is in images that lie in no folder.

        Raises:
            BadInput: the body ended too early, or is no archive.
            TooLarge: an archive holds more than a job may have.
        """
        if self._parser is None:
            self._on_part_end()
        elif not self._ended:
            raise BadInput("expected a whole multipart form, got the beginning of one")
        self.close()
        given = self.fields.get("identity") if identity is None else identity
        plain, self.items = self.items, []
        for item in plain:
            path = self._folder / item.file
            if is_of_the_system(item.name):
                path.unlink()
            else:
                self._take(item, given, path.stat().st_size)
        for file in self._archives:
            self._list(file, given)

    def close(self) -> None:
        """Close the file that is being written."""
        self._stack.close()
        self._open = None

    def _list(self, file: str, given: str | None) -> None:
        """The images of an archive."""
        left = MOST_ENTRIES - len(self.items) - len(self.refused)
        most_bytes = _MOST_UNPACKED * self._most_bytes
        for entry in entries_of(self._folder / file, most=left, most_bytes=most_bytes):
            self._take(Item(next(self._numbers), entry.name[:_LONGEST_NAME], "", file, entry.place), given, entry.size)

    def _take(self, item: Item, given: str | None, size: int) -> None:
        """Keep an image, or refuse it for its name or its size."""
        try:
            identity = identity_of(item.name, given)
            if size > self._most_file_bytes:
                raise BadImage(f"expected an image of at most {self._most_file_bytes} bytes, got a larger one")
        except MienError as error:
            self.refused.append(Mark(Item(item.number, item.name, "", item.file), error.code, error.message))
            if item.entry is None:
                (self._folder / item.file).unlink(missing_ok=True)
            return
        self.items.append(Item(item.number, item.name, identity, item.file, item.entry))

    def _new_file(self) -> None:
        if self._files >= MOST_ENTRIES:
            raise TooLarge(f"expected at most {MOST_ENTRIES} images, got more")
        name = f"{self._files:06}.{'zip' if self._part.is_archive else 'image'}"
        self._files += 1
        self._open = self._stack.enter_context(written(self._folder / name))
        if self._part.is_archive:
            self._archives.append(name)
        else:
            self.items.append(Item(next(self._numbers), (self._part.file_name or "")[:_LONGEST_NAME], "", name))

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers[bytes(self._part.header).decode("latin-1").lower()] = bytes(self._part.value)
        self._part.header.clear()
        self._part.value.clear()

    def _on_headers_finished(self) -> None:
        part = self._part
        options = _options(part.headers.get("content-disposition", b""))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.fields) >= _MOST_FIELDS:
                raise TooLarge(f"expected at most {_MOST_FIELDS} fields, got more")
            return
        part.file_name = options[b"filename"].decode("utf-8", "replace")
        media_type = part.headers.get("content-type", b"").split(b";")[0].strip().decode("latin-1").lower()
        part.is_archive = media_type in _ZIP_TYPES or part.file_name.lower().endswith(".zip")
        self._new_file()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if self._open is None:
            part.text += data[start:end]
            if len(part.text) > _LONGEST_FIELD:
                raise TooLarge(f"field {part.name[:80]!r}: expected at most {_LONGEST_FIELD} bytes, got more")
        # One byte more than it may have is enough to know that it is too large.
        elif part.is_archive or part.size - (end - start) <= self._most_file_bytes:
            self._write(data[start:end])

    def _write(self, data: bytes) -> None:
        if self._open is not None:
            with disk_told():
                self._open.write(data)

    def _on_part_end(self) -> None:
        if self._open is None:
            self.fields[self._part.name] = self._part.text.decode("utf-8", "replace")
        self.close()

    def _on_end(self) -> None:
        self._ended = True


def identity_of(name: str, given: str | None) -> str:
    """Who is in an image: the folder that it lies in, else who is given.

    Args:
        name: the client's name of the image, a text like any other.
        given: for images that lie in no folder.

    Raises:
        BadInput: it lies in no folder and nobody is given, or the name is not fit for a person's.
    """
    parts = [part for part in name.replace("\\", "/").split("/")[:-1] if part.strip() not in ("", ".", "..")]
    if parts:
        return canonical_name(parts[-1])
    if given is None:
        raise BadInput("expected an image in a folder with the person's name, got one in none and no identity")
    return canonical_name(given)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart form, or None for a zip archive.

    Raises:
        BadInput: the body is said to be neither, or a form without a boundary.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _ZIP_TYPES:
        return None
    boundary = _options(content_type.encode("latin-1", "replace")).get(b"boundary")
    if media_type != "multipart/form-data" or not boundary:
        raise BadInput("Content-Type: expected multipart/form-data with a boundary, or application/zip")
    return boundary


def _options(value: bytes) -> Mapping[bytes, bytes]:
    from python_multipart.multipart import parse_options_header

    return parse_options_header(value)[1]
