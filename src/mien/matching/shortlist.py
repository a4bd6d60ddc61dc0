"""The scan in NumPy: which stored templates can be among the best of a probe. Used where the native one is missing.

A matrix product is fast but rounds by its own order of summation. Everything that rounding could have pushed
out is kept, so the search can score the shortlist again in reference arithmetic and be exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.types import FloatArray

__all__ = ["PROBE_BLOCK", "shortlist"]

PROBE_BLOCK = 128
"""The most probes one call may hand in; bounds the score buffer to ``PROBE_BLOCK`` rows."""

_BLOCK_SCORES = 1 << 20
_HEAD = 4096
_EXTRA = 32

IntArray = NDArray[np.int64]


def _slack(dimension: int) -> float:
    """Twice the largest rounding error of a float32 dot product of unit vectors.

    Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: at most d·u/(1 - d·u) times the norms,
    with u = 2^-24, in any order of summation; 1.01 covers norms that are off by the 1e-3 that templates may be, and
    4 in place of 0 the rounding of the score itself and of vectors that were decoded from int8.
    """
    return 2 * 1.01 * (dimension + 4) * 2.0**-24


class _Candidates:
    """The candidates of one probe so far: those that no later pruning may drop, and those not yet pruned."""

    def __init__(self, top: int, floor: float, slack: float) -> None:
        self.top, self.floor, self.slack = top, floor, slack
        self.rows: list[IntArray] = []
        self.scores: list[FloatArray] = []
        self.pending = 0
        self.settled = 0

    def take(self, rows: IntArray, scores: FloatArray, codes: IntArray) -> None:
        """Add rows; prune once the new ones outnumber the settled ones, so that all pruning stays near linear."""
        self.rows.append(rows)
        self.scores.append(scores)
        self.pending += len(rows)
        if self.pending > self.settled + 4 * self.top + _EXTRA:
            self.prune(codes)

    def prune(self, codes: IntArray) -> IntArray:
        """Drop every row that cannot be the best of one of the ``top`` best identities; the rows left."""
        if not self.rows:
            return np.empty(0, np.int64)
        rows, scores = np.concatenate(self.rows), np.concatenate(self.scores)
        size = 4 * self.top + _EXTRA
        while size < len(rows):
            best = np.argpartition(scores, len(scores) - size)[len(scores) - size :]
            kth = self._kth_best(scores[best], codes[rows[best]])
            if kth is not None:
                keep = scores >= kth - self.slack
                rows, scores = rows[keep], scores[keep]
                break
            size *= 4
        keep = self._may_win(scores, codes[rows])
        rows, scores = rows[keep], scores[keep]
        self.rows, self.scores, self.pending, self.settled = [rows], [scores], 0, len(rows)
        return rows

    def _kth_best(self, scores: FloatArray, codes: IntArray) -> float | None:
        """The best score of the ``top``-th best identity, or None with fewer identities."""
        best, _ = _best_of_each(scores, codes)
        return float(np.partition(best, len(best) - self.top)[len(best) - self.top]) if len(best) >= self.top else None

    def _may_win(self, scores: FloatArray, codes: IntArray) -> NDArray[np.bool_]:
        best, identity = _best_of_each(scores, codes)
        if len(best) >= self.top:
            kth = float(np.partition(best, len(best) - self.top)[len(best) - self.top])
            self.floor = max(self.floor, kth - self.slack)
        return np.asarray((scores >= self.floor) & (scores >= best[identity] - self.slack))


def _best_of_each(scores: FloatArray, codes: IntArray) -> tuple[FloatArray, IntArray]:
    """The best score of each identity, and for each row the position of its identity in there."""
    order = np.argsort(-scores, kind="stable")
    _, first, inverse = np.unique(codes[order], return_index=True, return_inverse=True)
    identity = np.empty(len(codes), np.int64)
    identity[order] = inverse
    return scores[order[first]], identity


def shortlist(
    probes: FloatArray, vectors: FloatArray, codes: IntArray, *, top: int, threshold: float | None
) -> list[IntArray]:
    """Rows of ``vectors`` that can be the best template of one of the ``top`` best identities, for each probe.

    Memory stays below about 8 MB beside the answer, whatever the size of the gallery.

    Args:
        probes: ``(m, d) float32`` of unit norm, m at most ``PROBE_BLOCK``.
        vectors: ``(n, d) float32`` of unit norm, contiguous.
        codes: ``(n,) int64``, the identity of each vector; a negative code means that the row is removed.
        top: how many identities are wanted, at least 1.
        threshold: the least score wanted, or None.

    Returns:
        For each probe an array of rows, in no order: all true winners, and a few more.
    """
    dimension = vectors.shape[1]
    slack = _slack(dimension)
    floor = -np.inf if threshold is None else threshold - slack
    found = [_Candidates(top, floor, slack) for _ in probes]
    floors = np.full(len(probes), floor)
    # Few probes take long blocks: each product waits for all its threads, so one long product beats many short.
    step = _BLOCK_SCORES // max(1, len(probes))
    buffer = np.empty((len(probes), min(step, len(vectors))), np.float32)
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        scores = buffer[:, : len(block)]
        if len(probes) == 1:
            np.dot(block, probes[0], out=scores[0])
        else:
            np.matmul(probes, block.T, out=scores)
        for i in np.flatnonzero(scores.max(axis=1) >= floors):
            # The first rows alone find a floor that spares sorting most of the others.
            parts = [slice(0, _HEAD), slice(_HEAD, None)] if start == 0 else [slice(0, None)]
            for part in parts:
                row = scores[i, part]
                rows = np.flatnonzero(row >= floors[i])
                places = rows + (start + part.start)
                alive = codes[places] >= 0
                if alive.any():
                    found[i].take(places[alive], row[rows[alive]], codes)
                    floors[i] = found[i].floor
    return [candidates.prune(codes) for candidates in found]
