"""A changing set of vectors that is searched in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import BadInput
from mien.matching.codecs import CODECS, Codec, Fusion
from mien.matching.index_file import open_index_file, write_index_file
from mien.matching.means import Means
from mien.matching.native import IntArray
from mien.matching.search import Names, Snapshot
from mien.matching.segments import REMOVED, SEGMENT_ROWS, Segment, new_segment, taken
from mien.types import FloatArray, Match

__all__ = ["SearchIndex"]

_SMALLEST = 256
_MOST_IDENTITIES = 1 << 31
_DEAD_ROWS = 1024
_MOST_SMALL = 16


class SearchIndex:
    """Vectors of unit norm with their template ids and identity numbers, searched exactly.

    Any number of threads may search while one thread adds or removes; a search sees the index as it was when
    the search began. Threads that add or remove take turns by a lock of the caller's.

    Args:
        dimension: length d of a vector.
        codec: ``float32``; ``int8``: a quarter of the bytes is scanned and the best are scored in float32, with the
            same results; ``int8-only``: a quarter of the memory, and vectors rounded to int8.
        threads: how many may work on one search; None for all processors of the process.

    Raises:
        BadInput: the dimension is not positive, or there is no such codec.
    """

    def __init__(self, dimension: int, codec: Codec = "float32", *, threads: int | None = None) -> None:
        if dimension < 1:
            raise BadInput(f"dimension: expected at least 1, got {dimension}")
        if codec not in CODECS:
            raise BadInput(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
        self.dimension = dimension
        self.codec: Codec = codec
        self._threads = threads
        self._room: Segment | None = None
        self._expected = 0
        self._counts = np.zeros(0, np.int64)
        self._means = Means(dimension)
        self._fusing = threading.Lock()
        self._state = Snapshot((), dimension, codec, threads)

    def snapshot(self, fusion: Fusion = "max") -> Snapshot:
        """The index as it is now; later adding and removing does not show in it.

        Args:
            fusion: what an identity's score is made of: ``max``, its best template; ``mean``, the mean of its
                templates' scores, found as the score of their mean, under the lowest of their ids.
        """
        if fusion == "max":
            return self._state
        with self._fusing:
            return self._means.current(self._state, self._threads)

    def __len__(self) -> int:
        return len(self._state)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, or of a mapped file, that the rows take."""
        return sum(a.nbytes for s in self._state.segments for a in s.arrays if a is not None)

    def reserve(self, rows: int) -> None:
        """Say that about ``rows`` more vectors will come, which spares small steps of growth."""
        self._expected = rows

    def add(self, ids: ArrayLike, identities: ArrayLike, vectors: ArrayLike) -> None:
        """Add vectors.

        Args:
            ids: ``(n,)`` template ids, none of them held already.
            identities: ``(n,)`` identity numbers, from 0, below 2^31.
            vectors: ``(n, d) float32`` of unit norm; copied.

        Raises:
            BadInput: lengths, the dimension or the range of the numbers do not fit, or a vector is not finite.
        """
        new_ids, numbers = np.asarray(ids, np.int64), np.asarray(identities, np.int64)
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise BadInput(f"vectors: expected shape (n, {self.dimension}), got {rows.shape}")
        if not new_ids.shape == numbers.shape == rows.shape[:1]:
            raise BadInput(f"lengths differ: ids {new_ids.shape}, identities {numbers.shape}, vectors {rows.shape}")
        if not len(new_ids):
            return
        if numbers.min() < 0 or numbers.max() >= _MOST_IDENTITIES:
            raise BadInput(f"identities: expected 0 to {_MOST_IDENTITIES - 1}, got {numbers.min()}..{numbers.max()}")
        flat = np.ascontiguousarray(rows).ravel()
        # A sum of squares is finite only if every number is, and takes a fraction of the time of asking each.
        if not np.isfinite(np.dot(flat, flat)):
            raise BadInput("vectors: expected finite numbers, got NaN or infinity")
        self._count(numbers, 1)
        segments = list(self._state.segments)
        start = 0
        while start < len(new_ids):
            if self._room is None or len(segments[-1]) == len(self._room):
                self._room = self._new_room(len(new_ids) - start)
                segments.append(self._room.first(0, 0, True, 0.0))
            last = segments[-1]
            stop = min(len(new_ids), start + len(self._room) - len(last))
            part = new_ids[start:stop]
            # Rows past those in use belong to no search, so they may be written in place.
            error = self._room.write(len(last), part, numbers[start:stop], rows[start:stop])
            rising = last.rising and bool(np.all(np.diff(part) > 0)) and (not len(last) or part[0] > last.ids[-1])
            segments[-1] = self._room.first(len(last) + len(part), last.dead, rising, max(last.error, error))
            start = stop
        self._publish(segments, numbers)

    def _new_room(self, wanted: int) -> Segment:
        total = sum(len(segment) for segment in self._state.segments)
        rows = min(SEGMENT_ROWS, max(_SMALLEST, wanted, total, self._expected))
        self._expected = max(0, self._expected - rows)
        return new_segment(rows, self.dimension, self.codec)

    def _publish(self, segments: list[Segment], changed: IntArray) -> None:
        """Let searches see the segments; the means of the identities that changed must not fall behind them."""
        with self._fusing:
            self._state = Snapshot(tuple(segments), self.dimension, self.codec, self._threads)
            self._means.touch(changed)

    def _count(self, numbers: IntArray, sign: int) -> None:
        highest = int(numbers.max())
        if highest >= len(self._counts):
            grown = np.zeros(max(highest + 1, 2 * len(self._counts)), np.int64)
            grown[: len(self._counts)] = self._counts
            self._counts = grown
        np.add.at(self._counts, numbers, sign)

    def remove(self, ids: ArrayLike) -> list[int]:
        """Remove templates; ids that are not held are passed over.

        Returns:
            The numbers of the identities that have lost their last template.
        """
        wanted = np.unique(np.asarray(ids, np.int64))
        segments = list(self._state.segments)
        touched: list[IntArray] = []
        for place, segment in enumerate(segments):
            rows = segment.find(wanted)
            if not len(rows):
                continue
            touched.append(segment.identities[rows])
            segments[place] = left = self._without(segment, rows, place == len(segments) - 1)
            if left.dead == len(left) or left.dead > _DEAD_ROWS + len(left) // 4:
                alive = np.flatnonzero(left.identities != REMOVED)
                segments[place] = taken([left], [alive], self.codec, self.dimension)
                self._room = None if place == len(segments) - 1 else self._room
        if not touched:
            return []
        numbers = np.concatenate(touched)
        self._count(numbers, -1)
        self._publish(self._joined([segment for segment in segments if len(segment)]), numbers)
        unique = np.unique(numbers)
        return [int(number) for number in unique[self._counts[unique] == 0]]

    def _without(self, segment: Segment, rows: IntArray, is_last: bool) -> Segment:
        """A segment with rows marked as removed, and the room behind it likewise, if it is the last one."""
        if not is_last or self._room is None:
            return segment.without(rows)
        identities = self._room.identities.copy()
        identities[rows] = REMOVED
        self._room = self._room.marked(identities, 0)
        return self._room.first(len(segment), segment.dead + len(rows), segment.rising, segment.error)

    def _joined(self, segments: list[Segment]) -> list[Segment]:
        """Fewer segments, where removals have left many small ones."""
        if len(segments) <= _MOST_SMALL + 2 * (sum(map(len, segments)) // SEGMENT_ROWS):
            return segments
        self._room = None
        groups: list[list[Segment]] = []
        for segment in segments:
            if groups and sum(map(len, groups[-1])) + len(segment) <= SEGMENT_ROWS:
                groups[-1].append(segment)
            else:
                groups.append([segment])
        rows = [[np.flatnonzero(s.identities != REMOVED) for s in group] for group in groups]
        return [taken(group, chosen, self.codec, self.dimension) for group, chosen in zip(groups, rows, strict=True)]

    def counts(self) -> dict[int, int]:
        """How many templates each identity number has."""
        numbers = np.flatnonzero(self._counts)
        return dict(zip(numbers.tolist(), self._counts[numbers].tolist(), strict=True))

    def of_identity(self, number: int) -> tuple[IntArray, FloatArray]:
        """Ids ``(n,)``, ascending, and vectors ``(n, d)`` of one identity."""
        ids, vectors = [np.empty(0, np.int64)], [np.empty((0, self.dimension), np.float32)]
        for segment in self._state.segments:
            rows = np.flatnonzero(segment.identities == number)
            if len(rows):
                ids.append(segment.ids[rows])
                vectors.append(segment.floats(rows))
        found, matrix = np.concatenate(ids), np.concatenate(vectors)
        order = np.argsort(found)
        return found[order], matrix[order]

    def ids(self) -> IntArray:
        """``(n,)``, the ids of all templates, ascending."""
        held = [segment.ids[segment.identities != REMOVED] for segment in self._state.segments]
        return np.sort(np.concatenate([np.empty(0, np.int64), *held]))

    def removed_ids(self) -> IntArray:
        """``(n,)``, the ids of removed templates whose rows are still held; after ``load`` all that the file lacks."""
        gone = [segment.ids[segment.identities == REMOVED] for segment in self._state.segments]
        return np.concatenate([np.empty(0, np.int64), *gone])

    def rows(self, ids: ArrayLike) -> Segment:
        """The rows of those of ``ids`` that are held, as they are stored; a copy."""
        wanted, segments = np.unique(np.asarray(ids, np.int64)), self._state.segments
        return taken(segments, [segment.find(wanted) for segment in segments], self.codec, self.dimension)

    def search(
        self,
        probes: ArrayLike,
        names: Names,
        *,
        top: int = 1,
        threshold: float | None = None,
        allowed: IntArray | None = None,
        fusion: Fusion = "max",
    ) -> list[list[Match]]:
        """Search the index as it is now: see ``Snapshot.rank`` and ``snapshot``."""
        return self.snapshot(fusion).search(probes, names, top=top, threshold=threshold, allowed=allowed)

    def save(self, path: Path, facts: Mapping[str, Any], *, progress: Callable[[int], None] | None = None) -> None:
        """Write the index to a file that ``load`` maps into memory; the file appears whole or not at all.

        Args:
            path: where to.
            facts: what else to keep, as JSON.
            progress: is told of templates that are written, how many more each time.

        Raises:
            OSError: the file cannot be written.
        """
        write_index_file(path, self._state, facts, progress)

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> tuple[SearchIndex, dict[str, Any]]:
        """An index whose rows stay in the file and come into memory as they are needed, and the file's facts.

        Raises:
            BadInput: the file is no index, of another version, or damaged where that shows without reading the vectors.
            OSError: it cannot be read.
        """
        segments, dimension, codec, facts = open_index_file(path)
        index = cls(dimension, codec, threads=threads)
        for segment in segments:
            alive = segment.identities[segment.identities != REMOVED]
            if len(alive):
                index._count(np.asarray(alive), 1)
        index._publish(segments, np.empty(0, np.int64))
        return index, facts
