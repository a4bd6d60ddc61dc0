"""MXNet's RecordIO, in which many sets of aligned faces are published: read without MXNet.

A file is a row of records, each framed by two little-endian 32-bit words: a magic number, and a word whose upper three
bits say which part of a record it is (0 the whole, 1 the first, 2 a middle, 3 the last) and whose other bits are its
length; the bytes after it are filled up to a multiple of four. Where a record's bytes hold the magic number on a
multiple of four, it is left out and the record is split there (dmlc-core, ``recordio.h`` and ``recordio.cc``).

A record of an image begins with a header ``flag, label, id, id2`` (``IfQQ``); with a flag above 0 that many 32-bit
labels follow it, and the image after them (MXNet, ``python/mxnet/recordio.py``). Beside ``NAME.rec`` lies ``NAME.idx``,
lines of key and offset, and in sets made for insightface a file ``property``: classes, height, width. In those sets the
first record holds no image: its two labels say at which key the images end and the records of people begin, and where
those end; a person's record holds the range of keys of that person's images (insightface, its image iterator).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput, BadPack
from mien.training.data.listing import Photo

__all__ = ["MAGIC", "Record", "RecordListing", "is_record_folder", "read_record", "read_records"]

MAGIC = 0xCED7230A
"""What each part of a record begins with."""

_WORD = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_TRAIN = "train.rec"
# Most published sets count their people; with leading zeros the names sort as the numbers do.
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an image.

    Attributes:
        labels: ``(n,) float32``, at least one; the first is the person's number.
        data: the encoded image; empty in records that say something else.
        end: where the next record begins.
        flag: 0 for one label in the header.
    """

    labels: NDArray[np.float32]
    data: bytes
    end: int
    flag: int


def read_record(content: mmap.mmap | bytes, offset: int, where: str) -> Record:
    """Read the record that begins at ``offset``.

    Raises:
        BadPack: there is none, or it is cut off.
    """
    payload, end = _payload(content, offset, where)
    if len(payload) < _HEADER.size:
        raise BadPack(f"{where}: record at {offset}: expected a header of {_HEADER.size} bytes, got {len(payload)}")
    flag, label, _id, _id2 = _HEADER.unpack_from(payload)
    rest = payload[_HEADER.size :]
    if flag == 0:
        return Record(np.asarray([label], np.float32), rest, end, 0)
    if len(rest) < 4 * flag:
        raise BadPack(f"{where}: record at {offset}: expected {flag} labels, got {len(rest)} bytes")
    return Record(np.frombuffer(rest, "<f4", flag), rest[4 * flag :], end, flag)


def _payload(content: mmap.mmap | bytes, offset: int, where: str) -> tuple[bytes, int]:
    parts: list[bytes] = []
    at = offset
    while True:
        if at < 0 or at + _WORD.size > len(content):
            raise BadPack(
                f"{where}: record at {offset}: points past the file: expected a record's first {_WORD.size} bytes at "
                f"{at}, found a file of {len(content)} bytes"
            )
        magic, word = _WORD.unpack_from(content, at)
        kind, length = word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)
        if magic != MAGIC:
            raise BadPack(f"{where}: record at {offset}: expected {MAGIC:#x} at {at}, got {magic:#x}")
        if kind not in ((_WHOLE, _FIRST) if not parts else (_MIDDLE, _LAST)):
            raise BadPack(
                f"{where}: record at {offset}: expected {'more of' if parts else 'the start of'} a record "
                f"at {at}, got a part of kind {kind}"
            )
        start, at = at + _WORD.size, at + _WORD.size + (length + 3) // 4 * 4
        if start + length > len(content):
            raise BadPack(
                f"{where}: record at {offset}: is cut off: expected {length} bytes from {start}, found a file of "
                f"{len(content)} bytes"
            )
        parts.append(content[start : start + length])
        if kind in (_WHOLE, _LAST):
            return _MAGIC_BYTES.join(parts), at


