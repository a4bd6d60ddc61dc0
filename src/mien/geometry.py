"""Boxes, similarity transforms and non-maximum suppression, on arrays of many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.types import FloatArray

__all__ = ["apply_transforms", "box_iou", "non_maximum_suppression", "similarity_transforms", "transform_scales"]


def box_iou(xyxy: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union of every box with every other.

    Args:
        xyxy: ``(n, 4)`` left, top, right, bottom.
        others: ``(m, 4)``.

    Returns:
        ``(n, m) float32`` in 0..1; 0 where both boxes are empty.
    """
    low = np.maximum(xyxy[:, None, :2], others[None, :, :2])
    high = np.minimum(xyxy[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0), axis=1)
    other_area = np.prod(np.maximum(others[:, 2:] - others[:, :2], 0), axis=1)
    union = area[:, None] + other_area[None, :] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def non_maximum_suppression(xyxy: FloatArray, scores: FloatArray, iou: float) -> NDArray[np.intp]:
    """Greedy suppression: keep the best box, drop those that overlap it by more than ``iou``, and so on.

    Args:
        xyxy: ``(n, 4)`` boxes.
        scores: ``(n,)``; equal scores keep their order.
        iou: overlap above which the lower-scored box is dropped, 0..1.

    Returns:
        Indices of the kept boxes, best score first.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[np.intp] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        if len(waiting):
            waiting = waiting[box_iou(xyxy[best][None], xyxy[waiting])[0] <= iou]
    return np.asarray(kept, dtype=np.intp)


def similarity_transforms(points: FloatArray, reference: FloatArray) -> FloatArray:
    """Least-squares rotation, uniform scale and shift that take each set of points to the reference.

    The same transform as Umeyama's (IEEE PAMI 13(4), 1991) in two dimensions, where complex numbers
    give it in closed form: with centered points z and w, ``w = a z`` has the solution ``a = <z, w> / <z, z>``.

    Args:
        points: ``(n, k, 2)`` x, y of each set.
        reference: ``(k, 2)`` where they should come to lie.

    Returns:
        ``(n, 2, 3) float32`` affine matrices, points to reference.

    Raises:
        BadInput: shapes do not fit.
    """
    if points.ndim != 3 or points.shape[1:] != reference.shape or reference.shape[1] != 2:
        raise BadInput(f"expected points (n, k, 2) and reference (k, 2), got {points.shape} and {reference.shape}")
    z = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    w = reference[:, 0].astype(np.float64) + 1j * reference[:, 1]
    z_mean, w_mean = z.mean(axis=1), w.mean()
    centered = z - z_mean[:, None]
    spread = (np.abs(centered) ** 2).sum(axis=1)
    # Points that coincide fix no rotation or scale; the tiny floor keeps the matrix finite.
    a = (centered.conj() * (w - w_mean)).sum(axis=1) / np.maximum(spread, 1e-9)
    shift = w_mean - a * z_mean
    rows = np.stack([np.stack([a.real, -a.imag, shift.real], -1), np.stack([a.imag, a.real, shift.imag], -1)], 1)
    return np.asarray(rows, dtype=np.float32)


def transform_scales(matrices: FloatArray) -> FloatArray:
    """Uniform scale factor of each similarity: ``(n, 2, 3)`` to ``(n,) float32``."""
    return np.asarray(np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]), dtype=np.float32)


def apply_transforms(matrices: FloatArray, points: FloatArray) -> FloatArray:
    """Apply each affine ``(n, 2, 3)`` to its points ``(n, k, 2)``; returns ``(n, k, 2) float32``."""
    return np.asarray(points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2], dtype=np.float32)
