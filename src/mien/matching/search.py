"""Exact search over vectors in memory: the best identities of a probe, by each identity's best template."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.matching.scores import paired_scores
from mien.matching.shortlist import PROBE_BLOCK, IntArray, shortlist
from mien.types import FloatArray, Match

__all__ = ["SearchIndex", "Snapshot", "checked_threshold", "checked_top"]

_RESCORE_ROWS = 4096
_REMOVED = -1
_DEAD_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An index as it was at one moment; nothing in it changes, so any number of threads may search it.

    Attributes:
        vectors: ``(n, d) float32`` of unit norm.
        ids: ``(n,) int64`` template ids.
        codes: ``(n,) int64`` identity codes, -1 where the template is removed.
        dead: how many are removed.
    """

    vectors: FloatArray
    ids: IntArray
    codes: IntArray
    dead: int = 0

    def search(
        self, probes: ArrayLike, names: Mapping[int, str], *, top: int = 1, threshold: float | None = None
    ) -> list[list[Match]]:
        """What ``SearchIndex.search`` returns, at that moment."""
        matrix = np.ascontiguousarray(probes, dtype=np.float32)
        dimension = self.vectors.shape[1]
        if matrix.ndim != 2 or matrix.shape[1] != dimension:
            raise BadInput(f"probes: expected shape (m, {dimension}), got {matrix.shape}")
        top = checked_top(top)
        threshold = checked_threshold(threshold)
        found: list[list[Match]] = []
        for start in range(0, len(matrix), PROBE_BLOCK):
            block = matrix[start : start + PROBE_BLOCK]
            rows_of_each = shortlist(block, self.vectors, self.codes, top=top, threshold=threshold)
            found.extend(
                _ranked(probe, rows, self, names, top, threshold)
                for probe, rows in zip(block, rows_of_each, strict=True)
            )
        return found


