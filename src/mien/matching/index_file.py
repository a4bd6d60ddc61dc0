"""An index in a file that is mapped into memory: it opens in milliseconds, whatever its size.

Layout: 8 bytes of magic, the header's length and its CRC-32 in 4 bytes each, a JSON header, then each array at a
multiple of 4096 bytes, little-endian. The rows are those of the index without the removed ones; of those removed later
``removed`` tells, a byte for each row.

What is read whole at opening, the header and the numbers of templates and identities, has checksums. The vectors have
none: reading them all would take seconds, and a checksum could not tell of a row that is no copy of what it should be.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput
from mien.matching.codecs import CODECS, Codec
from mien.matching.native import IntArray
from mien.matching.search import Snapshot
from mien.matching.segments import REMOVED, SEGMENT_ROWS, Segment

__all__ = ["erase_rows", "open_index_file", "write_index_file"]

_MAGIC = b"mienidx\x02"
_ALIGNMENT = 4096
_LONGEST_HEADER = 1 << 20
_NAMES = ("vectors", "codes", "scales", "ids", "identities", "removed")
_DTYPES = ("<f4", "|i1", "<f4", "<i8", "<i8", "|u1")
_SUMMED = ("ids", "identities")
_ROWS_AT_ONCE = 8192


def write_index_file(
    path: Path, state: Snapshot, facts: Mapping[str, Any], progress: Callable[[int], None] | None = None
) -> None:
    """Write a snapshot; the file appears whole or not at all. See ``SearchIndex.save``."""
    rows = [np.flatnonzero(segment.identities != REMOVED) for segment in state.segments]
    total = sum(map(len, rows))
    shapes = _shapes(state.codec, total, state.dimension)
    numbers = {name: _gathered(state, rows, _NAMES.index(name)) for name in _SUMMED}
    header = {
        "dimension": state.dimension,
        "codec": state.codec,
        "rows": total,
        "rising": bool(np.all(np.diff(numbers["ids"]) > 0)),
        "error": max((segment.error for segment in state.segments), default=0.0),
        "sums": {name: zlib.crc32(array.data) for name, array in numbers.items()},
        "facts": dict(facts),
    }
    text = json.dumps(header).encode()
    length = _length(shapes, len(text))
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + len(text).to_bytes(4, "little") + zlib.crc32(text).to_bytes(4, "little") + text)
            first = next(iter(shapes))
            for name, (dtype, offset, _) in shapes.items():
                file.seek(offset)
                if name in numbers:
                    file.write(numbers[name].data)
                    continue
                for segment, chosen in zip(state.segments, rows, strict=True):
                    array = segment.arrays[_NAMES.index(name)] if name != "removed" else None
                    if array is None:
                        continue
                    for start in range(0, len(chosen), _ROWS_AT_ONCE):
                        part = array[chosen[start : start + _ROWS_AT_ONCE]]
                        file.write(np.ascontiguousarray(part, dtype).data)
                        if progress is not None and name == first:
                            progress(len(part))
            # What lies behind the last array that was written is zeros: nothing is removed yet.
            file.truncate(length)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _gathered(state: Snapshot, rows: list[IntArray], place: int) -> NDArray[Any]:
    """One array of all segments, of the chosen rows of each, as it stands in the file."""
    parts: list[NDArray[Any]] = [np.empty(0, _DTYPES[place])]
    for segment, chosen in zip(state.segments, rows, strict=True):
        array = segment.arrays[place]
        if array is not None:
            parts.append(array[chosen])
    return np.ascontiguousarray(np.concatenate(parts), _DTYPES[place])


def open_index_file(path: Path) -> tuple[list[Segment], int, Codec, dict[str, Any]]:
    """Segments over the mapped file, the dimension, the codec and the facts. See ``SearchIndex.load``."""
    header = _header(path)
    dimension, codec, rows = header["dimension"], header["codec"], header["rows"]
    arrays: dict[str, Any] = {}
    for name, (dtype, offset, shape) in _shapes(codec, rows, dimension).items():
        arrays[name] = np.memmap(path, dtype, "r", offset, shape) if rows else np.empty(shape, dtype)
    for name in _SUMMED:
        if zlib.crc32(arrays[name].data) != header["sums"].get(name):
            raise BadInput(f"{path}: the index file is damaged: the checksum of its {name} does not fit")
    segments = []
    for start in range(0, rows, SEGMENT_ROWS):
        part = {name: array[start : start + SEGMENT_ROWS] for name, array in arrays.items()}
        # Not mapped: the rows that a removal erases in the file must not change under a search.
        ids, identities = np.array(part["ids"]), np.array(part["identities"])
        identities[part["removed"] != 0] = REMOVED
        dead, rising = int((identities == REMOVED).sum()), bool(np.all(np.diff(ids) > 0))
        vectors, codes, scales = (part.get(name) for name in _NAMES[:3])
        segments.append(Segment(vectors, codes, scales, ids, identities, dead, rising, header["error"]))
    return segments, dimension, codec, header["facts"]


def erase_rows(path: Path, ids: ArrayLike) -> int:
    """Overwrite the vectors of some templates with zeros and mark their rows, on the disk; how many were there.

    Raises:
        BadInput: the file is no index.
        OSError: it cannot be written.
    """
    header = _header(path)
    if not header["rows"]:
        return 0
    shapes = _shapes(header["codec"], header["rows"], header["dimension"])
    dtype, offset, shape = shapes["ids"]
    held = np.memmap(path, dtype, "r", offset, shape)
    wanted = np.unique(np.asarray(ids, np.int64))
    if header["rising"]:
        rows = np.searchsorted(held, wanted)
        rows = rows[rows < len(held)]
        rows = rows[np.isin(held[rows], wanted)]
    else:
        rows = np.flatnonzero(np.isin(held, wanted))
    if not len(rows):
        return 0
    with open(path, "r+b", buffering=0) as file:
        for name, (dtype, offset, shape) in shapes.items():
            width = np.dtype(dtype).itemsize * int(np.prod(shape[1:]))
            blank = b"\x01" if name == "removed" else bytes(width)
            for row in rows.tolist() if name not in _SUMMED else ():
                file.seek(offset + row * width)
                file.write(blank)
        os.fsync(file.fileno())
    return len(rows)


def _shapes(codec: Codec, rows: int, dimension: int) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """Type, offset and shape of each array of the file."""
    absent = {"float32": {"codes", "scales"}, "int8": set(), "int8-only": {"vectors"}}[codec]
    offset = _LONGEST_HEADER
    shapes: dict[str, tuple[str, int, tuple[int, ...]]] = {}
    for name, dtype in zip(_NAMES, _DTYPES, strict=True):
        if name not in absent:
            shape: tuple[int, ...] = (rows, dimension) if name in ("vectors", "codes") else (rows,)
            shapes[name] = (dtype, offset, shape)
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            offset += -(-size // _ALIGNMENT) * _ALIGNMENT
    return shapes


def _length(shapes: Mapping[str, tuple[str, int, tuple[int, ...]]], header: int) -> int:
    ends = [offset + int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, offset, shape in shapes.values()]
    if header + 16 > _LONGEST_HEADER:
        raise BadInput(f"facts: expected at most {_LONGEST_HEADER - 16} bytes, got {header}")
    return max(ends)


def _header(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        start = file.read(16)
        if len(start) < 16 or start[:7] != _MAGIC[:7]:
            raise BadInput(f"{path}: expected an index file, got another one")
        if start[7:8] != _MAGIC[7:]:
            age = "a newer" if start[7] > _MAGIC[7] else "an older"
            raise BadInput(f"{path}: expected index file version {_MAGIC[7]}, got {start[7]}; {age} mien made it")
        size, sum_ = (int.from_bytes(part, "little") for part in (start[8:12], start[12:]))
        text = file.read(min(size, _LONGEST_HEADER))
        length = os.fstat(file.fileno()).st_size
    if zlib.crc32(text) != sum_:
        raise BadInput(f"{path}: the index file's header is damaged")
    try:
        header: dict[str, Any] = json.loads(text)
        fits = header["codec"] in CODECS and header["dimension"] > 0 and isinstance(header["facts"], dict)
        fits = fits and isinstance(header["rising"], bool) and isinstance(header["error"], float)
        fits = fits and isinstance(header["sums"], dict)
        expected = _length(_shapes(header["codec"], header["rows"], header["dimension"]), size) if fits else -1
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: the index file's header is damaged") from error
    if length != expected:
        raise BadInput(f"{path}: the index file is damaged: expected {expected} bytes, got {length}")
    return header


def _sync_folder(folder: Path) -> None:
    """Make a renamed file last through a power failure, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