@dataclass(slots=True)
class RecordListing:
    """The images of a RecordIO file; see ``Listing``.

    Attributes:
        source: the file.
        keys: ``(n,) int64`` the images' keys.
        offsets: ``(n,) int64`` where their records begin.
        property: classes, height and width, where the set states them.
    """

    source: str
    keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    property: tuple[int, int, int] | None = None
    _content: mmap.mmap | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("source", "keys", "offsets", "property")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._content = None

    def name(self, number: int) -> str:
        """See ``Listing.name``."""
        return f"{Path(self.source).name}/{self.keys[number]}"

    def identity(self, number: int) -> str:
        """See ``Listing.identity``: it stands in the record, so it is not known yet."""
        return ""

    def load(self, number: int) -> Photo:
        """See ``Listing.load``."""
        if self._content is None:
            self._content = _mapped(Path(self.source))
        name = self.name(number)
        record = read_record(self._content, int(self.offsets[number]), self.source)
        label = float(record.labels[0])
        if not label.is_integer() or abs(label) > 1 << 24:
            raise BadPack(f"{name}: expected a person's number as label, got {label}")
        return Photo(name, f"{int(label):0{_DIGITS}d}" if label >= 0 else "", record.data)


def is_record_folder(path: Path) -> bool:
    """Whether a folder is a set in RecordIO."""
    return (path / _TRAIN).is_file()


def read_records(path: Path) -> RecordListing:
    """List the images of a RecordIO file.

    Args:
        path: ``NAME.rec``, or ``NAME.idx`` beside it, or a folder with ``train.rec``. Without ``NAME.idx`` the file is
            read through once.

    Raises:
        BadInput: there is no such file, or it holds no images.
        BadPack: it or a file beside it is damaged.
    """
    file = path / _TRAIN if path.is_dir() else path.with_suffix(".rec")
    if not file.is_file():
        raise BadInput(f"{file}: expected a RecordIO file, got nothing of that name")
    content = _mapped(file)
    index = file.with_suffix(".idx")
    keys, offsets = _read_idx(index, len(content)) if index.is_file() else _scan(content, str(file))
    if len(keys):
        first = read_record(content, int(offsets[0]), str(file))
        if first.flag > 1 and not first.data:
            # The keys from here on are those of people, not of images.
            images = (keys > keys[0]) & (keys < int(first.labels[0]))
            keys, offsets = keys[images], offsets[images]
    if not len(keys):
        raise BadInput(f"{file}: expected records of images, found none")
    return RecordListing(str(file), keys, offsets, _read_property(file.with_name("property")), content)


def _mapped(file: Path) -> mmap.mmap:
    try:
        with file.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is empty"
        raise BadPack(f"{file}: expected a RecordIO file, got one that cannot be read: {reason}") from error


def _read_idx(file: Path, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    keys, offsets = [], []
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPack(f"{file}: expected lines of key and offset, got a file that cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split()
        if len(cells) != 2 or not all(cell.isdigit() for cell in cells):
            raise BadPack(f"{file}, line {number}: expected a key and an offset, got {line[:80]!r}")
        if int(cells[1]) + _WORD.size > size:
            raise BadPack(
                f"{file}, line {number}: record {cells[0]} points past its file: expected an offset below {size}, "
                f"got {cells[1]}"
            )
        keys.append(int(cells[0]))
        offsets.append(int(cells[1]))
    order = np.argsort(np.asarray(keys, np.int64), kind="stable")
    return np.asarray(keys, np.int64)[order], np.asarray(offsets, np.int64)[order]


def _scan(content: mmap.mmap, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys counted from 0, and offsets, of a file without ``.idx``."""
    offsets, at = [], 0
    while at < len(content):
        offsets.append(at)
        at = _payload(content, at, where)[1]
    return np.arange(len(offsets), dtype=np.int64), np.asarray(offsets, np.int64)


def _read_property(file: Path) -> tuple[int, int, int] | None:
    if not file.is_file():
        return None
    text = file.read_text(encoding="ascii", errors="replace").strip()
    cells = text.split(",")
    if len(cells) != 3 or not all(cell.strip().isdigit() for cell in cells):
        raise BadPack(f"{file}: expected classes, height, width, got {text[:80]!r}")
    return int(cells[0]), int(cells[1]), int(cells[2])
