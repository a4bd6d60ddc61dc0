"""Near-duplicates: one photo stored twice, encoded anew, cut a little differently, brighter, smaller or mirrored.

Templates find the candidates, a hash sorts most of them out, and the pixels decide: two photos of one person in the
same minute have templates and hashes as alike as two copies of one photo, but other pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.matching import SearchIndex, cosine_scores
from mien.training.data.describing import Described, decoded_chip
from mien.training.data.index import Index
from mien.training.data.shards import ShardReader
from mien.types import FloatArray, ImageArray

__all__ = ["DuplicateLimits", "NearDuplicate", "difference_hash", "find_near_duplicates", "likeness"]

_HASH_SIDE = 8
_SIDE, _WINDOW = 56, 44
_SCALES = (0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1)
_ROWS_A_BLOCK = 2048
_PAIRS_A_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class DuplicateLimits:
    """From when on two images are one.

    Attributes:
        score: of their templates, at least.
        hash_bits: of the 64 of their hashes that differ, at most.
        correlation: of their pixels, at least. Looked through on faces of film stars: from 0.94 on, pairs are copies of
            one photo; at 0.92 to 0.94 about a third are photos of one moment.
    """

    score: float
    hash_bits: int = 18
    correlation: float = 0.94


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two images that are one, with the numbers; ``row`` is the lower.

    Attributes:
        row: the one.
        other: the other.
        score: of their templates.
        hash_bits: of 64 that differ.
        correlation: of their pixels, -1..1.
    """

    row: int
    other: int
    score: float
    hash_bits: int
    correlation: float


def find_near_duplicates(
    index: Index,
    described: Described,
    labels: NDArray[np.int32],
    limits: DuplicateLimits,
    progress: Callable[[int], None] | None = None,
) -> list[NearDuplicate]:
    """Find images of one person that are near-duplicates, and images of two people that are.

    Of two people, each image is compared with the most similar one of the person most like it.

    Args:
        index: the images, aligned.
        described: their templates.
        labels: ``(n,)`` the person on each; rows of -1 take no part.
        limits: see there.
        progress: called with the number of pairs looked at since the last call.

    Raises:
        BadPack: an image cannot be read any more.
    """
    usable = described.there & (labels >= 0)
    advance = progress or (lambda _count: None)
    found: list[NearDuplicate] = []
    with ShardReader(index) as reader:
        for pairs, scores in _candidates(described.vectors, np.where(usable, labels, -1), limits.score):
            found += _confirmed(index, reader, pairs, scores, limits)
            advance(len(pairs))
    return sorted(found, key=lambda pair: (pair.row, pair.other))


def difference_hash(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """``(64,) bool``: whether the image gets brighter from each of 8×8 places to the next one on the right (dHash)."""
    small = cv2.resize(gray, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, 1:] > small[:, :-1]).ravel()


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The highest correlation of two gray images of one size, -1..1, the other shifted and scaled by up to a tenth.

    Normalized cross-correlation does not see brightness and contrast (Lewis 1995, "Fast Normalized Cross-Correlation").
    """
    left = cv2.resize(one, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    best = -1.0
    for scale in _SCALES:
        side = round(_SIDE * scale)
        right = cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA)
        edge = (side - _WINDOW) // 2
        window = right[edge : edge + _WINDOW, edge : edge + _WINDOW]
        # A window of one color correlates with nothing.
        if window.min() < window.max():
            best = max(best, float(cv2.matchTemplate(left, window, cv2.TM_CCOEFF_NORMED).max()))
    return best


_Pairs = NDArray[np.int64]


def _candidates(vectors: FloatArray, labels: NDArray[np.int32], least: float) -> Iterator[tuple[_Pairs, FloatArray]]:
    """Pairs ``(k, 2)`` of rows with similar templates, and their scores; a person's at a time, then across people."""
    rows = np.flatnonzero(labels >= 0)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    people, starts = np.unique(labels[rows], return_index=True)
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        yield from _within(vectors, rows[start:stop], least)
    if len(people) > 1:
        yield from _across(vectors, rows, labels, least)


def _within(vectors: FloatArray, mine: NDArray[np.int64], least: float) -> Iterator[tuple[_Pairs, FloatArray]]:
    for start in range(0, len(mine), _ROWS_A_BLOCK):
        block = mine[start : start + _ROWS_A_BLOCK]
        scores = cosine_scores(vectors[block], vectors[mine[start:]])
        left, right = np.nonzero(np.triu(scores >= least, 1))
        yield from _parts(np.stack([block[left], mine[start:][right]], axis=1), scores[left, right])


def _across(
    vectors: FloatArray, rows: NDArray[np.int64], labels: NDArray[np.int32], least: float
) -> Iterator[tuple[_Pairs, FloatArray]]:
    search = SearchIndex(vectors.shape[1])
    search.add(rows, labels[rows], vectors[rows])
    snapshot = search.snapshot()
    for start in range(0, len(rows), _PAIRS_A_BLOCK):
        part = rows[start : start + _PAIRS_A_BLOCK]
        scores, others, people, _ = snapshot.rank(vectors[part], top=2, threshold=least)
        wanted = (people >= 0) & (people != labels[part][:, None])
        left, column = np.nonzero(wanted)
        pairs = np.stack([part[left], others[left, column]], axis=1)
        # A pair that is nearest from both sides is looked at from the lower row alone.
        once = pairs[:, 0] < pairs[:, 1]
        mutual = {(a, b) for a, b in pairs[once].tolist()}
        once |= np.array([(b, a) not in mutual for a, b in pairs.tolist()], np.bool_)
        yield from _parts(np.sort(pairs[once], axis=1), scores[left, column][once])


def _parts(pairs: _Pairs, scores: FloatArray) -> Iterator[tuple[_Pairs, FloatArray]]:
    for start in range(0, len(pairs), _PAIRS_A_BLOCK):
        yield pairs[start : start + _PAIRS_A_BLOCK], scores[start : start + _PAIRS_A_BLOCK]


def _confirmed(
    index: Index, reader: ShardReader, pairs: _Pairs, scores: FloatArray, limits: DuplicateLimits
) -> list[NearDuplicate]:
    """The pairs that hash and pixels confirm."""
    rows = np.unique(pairs).tolist()
    grays = {row: _gray(decoded_chip(index, reader, row)) for row in rows}
    hashes = {row: difference_hash(gray) for row, gray in grays.items()}
    mirrored = {row: difference_hash(gray[:, ::-1]) for row, gray in grays.items()}
    found = []
    for (row, other), score in zip(pairs.tolist(), scores.tolist(), strict=True):
        tries: Sequence[tuple[int, bool]] = (
            (int((hashes[row] != hashes[other]).sum()), False),
            (int((hashes[row] != mirrored[other]).sum()), True),
        )
        bits, flipped = min(tries)
        if bits > limits.hash_bits:
            continue
        second = np.ascontiguousarray(grays[other][:, ::-1]) if flipped else grays[other]
        correlation = likeness(grays[row], second)
        if correlation >= limits.correlation:
            found.append(NearDuplicate(row, other, score, bits, correlation))
    return found


def _gray(image_rgb: ImageArray) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY), np.uint8)
