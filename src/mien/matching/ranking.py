"""The search in NumPy, for where the native one was not built: the same answers, several times slower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.matching.native import IntArray, Ranking
from mien.matching.scores import paired_scores, sums_of_products
from mien.matching.segments import Segment
from mien.matching.shortlist import PROBE_BLOCK, shortlist
from mien.types import FloatArray

__all__ = ["numpy_search"]

_ROWS = 16_384


def numpy_search(segments: Sequence[Segment], probes: FloatArray, top: int, threshold: float | None) -> Ranking:
    """What ``native.native_search`` returns."""
    shape = (len(probes), top)
    scores, counts = np.zeros(shape, np.float32), np.zeros(len(probes), np.int64)
    ids, identities = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    for start in range(0, len(probes), PROBE_BLOCK):
        block = probes[start : start + PROBE_BLOCK]
        found: list[list[tuple[FloatArray, IntArray, IntArray]]] = [[] for _ in block]
        for segment in segments:
            for first in range(0, len(segment), _ROWS):
                part = slice(first, first + _ROWS)
                rows = shortlist(block, segment.floats(part), segment.identities[part], top=top, threshold=threshold)
                for one, probe, chosen in zip(found, block, rows, strict=True):
                    places = chosen + first
                    one.append((_exact(probe, segment, places), segment.ids[places], segment.identities[places]))
        for i, one in enumerate(found, start=start):
            best = _best(one, top, threshold) if one else None
            if best is not None:
                counts[i] = count = len(best[0])
                scores[i, :count], ids[i, :count], identities[i, :count] = best
    return scores, ids, identities, counts


def _exact(probe: FloatArray, segment: Segment, rows: IntArray) -> FloatArray:
    """Scores ``(k,)`` of some rows in reference arithmetic."""
    if segment.vectors is not None:
        return paired_scores(probe[None], segment.vectors[rows])
    if segment.codes is None or segment.scales is None:
        raise TypeError("a segment without vectors and codes")
    codes = segment.codes[rows]
    sums = sums_of_products(np.broadcast_to(probe, codes.shape), codes)
    return np.clip((segment.scales[rows].astype(np.float64) * sums).astype(np.float32), -1, 1)


def _best(
    parts: Sequence[tuple[FloatArray, IntArray, IntArray]], top: int, threshold: float | None
) -> tuple[FloatArray, IntArray, IntArray]:
    """The best ``top`` identities among scored rows."""
    scores, ids, identities = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if threshold is not None:
        # Compared in float64: a threshold such as 0.3 must not be rounded to float32 first.
        enough = scores.astype(np.float64) >= threshold
        scores, ids, identities = scores[enough], ids[enough], identities[enough]
    order = np.lexsort((ids, -scores))
    _, first = np.unique(identities[order], return_index=True)
    order = order[np.sort(first)][:top]
    return scores[order], ids[order], identities[order]
