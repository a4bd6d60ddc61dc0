"""Exact search over vectors in memory: the best identities of a probe."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.matching.codecs import Codec
from mien.matching.native import IntArray, Ranking, native_search
from mien.matching.ranking import numpy_search
from mien.matching.segments import REMOVED, Segment, taken
from mien.types import Match

__all__ = ["Names", "Snapshot", "checked_threshold", "checked_top"]

_PROBE_BLOCK = 1024
_RESULTS_A_BLOCK = 1 << 22
_FEW = 8


class Names(Protocol):
    """What gives an identity's name for its number: a dictionary, a list, a table."""

    def __getitem__(self, number: int, /) -> str:
        """The name."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An index as it was at one moment; nothing in it changes, so any number of threads may search it.

    Attributes:
        segments: the rows.
        dimension: length d of a vector.
        codec: how they are kept.
        threads: how many may work on one search; None for all processors.
    """

    segments: tuple[Segment, ...]
    dimension: int
    codec: Codec
    threads: int | None = None

    def __len__(self) -> int:
        return sum(len(segment) - segment.dead for segment in self.segments)

    def rank(
        self, probes: ArrayLike, *, top: int = 1, threshold: float | None = None, allowed: IntArray | None = None
    ) -> Ranking:
        """The best identities of each probe, as arrays: no approximation, the same answer alone or in a batch.

        Each identity counts once, by its best template. Equal scores are ordered by template id, the lower first.

        Args:
            probes: ``(m, d) float32`` of unit norm, any m.
            top: the most identities per probe, at least 1.
            threshold: the least score a match has (inclusive), or None for no limit.
            allowed: numbers of the identities to search among; None for all.

        Returns:
            Scores ``(m, k) float32``, those of ``paired_scores``; template ids and identity numbers ``(m, k)
            int64``; how many of them there are ``(m,) int64``. Best first; what is past the last is 0 and -1.

        Raises:
            BadInput: the probes' shape, ``top`` or ``threshold`` is out of range.
        """
        matrix = np.ascontiguousarray(probes, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != self.dimension:
            raise BadInput(f"probes: expected shape (m, {self.dimension}), got {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise BadInput("probes: expected finite numbers, got NaN or infinity")
        threshold = checked_threshold(threshold)
        segments = self.segments if allowed is None else self._among(allowed)
        top = max(1, min(checked_top(top), sum(len(segment) for segment in segments)))
        step = max(1, min(_PROBE_BLOCK, _RESULTS_A_BLOCK // top))
        parts = [
            self._rank_block(matrix[start : start + step], segments, top, threshold)
            for start in range(0, len(matrix), step)
        ]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            none = np.empty((0, top), np.int64)
            return none.astype(np.float32), none, none, np.empty(0, np.int64)
        scores, ids, identities, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return scores, ids, identities, counts

    def _rank_block(
        self, probes: np.typing.NDArray[np.float32], segments: Sequence[Segment], top: int, threshold: float | None
    ) -> Ranking:
        buffers = [segment.buffers() for segment in segments]
        found = native_search(buffers, probes, top, threshold, threads=self.threads)
        return numpy_search(segments, probes, top, threshold) if found is None else found

    def _among(self, allowed: IntArray) -> list[Segment]:
        """Segments in which only some identities are left."""
        wanted = np.unique(allowed[allowed >= 0])
        result: list[Segment] = []
        for segment in self.segments:
            keep = np.isin(segment.identities, wanted)
            count = int(keep.sum())
            if count == len(segment):
                result.append(segment)
            elif count * _FEW < len(segment):
                result.append(taken([segment], [np.flatnonzero(keep)], self.codec, self.dimension))
            else:
                result.append(segment.marked(np.where(keep, segment.identities, REMOVED), len(segment) - count))
        return [segment for segment in result if len(segment)]

    def search(
        self,
        probes: ArrayLike,
        names: Names,
        *,
        top: int = 1,
        threshold: float | None = None,
        allowed: IntArray | None = None,
    ) -> list[list[Match]]:
        """What ``rank`` finds, as matches: a list per probe, best first; ``names`` gives each identity's name."""
        scores, ids, identities, counts = self.rank(probes, top=top, threshold=threshold, allowed=allowed)
        known: dict[int, str] = {}
        found: list[list[Match]] = []
        for row, count in enumerate(counts.tolist()):
            matches = []
            columns = (array[row, :count].tolist() for array in (identities, scores, ids))
            for rank, (identity, score, id_) in enumerate(zip(*columns, strict=True), start=1):
                name = known.get(identity)
                if name is None:
                    name = known[identity] = names[identity]
                matches.append(Match(name, score, rank, id_))
            found.append(matches)
        return found


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
