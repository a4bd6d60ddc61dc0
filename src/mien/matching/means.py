"""One vector an identity, the mean of its templates: by it the mean of their scores is found in one comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.matching.native import IntArray
from mien.matching.search import Snapshot
from mien.matching.segments import REMOVED, SEGMENT_ROWS, Segment, new_segment

__all__ = ["Means"]

_ROWS = 32_768


class Means:
    """Means of the identities of an index, brought up to date for those that changed.

    The score of a probe against the mean of vectors is the mean of its scores against each of them, as a scalar
    product is linear. Means are not scaled to unit norm, and always kept as float32.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._segments: tuple[Segment, ...] = ()
        self._changed: list[IntArray] = []
        self._made_for: Snapshot | None = None

    def touch(self, numbers: IntArray) -> None:
        """Identities whose templates have changed."""
        if self._made_for is not None:
            self._changed.append(numbers)

    def current(self, state: Snapshot, threads: int | None) -> Snapshot:
        """The means of the rows of ``state``."""
        if self._made_for is not state:
            changed, self._changed = self._changed, []
            if self._made_for is None or sum(map(len, changed)) > max(_ROWS, len(state) // 8):
                self._segments = tuple(_means(state, None, self._dimension))
            elif changed:
                numbers = np.unique(np.concatenate(changed))
                kept = [_cleared(segment, numbers) for segment in self._segments]
                new = _means(state, numbers, self._dimension)
                self._segments = tuple(segment for segment in (*kept, *new) if segment.dead < len(segment))
                if len(self._segments) > 16 + len(state) // SEGMENT_ROWS:
                    self._segments = tuple(_means(state, None, self._dimension))
            self._made_for = state
        return Snapshot(self._segments, self._dimension, "float32", threads)


def _cleared(segment: Segment, numbers: IntArray) -> Segment:
    rows = np.flatnonzero(np.isin(segment.identities, numbers))
    return segment.without(rows) if len(rows) else segment


def _means(state: Snapshot, numbers: IntArray | None, dimension: int) -> list[Segment]:
    """Segments of the means of some identities, or of all; an identity's id is the lowest of its templates'."""
    rows, owners, ids = [], [], []
    for place, segment in enumerate(state.segments):
        alive = segment.identities != REMOVED
        chosen = np.flatnonzero(alive if numbers is None else alive & np.isin(segment.identities, numbers))
        rows.append(np.stack([np.full(len(chosen), place), chosen], axis=1))
        owners.append(segment.identities[chosen])
        ids.append(segment.ids[chosen])
    if not sum(map(len, rows)):
        return []
    places, owner, id_ = np.concatenate(rows), np.concatenate(owners), np.concatenate(ids)
    order = np.lexsort((id_, owner))
    places, owner, id_ = places[order], owner[order], id_[order]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    result: list[Segment] = []
    for first in range(0, len(starts), _ROWS):
        group = starts[first : first + _ROWS]
        stop = starts[first + _ROWS] if first + _ROWS < len(starts) else len(owner)
        segment = new_segment(len(group), dimension, "float32")
        segment.ids[:], segment.identities[:] = id_[group], owner[group]
        _fill(segment, state.segments, places, np.r_[group, stop])
        result.append(segment.first(len(group), 0, bool(np.all(np.diff(segment.ids) > 0)), 0.0))
    return result


def _fill(target: Segment, segments: Sequence[Segment], places: IntArray, bounds: IntArray) -> None:
    """Write the mean of the rows ``places[bounds[i]:bounds[i + 1]]`` into row i, some thousands at a time."""
    if target.vectors is None:
        raise TypeError("means are kept as float32")
    i = 0
    while i < len(bounds) - 1:
        j = max(i + 1, int(np.searchsorted(bounds, bounds[i] + _ROWS, side="right")) - 1)
        part = places[bounds[i] : bounds[j]]
        vectors = np.empty((len(part), target.vectors.shape[1]), np.float64)
        for place in np.unique(part[:, 0]).tolist():
            here = part[:, 0] == place
            vectors[here] = segments[place].floats(part[here, 1])
        offsets = bounds[i:j] - bounds[i]
        sums = np.add.reduceat(vectors, offsets, axis=0)
        target.vectors[i:j] = sums / np.diff(np.r_[offsets, len(part)])[:, None]
        i = j
