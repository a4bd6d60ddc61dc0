"""Templates of a gallery as a NumPy file (``.npz``), readable with ``numpy.load`` and nothing else.

Arrays, a row for each template: ``vectors`` (float32), ``template_ids``, ``created`` (seconds since 1970, UTC, NaN
where unknown), ``mapped``, and ``identity``, a place in the list of identities. That list, ``identities``, is JSON in
UTF-8, ``[["name", ["tag", …]], …]``, and ``metadata`` is JSON too: space, codec and layout. Nothing in it is a pickle.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.galleries.exchange_rows import Block, FileFacts
from mien.galleries.private_files import replacing_private
from mien.matching.array_files import read_json, read_member, reading_archive, write_json, write_member

__all__ = ["NumpyTemplates", "write_npz"]

_LAYOUT = 1
_VECTORS = "vectors.npy"
_EXPECTED = "an .npz file that mien gallery export made"


def write_npz(path: str, facts: FileFacts, blocks: Iterator[Block]) -> Iterator[int]:
    """Write blocks to a file; yields the length of each once its vectors are on the disk.

    The vectors pass through a file beside it; in memory stay some 30 bytes a template, and the names.

    Raises:
        OutputError: the file cannot be written.
    """
    columns: list[tuple[NDArray[Any], ...]] = []
    places: dict[str, int] = {}
    tags: list[tuple[str, ...]] = []
    with replacing_private(path) as temporary, tempfile.TemporaryFile(dir=os.path.dirname(temporary)) as vectors:
        for block in blocks:
            vectors.write(np.ascontiguousarray(block.vectors, "<f4").tobytes())
            for name, given in zip(block.identities, block.tags, strict=True):
                if name not in places:
                    places[name] = len(places)
                    tags.append(given)
            rows = np.asarray([places[name] for name in block.identities], np.int64)
            columns.append((block.template_ids, rows, block.created, block.mapped))
            yield len(block)
        dtypes = (np.int64, np.int64, np.float64, np.bool_)
        ids, identity, created, mapped = (_column(columns, k, dtype) for k, dtype in enumerate(dtypes))
        told = {"layout": _LAYOUT, "space": facts.space, "codec": facts.codec}
        small: dict[str, NDArray[Any]] = {
            "template_ids": ids,
            "identity": identity,
            "created": created,
            "mapped": mapped,
        }
        vectors.seek(0)
        with zipfile.ZipFile(temporary, "w") as file:
            write_json(file, "metadata", told)
            write_json(file, "identities", list(zip(places, tags, strict=True)))
            for name, array in small.items():
                write_member(file, name, array)
            with file.open(_VECTORS, "w", force_zip64=True) as member:
                shape = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), facts.dimension)}
                npy.write_array_header_1_0(member, shape)
                shutil.copyfileobj(vectors, member, 1 << 20)


def _column(columns: list[tuple[NDArray[Any], ...]], place: int, dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *(column[place].astype(dtype) for column in columns)])


class NumpyTemplates:
    """Templates in an ``.npz`` file that ``write_npz`` made, read block by block.

    Args:
        path: the file.

    Attributes:
        path: as it was given.
        facts: what the file says of its templates.

    Raises:
        BadInput: there is no such file, or it is another one or damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with reading_archive(self.path, _EXPECTED) as file:
            told = read_json(file, "metadata")
            if not isinstance(told, dict) or told.get("layout") != _LAYOUT:
                raise BadInput(f"{path}: expected layout {_LAYOUT}; a newer version of mien made this file")
            listed = read_json(file, "identities")
            self._names = [(str(name), _several(tags, path)) for name, tags in listed]
            self._ids, self._identity = read_member(file, "template_ids"), read_member(file, "identity")
            self._created, self._mapped = read_member(file, "created"), read_member(file, "mapped")
            with file.open(_VECTORS) as member:
                count, dimension = _header(member)
            columns = (self._ids, self._identity, self._created, self._mapped)
            if any(column.shape != (count,) for column in columns):
                raise BadInput(f"{path}: lengths differ: vectors {count}, others {[c.shape for c in columns]}")
            if count and not 0 <= self._identity.min() <= self._identity.max() < len(self._names):
                raise BadInput(f"{path}: expected identities 0 to {len(self._names) - 1}, found others")
            self.facts = FileFacts(str(told["space"]), dimension, told["codec"], count)

    def blocks(self, rows: int) -> Iterator[Block]:
        """The templates in the file's order, at most ``rows`` at a time.

        Raises:
            BadInput: the file is damaged.
        """
        with reading_archive(self.path, _EXPECTED) as file, file.open(_VECTORS) as member:
            count, dimension = _header(member)
            for start in range(0, count, rows):
                part = slice(start, min(start + rows, count))
                size = 4 * dimension * (part.stop - start)
                data = member.read(size)
                if len(data) != size:
                    raise BadInput(f"{self.path}: expected {size} bytes of vectors from {start} on, got {len(data)}")
                owners = [self._names[k] for k in self._identity[part].tolist()]
                yield Block(
                    self._ids[part].astype(np.int64),
                    [name for name, _ in owners],
                    [tags for _, tags in owners],
                    np.frombuffer(data, "<f4").reshape(-1, dimension).astype(np.float32),
                    self._created[part].astype(np.float64),
                    self._mapped[part].astype(np.bool_),
                )


def _several(tags: object, path: str) -> tuple[str, ...]:
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadInput(f"{path}: expected a list of text for the tags of an identity, got {tags!r:.40}")
    return tuple(tags)


def _header(member: IO[bytes]) -> tuple[int, int]:
    """Shape of the vectors; what is read next are their numbers."""
    version = npy.read_magic(member)
    shape, in_columns, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(member)
    if len(shape) != 2 or in_columns or dtype != np.dtype("<f4") or not shape[1]:
        raise ValueError(f"expected float32 (n, d) in rows, got {dtype} {shape}")
    return int(shape[0]), int(shape[1])
