"""What is in a pack: counted from its index alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.training.data.index import Index

__all__ = ["PackStatistics", "statistics"]

_EDGES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class PackStatistics:
    """Figures of a pack.

    Attributes:
        images: how many.
        identities: how many people have a label.
        unlabeled: images without one.
        aligned: side of the chips, or None.
        bytes: of all images.
        shards: files that they are in.
        images_a_person: least, median, mean and most.
        histogram: (from, to, people): how many people have that many images; ``to`` is None in the last.
        largest: the people with most images, most first.
        sizes: (width, height, images), most frequent first.
        with_landmarks: images that have them.
        quality: deciles 0, 10, … 100 of the measured ones, or None.
        scores: the same of the detector's scores.
        licenses: images by license.
        duplicates: images whose bytes an earlier row has too.
        duplicates_across: those of them whose bytes another person has too.
        note: the index's.
        sources: the index's.
    """

    images: int
    identities: int
    unlabeled: int
    aligned: int | None
    bytes: int
    shards: int
    images_a_person: dict[str, float]
    histogram: tuple[tuple[int, int | None, int], ...]
    largest: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[int, int, int], ...]
    with_landmarks: int
    quality: tuple[float, ...] | None
    scores: tuple[float, ...] | None
    licenses: dict[str, int]
    duplicates: int
    duplicates_across: int
    note: str
    sources: tuple[str, ...]


def statistics(index: Index, *, top: int = 10) -> PackStatistics:
    """Count what is in an index.

    Args:
        index: what to look at.
        top: how many of the largest people, and of the most frequent sizes, to name.
    """
    labels = index.labels
    counts = np.bincount(labels[labels >= 0], minlength=index.classes) if len(index) else np.empty(0, np.int64)
    order = np.argsort(-counts, kind="stable")[:top]
    names = index.identities
    sizes = Counter(zip(index.numbers("width").tolist(), index.numbers("height").tolist(), strict=True))
    duplicates, across = _duplicates(index)
    return PackStatistics(
        images=len(index),
        identities=index.classes,
        unlabeled=int((labels < 0).sum()),
        aligned=index.aligned,
        bytes=int(index.numbers("length").astype(np.int64).sum()),
        shards=len(np.unique(index.shard_numbers)),
        images_a_person=_spread(counts),
        histogram=_histogram(counts),
        largest=tuple((names[k], int(counts[k])) for k in order.tolist()),
        sizes=tuple((width, height, count) for (width, height), count in sizes.most_common(top)),
        with_landmarks=len(index) - index.table.column("landmarks").null_count,
        quality=_deciles(index.quality),
        scores=_deciles(index.numbers("score")),
        licenses=dict(Counter(index.texts("license")).most_common()),
        duplicates=duplicates,
        duplicates_across=across,
        note=index.note,
        sources=index.sources,
    )


def _spread(counts: NDArray[np.int64]) -> dict[str, float]:
    if not len(counts):
        return {}
    return {
        "least": int(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "most": int(counts.max()),
    }


def _histogram(counts: NDArray[np.int64]) -> tuple[tuple[int, int | None, int], ...]:
    rows: list[tuple[int, int | None, int]] = []
    for low, after in zip(_EDGES, (*_EDGES[1:], None), strict=True):
        within = counts >= low if after is None else (counts >= low) & (counts < after)
        if within.any():
            rows.append((low, None if after is None else after - 1, int(within.sum())))
    return tuple(rows)


def _deciles(values: NDArray[np.float32]) -> tuple[float, ...] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return tuple(round(float(value), 4) for value in np.percentile(known, np.arange(0, 101, 10)))


def _duplicates(index: Index) -> tuple[int, int]:
    """Images whose bytes an earlier one has, and those of them that an earlier one of another person has."""
    first: dict[bytes, set[int]] = {}
    copies = across = 0
    for digest, label in zip(index.digests, index.labels.tolist(), strict=True):
        owners = first.setdefault(digest, set())
        copies += bool(owners)
        across += bool(owners - {label})
        owners.add(label)
    return copies, across
