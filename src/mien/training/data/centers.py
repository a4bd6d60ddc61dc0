"""Each person's center among templates, found so that wrong labels hardly move it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.types import FloatArray

__all__ = ["Centers", "robust_centers"]

_LEAST_NORM = 1e-6
_MOST_COMPARED = 400
_ROUNDS = 5
_CORE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Centers:
    """The people's centers, by label.

    Attributes:
        vectors: ``(c, d) float32`` of unit norm; zeros for a person without a template.
        counts: ``(c,) int64``, how many templates each has.
        core: ``(n,) bool``, the templates that their person's center is the mean of.
        own: ``(n,) float32`` score of each template with its own person's center, which is made without it; NaN where
            there is nothing else, or no label.
    """

    vectors: FloatArray
    counts: NDArray[np.int64]
    core: NDArray[np.bool_]
    own: FloatArray


def robust_centers(vectors: FloatArray, labels: NDArray[np.int32], classes: int, *, least: float) -> Centers:
    """Centers that hold while less than half of a person's images are of others.

    Begun is with the template whose median score with the person's others is the highest. Then the mean is taken of
    those that score at least ``least`` with the center, and at least half of all, until it stands still.

    Args:
        vectors: ``(n, d)`` of unit norm; rows of zeros count as none.
        labels: ``(n,)``, -1 for none.
        classes: how many people there are.
        least: the score below which a template hardly is the person's.
    """
    there = (labels >= 0) & (vectors != 0).any(axis=1)
    centers = np.zeros((classes, vectors.shape[1]), np.float32)
    own = np.full(len(vectors), np.nan, np.float32)
    core = np.zeros(len(vectors), np.bool_)
    counts = np.bincount(labels[there], minlength=classes).astype(np.int64)
    rows = np.flatnonzero(there)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    ends = np.cumsum(counts)
    for label in np.flatnonzero(counts).tolist():
        mine = rows[ends[label] - counts[label] : ends[label]]
        part = np.asarray(vectors[mine], np.float64)
        inside = _core_of(part, least)
        total = part[inside].sum(axis=0)
        centers[label] = _unit(total[None])[0]
        core[mine] = inside
        if len(mine) > 1:
            own[mine] = _without_oneself(part, inside, total)
    return Centers(centers, counts, core, own)


def _core_of(part: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Which of a person's templates make the center."""
    count = len(part)
    if count < 3:
        return np.ones(count, np.bool_)
    # Of very many, some stand for all: evenly drawn, so that it is the same every time.
    sample = part[np.linspace(0, count - 1, min(count, _MOST_COMPARED)).astype(np.int64)]
    center = sample[int(np.median(sample @ sample.T, axis=1).argmax())]
    inside = np.zeros(count, np.bool_)
    for _ in range(_ROUNDS):
        scores = part @ center
        limit = min(least, float(np.quantile(scores, 1 - _CORE)))
        new = scores >= limit
        if (new == inside).all():
            break
        inside = new
        center = _unit(part[inside].mean(axis=0)[None])[0]
    return inside


def _without_oneself(
    part: NDArray[np.float64], inside: NDArray[np.bool_], total: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores with the center of the others: a template's part in its own center would flatter it."""
    rest = total[None] - np.where(inside[:, None], part, 0)
    alone = inside & (inside.sum() == 1)
    # A core of one is compared with all the others.
    rest[alone] = part.sum(axis=0) - part[alone]
    return np.asarray(np.einsum("nd,nd->n", part, _unit(rest)))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST_NORM))
