"""Comparison scores of unit vectors: the cosine of the angle between them, higher is more alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["cosine_scores", "paired_scores"]

_BLOCK_NUMBERS = 1 << 19


def _rows(name: str, value: ArrayLike) -> NDArray[Any]:
    array = np.asarray(value, dtype=np.float32)
    if array.ndim != 2:
        raise BadInput(f"{name}: expected shape (n, d), got {array.shape}")
    return array


def cosine_scores(probes: ArrayLike, gallery: ArrayLike) -> FloatArray:
    """Scores of every probe against every gallery vector, by one matrix product.

    The product sums in an order that depends on the shapes, so the last bit of a score may differ between one
    probe and many; ``paired_scores`` gives the same bits always.

    Args:
        probes: ``(m, d)`` vectors of unit norm.
        gallery: ``(n, d)`` vectors of unit norm.

    Returns:
        ``(m, n) float32`` in -1..1, within 1e-6 of ``paired_scores``.

    Raises:
        BadInput: an argument is not two-dimensional, or the two differ in d.
    """
    left, right = _rows("probes", probes), _rows("gallery", gallery)
    if left.shape[1] != right.shape[1]:
        raise BadInput(f"gallery: expected vectors of dimension {left.shape[1]}, got {right.shape[1]}")
    scores: FloatArray = left @ right.T
    return np.clip(scores, -1, 1, out=scores)


def paired_scores(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Scores of row i of ``a`` against row i of ``b``: the reference that a search reports.

    Products of float32 numbers are exact in float64, and every row is summed in one order, that of eight running sums
    (numbers 0, 8, 16…, numbers 1, 9, 17…, and so on) which are then added in pairs. So equal vectors get equal scores,
    whatever stands beside them, and the native search computes the same bits.

    Args:
        a: ``(n, d)`` vectors of unit norm, or ``(1, d)`` to compare one vector with all of ``b``.
        b: ``(n, d)`` vectors of unit norm.

    Returns:
        ``(n,) float32`` in -1..1.

    Raises:
        BadInput: an argument is not two-dimensional, or the shapes do not fit.
    """
    left, right = _rows("a", a), _rows("b", b)
    if left.shape[1] != right.shape[1] or len(left) not in (1, len(right)):
        raise BadInput(f"a: expected shape {right.shape} or (1, {right.shape[1]}), got {left.shape}")
    left = np.broadcast_to(left, right.shape)
    scores = np.empty(len(right), np.float32)
    step = max(1, _BLOCK_NUMBERS // max(1, right.shape[1]))
    for start in range(0, len(right), step):
        part = slice(start, start + step)
        scores[part] = sums_of_products(left[part], right[part])
    return np.clip(scores, -1, 1, out=scores)


def sums_of_products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """``(n,) float64``: the sum of the products of each row of one ``(n, d)`` array with that of another."""
    products = np.multiply(left, right, dtype=np.float64)
    sums = np.zeros((len(products), 8))
    for start in range(0, products.shape[1], 8):
        part = products[:, start : start + 8]
        sums[:, : part.shape[1]] += part
    pairs = sums[:, 0::2] + sums[:, 1::2]
    return np.asarray((pairs[:, 0] + pairs[:, 1]) + (pairs[:, 2] + pairs[:, 3]))
