"""The people of packs, and which of different packs look alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mien.matching import SearchIndex, cosine_scores
from mien.training.data.centers import Centers, robust_centers
from mien.training.data.describing import Described
from mien.training.data.index import Index
from mien.training.data.reviewing import PeoplePair
from mien.types import FloatArray

__all__ = ["LikelyPair", "PackPeople", "Person", "compared", "likely_pairs"]

Person = tuple[int, int]
"""A pack's number and a label in it."""


@dataclass(frozen=True, slots=True, eq=False)
class PackPeople:
    """The people of a pack.

    Attributes:
        name: the pack's.
        index: its images.
        vectors: ``(n, d)`` their templates.
        centers: each person's center.
        means: ``(c, d) float32`` the means of the templates that the centers are made of, not scaled to unit norm: the
            product of two is the mean score of all pairs of images.
        rows: the rows of each person's images that have a template.
        images: the name of each image.
    """

    name: str
    index: Index
    vectors: FloatArray
    centers: Centers
    means: FloatArray
    rows: list[NDArray[np.int64]]
    images: list[str]

    @classmethod
    def of(cls, name: str, index: Index, described: Described, least: float) -> PackPeople:
        """The people of a pack; ``least``: see ``robust_centers``."""
        centers = robust_centers(described.vectors, index.labels, index.classes, least=least)
        order = np.argsort(index.labels, kind="stable")
        order = order[(index.labels[order] >= 0) & described.there[order]]
        rows = np.split(order, np.cumsum(centers.counts)[:-1])
        means = np.zeros_like(centers.vectors)
        for label, mine in enumerate(rows):
            if len(mine):
                means[label] = described.vectors[mine[centers.core[mine]]].mean(axis=0)
        return cls(name, index, described.vectors, centers, means, rows, index.texts("name"))

    @property
    def there(self) -> NDArray[np.int64]:
        """The labels of people with a template."""
        return np.flatnonzero(self.centers.counts)


@dataclass(frozen=True, slots=True)
class LikelyPair:
    """Two people of different packs who look alike; see ``PeoplePair`` for the numbers."""

    a: Person
    b: Person
    score: float
    center_score: float
    mutual: bool
    shared: int

    def told(self, sides: Sequence[PackPeople], decision: str, reason: str) -> PeoplePair:
        """The pair with names and its two most similar images."""
        one, other = sides[self.a[0]], sides[self.b[0]]
        row_a, row_b, score = _closest(one, self.a[1], other, self.b[1])
        return PeoplePair(
            decision=decision,
            reason=reason,
            pack_a=one.name,
            identity_a=one.index.identities[self.a[1]],
            pack_b=other.name,
            identity_b=other.index.identities[self.b[1]],
            score=self.score,
            center_score=self.center_score,
            mutual=self.mutual,
            shared=self.shared,
            row_a=row_a,
            image_a=one.images[row_a] if row_a >= 0 else "",
            row_b=row_b,
            image_b=other.images[row_b] if row_b >= 0 else "",
            image_score=score,
        )


def likely_pairs(sides: Sequence[PackPeople], least: float) -> list[LikelyPair]:
    """People of different packs one of whom is the other's nearest by centers, or who share an image.

    Args:
        sides: the packs' people.
        least: mean score of their images from which a pair is listed; those that share an image always are.
    """
    found: list[LikelyPair] = []
    for i, j in combinations(range(len(sides)), 2):
        forth, back = _nearest(sides[i], sides[j]), _nearest(sides[j], sides[i])
        pairs = {(a, b) for a, b in forth.items()} | {(a, b) for b, a in back.items()}
        shared = _shared(sides[i], sides[j])
        for a, b in sorted(pairs | set(shared)):
            mutual = forth.get(a) == b and back.get(b) == a
            pair = compared(sides, (i, a), (j, b), mutual=mutual, shared=shared.get((a, b), 0))
            if pair.score >= least or pair.shared:
                found.append(pair)
    return found


def compared(sides: Sequence[PackPeople], a: Person, b: Person, *, mutual: bool, shared: int = 0) -> LikelyPair:
    """Two people with their scores."""
    one, other = sides[a[0]], sides[b[0]]
    score = float(one.means[a[1]] @ other.means[b[1]])
    center_score = float(one.centers.vectors[a[1]] @ other.centers.vectors[b[1]])
    return LikelyPair(a, b, score, min(1.0, center_score), mutual, shared)


def _nearest(probes: PackPeople, gallery: PackPeople) -> dict[int, int]:
    """For each label of a pack the label of the other one whose center is nearest."""
    mine, theirs = probes.there, gallery.there
    if not len(mine) or not len(theirs):
        return {}
    search = SearchIndex(gallery.centers.vectors.shape[1])
    search.add(theirs, theirs, gallery.centers.vectors[theirs])
    _, _, found, _ = search.snapshot().rank(probes.centers.vectors[mine], top=1)
    return dict(zip(mine.tolist(), found[:, 0].tolist(), strict=True))


def _shared(one: PackPeople, other: PackPeople) -> dict[tuple[int, int], int]:
    """How many images, byte for byte, people of two packs share."""
    owners: dict[bytes, int] = {
        digest: label for digest, label in zip(one.index.digests, one.index.labels.tolist(), strict=True) if label >= 0
    }
    counts: dict[tuple[int, int], int] = {}
    for digest, label in zip(other.index.digests, other.index.labels.tolist(), strict=True):
        owner = owners.get(digest)
        if label >= 0 and owner is not None:
            counts[owner, label] = counts.get((owner, label), 0) + 1
    return counts


def _closest(one: PackPeople, a: int, other: PackPeople, b: int) -> tuple[int, int, float]:
    """The two most similar images of two people, by row, and their score; -1, -1, -1 where one has none."""
    mine, theirs = one.rows[a], other.rows[b]
    if not len(mine) or not len(theirs):
        return -1, -1, -1.0
    scores = cosine_scores(one.vectors[mine], other.vectors[theirs])
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(mine[row]), int(theirs[column]), float(scores[row, column])
