"""The rows of an index: a few blocks of arrays that grow at the end and are never moved while they are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.matching.codecs import Codec, dequantize, quantize, scales
from mien.matching.native import Buffers, IntArray, native_quantize
from mien.types import FloatArray

__all__ = ["REMOVED", "SEGMENT_ROWS", "Segment", "new_segment", "taken"]

REMOVED = -1
"""The identity of a row whose template was removed."""

SEGMENT_ROWS = 65_536
"""The most rows of a segment: what a removal may have to copy is bounded by it."""

_HUGE_PAGE = 2 << 20

Codes = NDArray[np.int8]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows of one codec; what is in use does not change, but for nothing but whole replacement.

    Attributes:
        vectors: ``(n, d) float32`` of unit norm; None for ``int8-only``.
        codes: ``(n, d) int8``; None for ``float32``.
        scales: ``(n,) float32``: ``scales * codes`` has unit norm; None for ``float32``.
        ids: ``(n,) int64`` template ids.
        identities: ``(n,) int64``, not negative, or ``REMOVED``.
        dead: how many are removed.
        rising: whether the ids rise from row to row.
        error: for ``int8``, the largest norm of ``vectors - scales * codes``, or a little more.
    """

    vectors: FloatArray | None
    codes: Codes | None
    scales: FloatArray | None
    ids: IntArray
    identities: IntArray
    dead: int = 0
    rising: bool = True
    error: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def arrays(self) -> tuple[NDArray[np.generic] | None, ...]:
        """The five arrays, in order."""
        return (self.vectors, self.codes, self.scales, self.ids, self.identities)

    def first(self, rows: int, dead: int, rising: bool, error: float) -> Segment:
        """The same memory, as long as ``rows``."""
        return Segment(
            None if self.vectors is None else self.vectors[:rows],
            None if self.codes is None else self.codes[:rows],
            None if self.scales is None else self.scales[:rows],
            self.ids[:rows],
            self.identities[:rows],
            dead,
            rising,
            error,
        )

    def write(self, start: int, ids: IntArray, identities: IntArray, vectors: FloatArray) -> float:
        """Fill rows from ``start`` on, which belong to no search yet; their ``error``."""
        stop = start + len(ids)
        self.ids[start:stop], self.identities[start:stop] = ids, identities
        if self.vectors is not None:
            self.vectors[start:stop] = vectors
        if self.codes is None or self.scales is None:
            return 0.0
        quantized = native_quantize(vectors)
        if quantized is None:
            codes = quantize(vectors)
            factors = scales(codes)
            errors = np.linalg.norm(vectors - codes * factors[:, None], axis=1) * 1.00001 + 1e-6
        else:
            codes, factors, errors = quantized
        self.codes[start:stop], self.scales[start:stop] = codes, factors
        return 0.0 if self.vectors is None else float(errors.max(initial=0.0))

    def find(self, ids: IntArray) -> IntArray:
        """The rows of those of ``ids`` (sorted) that are here and not removed."""
        if not len(self.ids):
            return np.empty(0, np.int64)
        if self.rising:
            low, high = np.searchsorted(ids, (self.ids[0], self.ids[-1] + 1))
            wanted = ids[low:high]
            rows = np.searchsorted(self.ids, wanted)
            rows = rows[self.ids[rows] == wanted]
        else:
            rows = np.flatnonzero(np.isin(self.ids, ids))
        return np.asarray(rows[self.identities[rows] != REMOVED], np.int64)

    def without(self, rows: IntArray) -> Segment:
        """This segment with some rows marked as removed; searches under way still read the old marks."""
        identities = self.identities.copy()
        identities[rows] = REMOVED
        return self.marked(identities, self.dead + len(rows))

    def marked(self, identities: IntArray, dead: int) -> Segment:
        """The same rows under other identities."""
        return replace(self, identities=identities, dead=dead)

    def floats(self, rows: IntArray | slice) -> FloatArray:
        """``(k, d) float32`` of unit norm, decoded where need be."""
        if self.vectors is not None:
            return np.asarray(self.vectors[rows])
        if self.codes is None:
            raise TypeError("a segment without vectors and codes")
        return dequantize(np.asarray(self.codes[rows]))

    def buffers(self) -> Buffers:
        """The arrays as the native search takes them."""
        return (self.vectors, self.codes, self.scales, self.error, self.ids, self.identities)


def new_segment(capacity: int, dimension: int, codec: Codec) -> Segment:
    """Room for ``capacity`` rows."""
    int8 = codec != "float32"
    return Segment(
        None if codec == "int8-only" else _on_huge_pages(capacity, dimension, np.float32),
        _on_huge_pages(capacity, dimension, np.int8) if int8 else None,
        np.empty(capacity, np.float32) if int8 else None,
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
    )


def _on_huge_pages(rows: int, columns: int, kind: type[Number]) -> NDArray[Number]:
    """An empty matrix that starts where a huge page does, if it is large.

    NumPy asks the system for huge pages, but what its memory allocator gives starts in the middle of one: of the
    8 MB of a segment 2 MB would stay on small pages, and a scan of it be a tenth slower.
    """
    size = rows * columns * np.dtype(kind).itemsize
    if size < _HUGE_PAGE:
        return np.empty((rows, columns), kind)
    room = np.empty(size + _HUGE_PAGE, np.uint8)
    start = -room.ctypes.data % _HUGE_PAGE
    return room[start : start + size].view(kind).reshape(rows, columns)


def taken(segments: Sequence[Segment], rows: Sequence[IntArray], codec: Codec, dimension: int) -> Segment:
    """One new segment of chosen rows of several."""
    result = new_segment(sum(len(r) for r in rows), dimension, codec)
    start = 0
    for segment, chosen in zip(segments, rows, strict=True):
        stop = start + len(chosen)
        for source, target in zip(segment.arrays, result.arrays, strict=True):
            if source is not None and target is not None:
                target[start:stop] = source[chosen]
        start = stop
    rising = bool(np.all(np.diff(result.ids) > 0))
    error = max((segment.error for segment in segments), default=0.0)
    return replace(result, dead=int((result.identities == REMOVED).sum()), rising=rising, error=error)
