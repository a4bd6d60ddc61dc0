"""How templates are stored: float32, or one byte a number.

An int8 vector is the float32 vector scaled so that its largest number becomes 127, and rounded; its scale need not
be kept, since a template has unit norm. Encoding what was decoded gives the same bytes again.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["CODECS", "FUSIONS", "Codec", "Fusion", "decode", "dequantize", "encode", "quantize", "stored_width"]

Codec = Literal["float32", "int8", "int8-only"]
"""``float32``; ``int8``: scanned as int8 and scored as float32; ``int8-only``: int8 and nothing else."""

CODECS: tuple[Codec, ...] = get_args(Codec)

Fusion = Literal["max", "mean"]
"""An identity's score over its templates' scores."""

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)

_LARGEST = 127
_BLOCK_ROWS = 16_384


def quantize(vectors: FloatArray) -> NDArray[np.int8]:
    """``(n, d) int8`` of ``(n, d) float32`` vectors: each scaled to a largest absolute number of 127, and rounded."""
    codes = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        largest = np.abs(block).max(axis=1, keepdims=True, initial=0)
        scaled = block * (np.float32(_LARGEST) / np.maximum(largest, np.finfo(np.float32).tiny))
        np.rint(scaled, out=scaled)
        codes[start : start + _BLOCK_ROWS] = scaled
    return codes


def dequantize(codes: NDArray[np.int8]) -> FloatArray:
    """``(n, d) float32`` of unit norm from ``(n, d) int8`` codes (zeros stay zeros)."""
    return np.asarray(codes * scales(codes)[:, None], dtype=np.float32)


def scales(codes: NDArray[np.int8]) -> FloatArray:
    """``(n,) float32``, what each row of codes is multiplied by to have unit norm (0 for a row of zeros)."""
    squares = np.einsum("ij,ij->i", codes, codes, dtype=np.int64).astype(np.float64)
    return np.where(squares > 0, 1 / np.sqrt(np.maximum(squares, 1)), 0).astype(np.float32)


def stored_width(codec: Codec, dimension: int) -> int:
    """Bytes of one stored template."""
    return dimension if codec == "int8-only" else 4 * dimension


def encode(vectors: FloatArray, codec: Codec) -> NDArray[np.uint8]:
    """``(n, width) uint8``: what is stored for ``(n, d) float32`` vectors of unit norm (float32 little-endian)."""
    if codec == "int8-only":
        return quantize(vectors).view(np.uint8)
    return np.ascontiguousarray(vectors, "<f4").view(np.uint8)


def decode(data: bytes, codec: Codec, dimension: int) -> FloatArray:
    """``(n, d) float32`` of unit norm from the stored bytes of n templates, one behind the other.

    Raises:
        BadInput: the bytes are no whole number of templates.
    """
    width = stored_width(codec, dimension)
    if len(data) % width:
        raise BadInput(f"expected templates of {width} bytes, got {len(data)} bytes")
    if codec == "int8-only":
        return dequantize(np.frombuffer(data, np.int8).reshape(-1, dimension))
    return np.frombuffer(data, "<f4").reshape(-1, dimension).astype(np.float32, copy=False)
