"""The comparisons that a calibration is fitted on, kept as counts: hundreds of millions of them fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import BadInput
from mien.matching.scores import cosine_scores, paired_scores
from mien.types import FloatArray, Templates

__all__ = ["BIN_CENTERS", "ListedPairs", "PairCounts", "PairSource", "TemplatePairs"]

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BINS = 40_000
BIN_CENTERS: NDArray[np.float64] = np.asarray((np.arange(_BINS) + 0.5) * (2 / _BINS) - 1, np.float64)
"""``(40000,) float64`` centers of the bins in which scores are counted, from -1 to 1."""

_ROWS_A_BLOCK = 512
# The part of the non-mated scores that is kept one by one: above the largest false match rate that is asked for.
_TAIL_SHARE = 0.02
_SMALL = 20_000
_MOST_IMAGES = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Comparisons among some people.

    Attributes:
        people: how many people, R.
        images: how many images they have.
        mated_people: how many people have a mated comparison.
        mated: ``(40000,) int64``, mated scores in each bin.
        non_mated: ``(40000,) int64``, non-mated scores in each bin.
        tail: ``(k,) float32``, the highest non-mated scores, falling.
        tail_left: ``(k,) int64`` whom the first image shows, 0..R - 1.
        tail_right: ``(k,) int64`` whom the second shows.
        weigh: how many non-mated comparisons there are if person r is there ``multiplicity[r]`` times.
    """

    people: int
    images: int
    mated_people: int
    mated: Counts
    non_mated: Counts
    tail: FloatArray
    tail_left: Counts
    tail_right: Counts
    weigh: Callable[[Counts], float]

    @property
    def non_mated_total(self) -> int:
        """How many non-mated comparisons there are."""
        return int(self.non_mated.sum())

    @property
    def mated_total(self) -> int:
        """How many mated comparisons there are."""
        return int(self.mated.sum())


class PairSource(Protocol):
    """Comparisons from which those among some people can be taken."""

    @property
    def people(self) -> int:
        """How many people there are."""
        ...

    def counts(self, chosen: Mask | None = None) -> PairCounts:
        """The comparisons among the chosen people (``(people,) bool``), or among all."""
        ...


def numbered(people: ArrayLike) -> Counts:
    """Numbers from 0 for people of any kind of name."""
    return np.unique(np.asarray(people), return_inverse=True)[1].reshape(-1).astype(np.int64)


class TemplatePairs:
    """Every template compared with every other one.

    Args:
        templates: one an image.
        people: ``(n,)`` whom each shows, names or numbers.
        seed: of the draw of the people who are used, where there are more than 20,000 images.

    Raises:
        BadInput: the lengths differ.
    """

    def __init__(self, templates: Templates, people: ArrayLike, *, seed: int = 0) -> None:
        owners = numbered(people)
        if len(owners) != len(templates):
            raise BadInput(f"people: expected one a template ({len(templates)}), got {len(owners)}")
        vectors = templates.vectors
        if len(owners) > _MOST_IMAGES:
            order = np.random.default_rng(seed).permutation(int(owners.max()) + 1)
            sizes = np.bincount(owners)
            kept = np.zeros(len(sizes), np.bool_)
            kept[order[np.cumsum(sizes[order]) <= _MOST_IMAGES]] = True
            vectors, owners = vectors[kept[owners]], numbered(owners[kept[owners]])
        self._vectors, self._owners = vectors, owners

    @property
    def people(self) -> int:
        """See ``PairSource.people``."""
        return int(self._owners.max()) + 1 if len(self._owners) else 0

    def counts(self, chosen: Mask | None = None) -> PairCounts:
        """See ``PairSource.counts``."""
        kept = slice(None) if chosen is None else np.flatnonzero(chosen[self._owners])
        vectors, owners = self._vectors[kept], numbered(self._owners[kept])
        sizes = np.bincount(owners, minlength=1).astype(np.int64)
        mated, non_mated = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)

        def blocks() -> Any:
            for start in range(0, len(vectors), _ROWS_A_BLOCK):
                scores = cosine_scores(vectors[start : start + _ROWS_A_BLOCK], vectors[start:])
                later = np.arange(scores.shape[1]) > np.arange(len(scores))[:, None]
                same = owners[start : start + _ROWS_A_BLOCK, None] == owners[None, start:]
                yield start, scores, later & same, later & ~same

        for _, scores, same, different in blocks():
            mated += _binned(scores[same])
            non_mated += _binned(scores[different])
        least = _tail_start(non_mated)
        tail: list[tuple[FloatArray, Counts, Counts]] = []
        for start, scores, _, different in blocks():
            rows, columns = np.nonzero(different & (scores >= least))
            tail.append((scores[rows, columns], owners[rows + start], owners[columns + start]))

        def weigh(multiplicity: Counts) -> float:
            images = (multiplicity * sizes).astype(np.float64)
            return float((images.sum() ** 2 - (images**2).sum()) / 2)

        return _counts(len(sizes), len(vectors), int((sizes > 1).sum()), mated, non_mated, tail, weigh)


