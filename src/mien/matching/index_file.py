"""An index in a file that is mapped into memory: it opens in milliseconds, whatever its size.

Layout: 16 bytes of magic and header length, a JSON header, then each array at a multiple of 4096 bytes,
little-endian. The rows are those of the index without the removed ones.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.matching.codecs import CODECS, Codec
from mien.matching.search import Snapshot
from mien.matching.segments import REMOVED, SEGMENT_ROWS, Segment

__all__ = ["erase_rows", "open_index_file", "write_index_file"]

_MAGIC = b"mienidx\x01"
_ALIGNMENT = 4096
_LONGEST_HEADER = 1 << 20
_NAMES = ("vectors", "codes", "scales", "ids", "identities")
_DTYPES = ("<f4", "|i1", "<f4", "<i8", "<i8")


def write_index_file(path: Path, state: Snapshot, facts: Mapping[str, Any]) -> None:
    """Write a snapshot; the file appears whole or not at all. See ``SearchIndex.save``."""
    rows = [np.flatnonzero(segment.identities != REMOVED) for segment in state.segments]
    total = sum(map(len, rows))
    shapes = _shapes(state.codec, total, state.dimension)
    ids = np.concatenate([np.empty(0, np.int64), *(s.ids[r] for s, r in zip(state.segments, rows, strict=True))])
    header = {
        "dimension": state.dimension,
        "codec": state.codec,
        "rows": total,
        "rising": bool(np.all(np.diff(ids) > 0)),
        "error": max((segment.error for segment in state.segments), default=0.0),
        "facts": dict(facts),
    }
    text = json.dumps(header).encode()
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + len(text).to_bytes(8, "little") + text)
            for place, (dtype, offset, _) in shapes.items():
                file.seek(offset)
                for segment, chosen in zip(state.segments, rows, strict=True):
                    array = segment.arrays[_NAMES.index(place)]
                    if array is not None:
                        whole = len(chosen) == len(segment)
                        file.write(np.ascontiguousarray(array if whole else array[chosen], dtype).data)
            file.truncate(_length(shapes, len(text)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def open_index_file(path: Path) -> tuple[list[Segment], int, Codec, dict[str, Any]]:
    """Segments over the mapped file, the dimension, the codec and the facts. See ``SearchIndex.load``."""
    header = _header(path)
    dimension, codec, rows = header["dimension"], header["codec"], header["rows"]
    arrays: dict[str, Any] = {}
    for name, (dtype, offset, shape) in _shapes(codec, rows, dimension).items():
        arrays[name] = np.memmap(path, dtype, "r", offset, shape) if rows else np.empty(shape, dtype)
    segments = []
    for start in range(0, rows, SEGMENT_ROWS):
        part = {name: array[start : start + SEGMENT_ROWS] for name, array in arrays.items()}
        # Not mapped: the rows that a removal erases in the file must not change under a search.
        ids, identities = np.array(part["ids"]), np.array(part["identities"])
        dead, rising = int((identities == REMOVED).sum()), bool(np.all(np.diff(ids) > 0))
        vectors, codes, scales = (part.get(name) for name in _NAMES[:3])
        segments.append(Segment(vectors, codes, scales, ids, identities, dead, rising, header["error"]))
    return segments, dimension, codec, header["facts"]


def erase_rows(path: Path, ids: ArrayLike) -> int:
    """Overwrite the rows of some templates with zeros, on the disk; how many were there.

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
            blank = np.full(1, REMOVED, dtype).tobytes() if name == "identities" else bytes(width)
            for row in rows.tolist() if name != "ids" else ():
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
            raise BadInput(f"{path}: expected index file version {_MAGIC[7]}, got {start[7]}; a newer mien made it")
        size = int.from_bytes(start[8:], "little")
        text = file.read(min(size, _LONGEST_HEADER))
        length = os.fstat(file.fileno()).st_size
    try:
        header: dict[str, Any] = json.loads(text)
        fits = header["codec"] in CODECS and header["dimension"] > 0 and isinstance(header["facts"], dict)
        fits = fits and isinstance(header["rising"], bool) and isinstance(header["error"], float)
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