class SearchIndex:
    """Vectors of unit norm with their template ids and identity codes, searched exactly.

    Any number of threads may search while one thread adds or removes; a search sees the index as it was when
    the search began. Threads that add or remove take turns by a lock of the caller's.

    Args:
        dimension: length d of a vector.

    Raises:
        BadInput: the dimension is not positive.
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise BadInput(f"dimension: expected at least 1, got {dimension}")
        self.dimension = dimension
        self._vectors = np.empty((0, dimension), np.float32)
        self._ids = np.empty(0, np.int64)
        self._codes = np.empty(0, np.int64)
        self._state = Snapshot(self._vectors, self._ids, self._codes)

    def snapshot(self) -> Snapshot:
        """The index as it is now; later adding and removing does not show in it."""
        return self._state

    def __len__(self) -> int:
        state = self._state
        return len(state.ids) - state.dead

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` more vectors at once, which spares copying as the index grows."""
        used = len(self._state.ids)
        if used + rows <= len(self._ids):
            return
        self._rebuild(np.arange(used), used + rows, self._state.dead)

    def add(self, ids: ArrayLike, codes: ArrayLike, vectors: ArrayLike) -> None:
        """Add vectors.

        Args:
            ids: ``(n,)`` template ids, none of them held already.
            codes: ``(n,)`` identity codes, not negative.
            vectors: ``(n, d) float32`` of unit norm; copied.

        Raises:
            BadInput: lengths, the dimension or the range of the codes do not fit.
        """
        new_ids, new_codes = np.asarray(ids, np.int64), np.asarray(codes, np.int64)
        new_vectors = np.asarray(vectors, np.float32)
        if new_vectors.ndim != 2 or new_vectors.shape[1] != self.dimension:
            raise BadInput(f"vectors: expected shape (n, {self.dimension}), got {new_vectors.shape}")
        if not new_ids.shape == new_codes.shape == new_vectors.shape[:1]:
            raise BadInput(f"lengths differ: ids {new_ids.shape}, codes {new_codes.shape}, vectors {new_vectors.shape}")
        if len(new_codes) and new_codes.min() < 0:
            raise BadInput(f"codes: expected none below 0, got {new_codes.min()}")
        state = self._state
        start, stop = len(state.ids), len(state.ids) + len(new_ids)
        if stop > len(self._ids):
            self.reserve(max(len(new_ids), start // 2))
        # Rows past the published ones belong to no search, so they may be written in place.
        self._vectors[start:stop], self._ids[start:stop], self._codes[start:stop] = new_vectors, new_ids, new_codes
        self._state = Snapshot(self._vectors[:stop], self._ids[:stop], self._codes[:stop], state.dead)

    def remove(self, ids: ArrayLike) -> list[int]:
        """Remove templates; ids that are not held are passed over.

        Returns:
            The codes of the identities that have lost their last template.
        """
        state = self._state
        rows = np.flatnonzero(np.isin(state.ids, np.asarray(ids, np.int64)))
        rows = rows[state.codes[rows] != _REMOVED]
        if not len(rows):
            return []
        touched = np.unique(state.codes[rows])
        dead = state.dead + len(rows)
        # A search under way may still read the old codes, so they are replaced and not overwritten.
        self._codes = self._codes.copy()
        self._codes[rows] = _REMOVED
        codes = self._codes[: len(state.ids)]
        self._state = Snapshot(state.vectors, state.ids, codes, dead)
        if dead > _DEAD_ROWS + len(state.ids) // 4 or dead == len(state.ids):
            self._rebuild(np.flatnonzero(codes != _REMOVED), len(state.ids) - dead, 0)
        gone: IntArray = touched[~np.isin(touched, codes)]
        return [int(code) for code in gone]

    def _rebuild(self, rows: IntArray, capacity: int, dead: int) -> None:
        state, used = self._state, len(rows)
        vectors, ids = np.empty((capacity, self.dimension), np.float32), np.empty(capacity, np.int64)
        codes = np.empty(capacity, np.int64)
        np.take(state.vectors, rows, axis=0, out=vectors[:used], mode="clip")
        ids[:used], codes[:used] = state.ids[rows], state.codes[rows]
        self._vectors, self._ids, self._codes = vectors, ids, codes
        self._state = Snapshot(vectors[:used], ids[:used], codes[:used], dead)

    def counts(self) -> dict[int, int]:
        """How many templates each identity code has."""
        state = self._state
        codes, counts = np.unique(state.codes[state.codes != _REMOVED], return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))

    def of_identity(self, code: int) -> tuple[IntArray, FloatArray]:
        """Ids ``(n,)``, ascending, and vectors ``(n, d)`` of one identity."""
        state = self._state
        rows = np.flatnonzero(state.codes == code)
        rows = rows[np.argsort(state.ids[rows])]
        return state.ids[rows], state.vectors[rows]

    def search(
        self, probes: ArrayLike, names: Mapping[int, str], *, top: int = 1, threshold: float | None = None
    ) -> list[list[Match]]:
        """The best identities of each probe, exactly: no approximation, the same answer alone or in a batch.

        Each identity counts once, by its best template (of equal ones, the one with the lowest id). Equal scores
        are ordered by identity name.

        Args:
            probes: ``(m, d) float32`` of unit norm, any m.
            names: the name of each identity code in the index.
            top: the most identities per probe, at least 1.
            threshold: the least score a match has (inclusive), or None for no limit.

        Returns:
            A list per probe, best match first; scores are those of ``paired_scores``.

        Raises:
            BadInput: the probes' shape, ``top`` or ``threshold`` is out of range.
        """
        return self.snapshot().search(probes, names, top=top, threshold=threshold)


def checked_top(top: int) -> int:
    """``top`` as an int of at least 1; raises BadInput."""
    try:
        number = operator.index(top)
    except TypeError as error:
        raise BadInput(f"top: expected a whole number, got {top!r}") from error
    if number < 1:
        raise BadInput(f"top: expected at least 1, got {number}")
    return number


def checked_threshold(threshold: float | None) -> float | None:
    """``threshold`` as a float or None; raises BadInput for NaN and what is no number."""
    if threshold is None:
        return None
    try:
        number = float(threshold)
    except (TypeError, ValueError) as error:
        raise BadInput(f"threshold: expected a number or None, got {threshold!r}") from error
    if math.isnan(number):
        raise BadInput("threshold: expected a number or None, got NaN")
    return number


def _ranked(
    probe: FloatArray, rows: IntArray, state: Snapshot, names: Mapping[int, str], top: int, threshold: float | None
) -> list[Match]:
    """The matches among ``rows``, scored in reference arithmetic."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _RESCORE_ROWS):
        part = slice(start, start + _RESCORE_ROWS)
        scores[part] = paired_scores(probe[None], state.vectors[rows[part]])
    if threshold is not None:
        # Compared in float64: a threshold such as 0.3 must not be rounded to float32 first.
        enough = scores.astype(np.float64) >= threshold
        rows, scores = rows[enough], scores[enough]
    order = np.lexsort((state.ids[rows], -scores))
    _, first = np.unique(state.codes[rows[order]], return_index=True)
    winners = order[np.sort(first)]
    if len(winners) > top:
        winners = winners[scores[winners] >= scores[winners[top - 1]]]
    ranking = sorted((-float(scores[i]), names[int(state.codes[rows[i]])], int(state.ids[rows[i]])) for i in winners)
    return [Match(name, -score, rank, id_) for rank, (score, name, id_) in enumerate(ranking[:top], start=1)]
