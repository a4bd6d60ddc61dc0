"""Verification sets in insightface's ``.bin`` form: a pickled pair (list of encoded images, list of booleans).

A pickle is a program, and loading one runs it. Here it is read in three steps, so that a hostile file can do nothing:
the instructions are looked through first and only those that build plain values are let pass; names resolve to
stand-ins of this module alone, never to anything imported; and what comes out is checked as data. NumPy arrays are
rebuilt from their bytes, not by NumPy's own unpickling.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadInput
from mien.evaluation.protocols.trials import PairProtocol, PairRow, Sample, make_pairs

__all__ = ["read_bin"]

_MOST_BYTES = 8 << 30
_MOST_INSTRUCTIONS = 50_000_000
_FOLDS = 10  # as the programs that this form comes from split it: contiguous tenths
# fmt: off
_PLAIN = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET",
    "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
))
# fmt: on


class _Stand:
    """A value that a pickle may build in place of a NumPy one."""

    __slots__ = ("kind", "parts", "state")

    def __init__(self, kind: str, parts: tuple[Any, ...]) -> None:
        self.kind, self.parts, self.state = kind, parts, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Maker:
    """What a name in a pickle stands for: it can only be called, and only makes a ``_Stand`` or bytes."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *parts: Any) -> Any:
        if self.kind != "encode":
            return _Stand(self.kind, parts)
        # How Python 3 writes bytes in the older pickle protocols.
        text, encoding = parts
        if encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError(f"expected latin1, got {encoding!r}")
        return (text if isinstance(text, str) else text.decode("utf-8")).encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a name in the file was to be given a state")


_NAMES = {
    ("numpy", "ndarray"): "class",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "buffer" for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = _NAMES.get((module, name))
        if kind is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _Maker(kind)


def read_bin(path: Path) -> PairProtocol:
    """Read a ``.bin`` file: images 2k and 2k + 1 make pair k; ten folds of neighboring pairs.

    Images of the same bytes are taken as one. People are not named in such files: images that a chain of mated pairs
    connects count as one person.

    Raises:
        BadInput: the file cannot be read, is no pickle of this form, is larger than 8 GiB, or asks for anything but
            lists, bytes, booleans and NumPy arrays of these.
    """
    images, same = _contents(path)
    samples: dict[str, Sample] = {}
    rows: list[PairRow] = []
    for k, mated in enumerate(same):
        pair = []
        for number in (2 * k, 2 * k + 1):
            digest = hashlib.sha256(images[number]).hexdigest()
            pair.append(samples.setdefault(digest, Sample(f"image {number}", images[number])))
        fold = str(min(k * _FOLDS // len(same), _FOLDS - 1)) if len(same) >= 2 * _FOLDS else None
        rows.append(PairRow(pair[0], pair[1], mated, fold, where=f"{path}, pair {k}"))
    return make_pairs(path.stem, path, rows)


def _contents(path: Path) -> tuple[list[bytes], list[bool]]:
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise BadInput(f"{path}: expected at most {_MOST_BYTES} bytes, got {size}")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    try:
        _look_through(content)
        value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ValueError(f"it holds {type(value).__name__} where a pair of lists was expected")
        images = [_image(item) for item in _items(value[0])]
        same = [_boolean(item) for item in _items(value[1])]
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise BadInput(f"{path}: refused: is no pickle of images and booleans alone: {error}") from error
    if len(images) != 2 * len(same):
        raise BadInput(f"{path}: expected two images for each of {len(same)} pairs, got {len(images)}")
    return images, same


def _look_through(content: bytes) -> None:
    """Raise UnpicklingError for an instruction that is not needed, ValueError for what is no pickle."""
    for count, (instruction, argument, _place) in enumerate(pickletools.genops(content)):
        if instruction.name not in _PLAIN:
            raise pickle.UnpicklingError(f"it has the instruction {instruction.name}")
        # The table of remembered values is made as long as its largest number says.
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(str(argument)) > count:
            raise pickle.UnpicklingError(f"it numbers a value {argument} after {count} instructions")
        if count > _MOST_INSTRUCTIONS:
            raise pickle.UnpicklingError(f"it has more than {_MOST_INSTRUCTIONS} instructions")


def _items(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, _Stand):
        return list(_array(value))
    raise ValueError(f"it holds {type(value).__name__} where a list was expected")


def _image(item: Any) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, _Stand):
        array = _array(item)
        if isinstance(array, np.ndarray) and array.dtype.itemsize == 1:
            return array.tobytes()
    raise ValueError(f"it holds {type(item).__name__} where an encoded image was expected")


def _boolean(item: Any) -> bool:
    if isinstance(item, _Stand) and item.kind == "scalar":
        dtype, raw = item.parts
        item = np.frombuffer(raw, _dtype(dtype))[0]
    if isinstance(item, (bool, np.bool_)) or (isinstance(item, (int, np.integer)) and item in (0, 1)):
        return bool(item)
    raise ValueError(f"it holds {item!r:.80} where a boolean was expected")


def _array(stand: _Stand) -> Any:
    """The items of an array: a flat NumPy array of small numbers, or the list behind an array of objects."""
    if stand.kind == "buffer":
        raw, dtype = stand.parts[0], stand.parts[1]
    elif stand.kind == "array" and isinstance(stand.state, tuple) and len(stand.state) == 5:
        _version, _shape, dtype, _fortran, raw = stand.state
    else:
        raise ValueError(f"it holds {stand.kind} where an array was expected")
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, (bytes, bytearray)):
        raise ValueError(f"it holds an array of {type(raw).__name__}")
    return np.frombuffer(raw, _dtype(dtype))


def _dtype(stand: Any) -> np.dtype[Any]:
    code = stand.parts[0] if isinstance(stand, _Stand) and stand.kind == "dtype" and stand.parts else None
    text = code.decode("ascii") if isinstance(code, bytes) else code
    if text not in ("b1", "u1", "i1", "i4", "i8", "u4", "u8"):
        raise ValueError(f"it holds an array of type {text!r:.80}")
    return np.dtype(text)
