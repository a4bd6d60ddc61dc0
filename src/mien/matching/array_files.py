"""Arrays and facts in one ``.npz`` file, readable with ``numpy.load`` and nothing else; no pickle, neither way.

A file is a zip archive with a member ``NAME.npy`` for each array. What is no array is JSON in UTF-8, which lies in it
as an array of bytes. ``save_arrays`` and ``load_arrays`` are for what fits into memory: ``metadata`` then holds the
file's format, by name and version, beside the facts. The other functions are for whoever reads and writes by the part.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mien.errors import BadInput, OutputError

__all__ = ["load_arrays", "read_json", "read_member", "reading_archive", "save_arrays", "write_json", "write_member"]

# What NumPy, zipfile and json raise for files that are none of theirs or are damaged; RuntimeError is zipfile's for
# an encrypted one.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_FACTS = "metadata"


def save_arrays(
    path: str | os.PathLike[str], file_format: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a whole file.

    Args:
        path: where.
        file_format: name and version of what is in it, such as ``mien space map 1``.
        facts: JSON values by name; ``format`` is taken.
        arrays: arrays by name; ``metadata`` is taken.

    Raises:
        OutputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        write_json(file, _FACTS, {"format": file_format, **facts})
        for name, array in arrays.items():
            write_member(file, name, array)
    try:
        with open(path, "wb") as handle:
            handle.write(buffer.getbuffer())
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error


def load_arrays(
    path: str | os.PathLike[str], file_format: str, names: Collection[str], *, expected: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The facts, less the format, and the arrays of a file that ``save_arrays`` wrote.

    Args:
        path: the file.
        file_format: what ``save_arrays`` was given.
        names: of the arrays that are wanted.
        expected: what the file should be, for the message: ``a map that mien gallery fit-map made``.

    Raises:
        BadInput: there is no such file, it is something else, or it is damaged.
    """
    with reading_archive(path, expected) as file:
        facts = read_json(file, _FACTS)
        if not isinstance(facts, dict) or facts.pop("format", None) != file_format:
            raise BadInput(
                f"{os.fspath(path)}: expected {expected} ({file_format!r}), got another kind of file, or one of a "
                "newer version"
            )
        return facts, {name: read_member(file, name) for name in names}


@contextmanager
def reading_archive(path: str | os.PathLike[str], expected: str) -> Iterator[zipfile.ZipFile]:
    """The open archive inside the block; whatever shows there that it is another file or damaged is one error.

    Raises:
        BadInput: there is no such file, it cannot be read, it is something else, or it is damaged.
    """
    where = os.fspath(path)
    try:
        with zipfile.ZipFile(where) as file:
            yield file
    except BadInput:
        raise
    except _UNREADABLE as error:
        reason = f"expected {expected}, got another file, or a damaged one"
        if isinstance(error, OSError) and error.errno is not None:
            reason = f"cannot be read: {os.strerror(error.errno)}"
        raise BadInput(f"{where}: {reason}") from error


def write_member(file: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Write an array into an open archive."""
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_member(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array of an open archive; to be called inside ``reading_archive``, which tells of damage."""
    with file.open(f"{name}.npy") as member:
        version = npy.read_magic(member)
        shape, in_columns, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(
            member
        )
        if dtype.hasobject:
            raise ValueError(f"{name}: expected numbers or text, got pickled objects")
        # A damaged shape may ask for more memory than there is, so that it is not believed.
        size = math.prod(shape) * dtype.itemsize
        data = member.read()
        if len(data) != size:
            raise ValueError(f"{name}: expected {size} bytes for {dtype} {shape}, got {len(data)}")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")


def write_json(file: zipfile.ZipFile, name: str, value: object) -> None:
    """Write a JSON value into an open archive."""
    write_member(file, name, np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8))


def read_json(file: zipfile.ZipFile, name: str) -> Any:
    """Read a JSON value of an open archive; to be called inside ``reading_archive``, which tells of damage."""
    return json.loads(read_member(file, name).tobytes())
