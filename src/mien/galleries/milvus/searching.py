"""The search: the engine finds which templates can be among the best, and mien ranks their identities.

The engine ranks templates, and a gallery's answer ranks identities, so it is asked for more and more templates until
none that it has not named can change the answer. Its scores are float32 sums in an order of its own; whatever such
rounding could have pushed out is taken in, so with an exact index (FLAT) the answer is that of every other gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import GalleryError
from mien.galleries.milvus.connection import Connection, Row
from mien.galleries.milvus.schema import any_of, search_parameters
from mien.matching import Fusion, SearchIndex
from mien.types import FloatArray, Match, Templates

__all__ = ["Search"]

_MOST_HITS = 16_384
_GROWTH = 6
_PROBES_AT_ONCE = 64
_ANSWER_BYTES = 8 << 20
_ROW_BYTES = 300
_PERSONS_AT_ONCE = 2000
_FIELDS = ("id", "vector", "person", "name")


@dataclass(frozen=True, slots=True)
class Search:
    """What is wanted of a search, beside the probes.

    Attributes:
        connection: where.
        collection: that holds the templates.
        where: the condition for templates that count.
        persons: the keys of the identities to search among, or None for all.
        top: the most identities.
        threshold: the least score, or None.
        fusion: an identity's score over its templates.
        index: the kind of the collection's index.
    """

    connection: Connection
    collection: str
    where: str
    persons: Sequence[str] | None
    top: int
    threshold: float | None
    fusion: Fusion
    index: str

    def __call__(self, probes: Templates) -> list[list[Match]]:
        """What ``Gallery.search`` returns."""
        found: list[list[Match]] = []
        for start in range(0, len(probes), _PROBES_AT_ONCE):
            block = probes.vectors[start : start + _PROBES_AT_ONCE]
            pool = _Pool(probes.dimension, self.fusion)
            for where in self._conditions():
                self._gather(pool, block, where)
            found.extend(pool.search(block, self.top, self.threshold))
        return found

    def _conditions(self) -> Iterable[str]:
        if self.persons is None:
            return [self.where]
        parts = (self.persons[i : i + _PERSONS_AT_ONCE] for i in range(0, len(self.persons), _PERSONS_AT_ONCE))
        return [f"{self.where} and {any_of('person', part)}" for part in parts]

    def _gather(self, pool: _Pool, probes: FloatArray, where: str) -> None:
        """Put into the pool whatever, under a condition, can be among the best of one of the probes."""
        left = np.arange(len(probes))
        limit = min(_MOST_HITS, max(16, 3 * self.top))
        while len(left):
            beyond = self._named(pool, probes[left], where, limit)
            if self.fusion == "mean":
                self._complete(pool, where)
            needed = pool.least(probes[left], self.top)
            if self.threshold is not None:
                needed = np.maximum(needed, self.threshold)
            left = left[(beyond >= needed) & np.isfinite(beyond)]
            if len(left) and limit == _MOST_HITS:
                raise GalleryError(
                    f"{self.connection.place}: Milvus names at most {_MOST_HITS} templates for a probe, and these hold "
                    f"too few identities to be sure of the best {self.top}: ask for fewer, or set a threshold"
                )
            limit = min(_MOST_HITS, limit * _GROWTH)

    def _named(self, pool: _Pool, probes: FloatArray, where: str, limit: int) -> NDArray[np.float64]:
        """Pool the ``limit`` best templates of each probe; for each the most that any other template can score.

        An identity with only such others scores no more than that either, by the best of them or by their mean.
        """
        beyond = np.full(len(probes), -np.inf)
        dimension = probes.shape[1]
        at_once = max(1, _ANSWER_BYTES // (limit * (4 * dimension + _ROW_BYTES)))
        for start in range(0, len(probes), at_once):
            answers = self.connection.nearest(
                self.collection,
                list(probes[start : start + at_once]),
                where,
                _FIELDS,
                limit=limit,
                parameters=search_parameters(self.index, limit),
            )
            for i, hits in enumerate(answers, start=start):
                pool.take(hits)
                if len(hits) == limit:
                    beyond[i] = hits[-1]["score"] + _rounding(dimension)
        return beyond

    def _complete(self, pool: _Pool, where: str) -> None:
        """Pool all templates of the identities in the pool: a mean is over all, named by the engine or not."""
        persons = pool.incomplete()
        for start in range(0, len(persons), _PERSONS_AT_ONCE):
            of_these = any_of("person", persons[start : start + _PERSONS_AT_ONCE])
            pool.take(self.connection.rows(self.collection, f"{where} and {of_these}", _FIELDS))
        pool.completed(persons)


class _Pool:
    """Templates that the engine has named, each once."""

    def __init__(self, dimension: int, fusion: Fusion) -> None:
        self._index = SearchIndex(dimension)
        self._fusion = fusion
        self._ids: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._complete: set[str] = set()

    def take(self, rows: Sequence[Row]) -> None:
        new = {int(row["id"]): row for row in rows if int(row["id"]) not in self._ids}
        if not new:
            return
        for row in new.values():
            if row["person"] not in self._numbers:
                self._numbers[row["person"]] = len(self._names)
                self._names.append(row["name"])
        numbers = [self._numbers[row["person"]] for row in new.values()]
        self._index.add(list(new), numbers, np.array([row["vector"] for row in new.values()], np.float32))
        self._ids.update(new)

    def incomplete(self) -> list[str]:
        """Identities of which not all templates are known to be here."""
        return [person for person in self._numbers if person not in self._complete]

    def completed(self, persons: Iterable[str]) -> None:
        self._complete.update(persons)

    def search(self, probes: FloatArray, top: int, threshold: float | None) -> list[list[Match]]:
        return self._index.search(probes, self._names, top=top, threshold=threshold, fusion=self._fusion)

    def least(self, probes: FloatArray, top: int) -> NDArray[np.float64]:
        """For each probe the score of the ``top``-th best identity, -inf with fewer."""
        found = self.search(probes, top, None)
        return np.array([matches[-1].score if len(matches) == top else -np.inf for matches in found])


def _rounding(dimension: int) -> float:
    """By how much a score by the engine and one by the index can differ, for unit vectors and means of such.

    Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: d·u/(1 - d·u) times the norms, u = 2^-24, in
    any order of summation; 1.01 covers norms that are off by the 1e-3 that templates may be, and a few more u are for
    the rounding of a reference score and of a mean vector.
    """
    return 1.01 * (dimension + 5) * 2.0**-24