class ListedPairs:
    """The comparisons of a list.

    Args:
        scores: ``(n,)`` in -1..1.
        mated: ``(n,) bool``.
        left: ``(n,)`` whom the first image of each shows, names or numbers.
        right: ``(n,)`` whom the second shows.
        images: how many images there are.

    Raises:
        BadInput: lengths differ, a score is not finite or out of range.
    """

    def __init__(self, scores: ArrayLike, mated: ArrayLike, left: ArrayLike, right: ArrayLike, *, images: int) -> None:
        self._scores = np.asarray(scores, np.float32)
        self._mated = np.asarray(mated, np.bool_)
        both = numbered(np.concatenate([np.asarray(left).reshape(-1), np.asarray(right).reshape(-1)]))
        self._left, self._right = both[: len(both) // 2], both[len(both) // 2 :]
        self._images = images
        lengths = {len(self._scores), len(self._mated), len(self._left), len(self._right)}
        if self._scores.ndim != 1 or len(lengths) != 1:
            raise BadInput(f"expected scores, mated, left and right of one length, got {sorted(lengths)}")
        if not np.isfinite(self._scores).all() or (np.abs(self._scores) > 1).any():
            raise BadInput("scores: expected numbers in -1..1; leave out what was not compared")

    @property
    def people(self) -> int:
        """See ``PairSource.people``."""
        return 1 + int(max(self._left.max(initial=-1), self._right.max(initial=-1)))

    def counts(self, chosen: Mask | None = None) -> PairCounts:
        """See ``PairSource.counts``."""
        kept = np.ones(len(self._scores), np.bool_) if chosen is None else chosen[self._left] & chosen[self._right]
        scores, mated = self._scores[kept], self._mated[kept]
        both = numbered(np.concatenate([self._left[kept], self._right[kept]]))
        left, right = both[: len(scores)], both[len(scores) :]
        people = int(both.max(initial=-1)) + 1
        non_mated = _binned(scores[~mated])
        couples, counts = np.unique(np.stack([left[~mated], right[~mated]]), axis=1, return_counts=True)
        wanted = ~mated & (scores >= _tail_start(non_mated))
        tail = [(scores[wanted], left[wanted], right[wanted])]

        def weigh(multiplicity: Counts) -> float:
            return float((multiplicity[couples[0]] * multiplicity[couples[1]] * counts).sum())

        images = self._images if chosen is None else 0
        known = len(np.unique(left[mated]))
        return _counts(people, images, known, _binned(scores[mated]), non_mated, tail, weigh)

    @classmethod
    def of_templates(
        cls, templates: Templates, left: Counts, right: Counts, mated: Mask, people: Counts
    ) -> ListedPairs:
        """The comparisons of templates ``left[i]`` with ``right[i]``; ``people`` says whom each template shows."""
        scores = paired_scores(templates.vectors[left], templates.vectors[right])
        images = len(np.union1d(left, right))
        return cls(scores, mated, people[left], people[right], images=images)


def _binned(scores: FloatArray) -> Counts:
    places = np.clip(((scores.astype(np.float64) + 1) * (_BINS / 2)).astype(np.int64), 0, _BINS - 1)
    return np.bincount(places, minlength=_BINS).astype(np.int64)


def _tail_start(non_mated: Counts) -> float:
    above = np.cumsum(non_mated[::-1])[::-1]
    wanted = max(_SMALL, _TAIL_SHARE * above[0])
    reached = np.flatnonzero(above >= wanted)
    return float(BIN_CENTERS[reached[-1]] - 1 / _BINS) if len(reached) else -1.0


def _counts(
    people: int,
    images: int,
    mated_people: int,
    mated: Counts,
    non_mated: Counts,
    tail: list[tuple[FloatArray, Counts, Counts]],
    weigh: Callable[[Counts], float],
) -> PairCounts:
    scores, left, right = (np.concatenate(parts) for parts in zip(*tail, strict=True)) if tail else (np.empty(0),) * 3
    order = np.argsort(-scores, kind="stable")
    return PairCounts(
        people,
        images,
        mated_people,
        mated,
        non_mated,
        np.asarray(scores[order], np.float32),
        left[order].astype(np.int64),
        right[order].astype(np.int64),
        weigh,
    )
