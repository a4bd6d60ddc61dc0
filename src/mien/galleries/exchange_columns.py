"""The columns of a Parquet file of templates, of whatever tool's making, as arrays.

What does not fit is told by its row; rows are counted from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["matrix", "points", "require_kinds", "seconds"]

_MICROSECONDS = 1e6
_POINTS = 10
_NEEDED = ("identity", "vector", "space")


def require_kinds(pa: Any, path: str, kinds: Mapping[str, Any]) -> None:
    """Check the types of a file's columns.

    Args:
        pa: pyarrow.
        path: the file, for messages.
        kinds: the type of each column, by its name.

    Raises:
        BadInput: a column holds something else than its name says.
    """
    types = pa.types

    def text(kind: Any) -> bool:
        if types.is_dictionary(kind):
            kind = kind.value_type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def several(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def fits(kind: Any) -> bool:
            lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
            return bool(lists and (of(kind.value_type) or types.is_null(kind.value_type)))

        return fits

    def number(kind: Any) -> bool:
        return bool(types.is_floating(kind) or types.is_integer(kind))

    expected: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "identity": ("names (text)", text),
        "space": ("text", text),
        "vector": ("lists of numbers", several(number)),
        "tags": ("lists of text", several(text)),
        "created": ("times", lambda kind: types.is_timestamp(kind) or types.is_date(kind) or text(kind)),
        "mapped": ("true or false", types.is_boolean),
        "template_id": ("whole numbers", types.is_integer),
        "portrait": ("files (binary)", lambda kind: types.is_binary(kind) or types.is_large_binary(kind)),
        "landmarks": ("lists of numbers", several(number)),
    }
    for name, kind in kinds.items():
        words, fits = expected[name]
        if not fits(kind) and not (types.is_null(kind) and name not in _NEEDED):
            raise BadInput(f"{path}: expected {words} in column {name}, got {kind}")


def matrix(column: Any, path: str, start: int, width: int | None) -> FloatArray:
    """A column of lists of numbers as ``(n, d) float32``.

    Args:
        column: at least one row.
        path: the file, for messages.
        start: the number of the first row.
        width: how long each list must be; None: as long as the first.

    Raises:
        BadInput: a list is missing, empty or of another length.
    """
    lengths = _lengths(column)
    wanted = lengths[0] if width is None else width
    for row, length in enumerate(lengths, start):
        if not length:
            raise BadInput(f"{path}: row {row}: expected a list of numbers in column vector, found none")
        if length != wanted:
            raise BadInput(f"{path}: row {row}: expected vectors of one length ({wanted}), got one of {length}")
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float32).reshape(len(column), -1)


def points(column: Any, path: str, start: int) -> FloatArray:
    """A column of landmarks as ``(n, 5, 2) float32``, NaN where there are none.

    Raises:
        BadInput: a list has not ten numbers.
    """
    for row, length in enumerate(_lengths(column), start):
        if length not in (None, _POINTS):
            raise BadInput(f"{path}: row {row}: expected {_POINTS} numbers in column landmarks, got {length}")
    rows = [[np.nan] * _POINTS if given is None else given for given in column.to_pylist()]
    return np.asarray(rows, np.float32).reshape(-1, _POINTS // 2, 2)


def seconds(pa: Any, column: Any, count: int, path: str, start: int) -> NDArray[np.float64]:
    """A column of times as seconds since 1970, NaN where there is none; None stands for ``count`` times unknown.

    Raises:
        BadInput: a text is no time.
    """
    if column is None or pa.types.is_null(column.type):
        return np.full(count, np.nan)
    kind = pa.timestamp("us", tz="UTC")
    try:
        times = column.cast(kind)
    except (pa.ArrowException, ValueError):
        for row in range(count):
            try:
                column.slice(row, 1).cast(kind)
            except (pa.ArrowException, ValueError) as error:
                raise BadInput(
                    f"{path}: row {start + row}: expected a time in UTC in column created, got {column[row].as_py()!r}"
                ) from error
        raise
    whole = times.cast(pa.int64()).to_pylist()
    return np.asarray([np.nan if time is None else time / _MICROSECONDS for time in whole], np.float64)


def _lengths(column: Any) -> list[int | None]:
    import pyarrow.compute as pc

    if str(column.type) == "null":
        return [None] * len(column)
    lengths: list[int | None] = pc.list_value_length(column).to_pylist()
    return lengths
