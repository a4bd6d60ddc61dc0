"""Cleaning: images of somebody else, labels that belong to another person, photos that are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import BadInput
from mien.matching import SearchIndex, cosine_scores
from mien.matching.calibration import find_calibration
from mien.training.data.centers import Centers, robust_centers
from mien.training.data.changes import Change
from mien.training.data.describing import Described
from mien.training.data.index import Index
from mien.training.data.near_duplicates import DuplicateLimits, NearDuplicate, find_near_duplicates
from mien.types import FloatArray

__all__ = ["CleanSettings", "Cleaned", "clean", "default_settings"]

_OUTLIER_FMR, _OTHER_FPIR, _DUPLICATE_FMR = 1e-2, 1e-4, 1e-6
_FEWEST = 3
_FEWEST_OF_OTHER = 2


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """From when on an image counts as wrong.

    Attributes:
        outlier: images that score less with their person's center are somebody else's.
        other: the least score with another person's center to be taken for theirs.
        margin: by how much it must be above the score with the own center.
        relabel: give such images to the other person; False removes them.
        duplicates: when two images count as one; None leaves duplicates alone.
    """

    outlier: float
    other: float
    margin: float = 0.1
    relabel: bool = True
    duplicates: DuplicateLimits | None = None

    def __post_init__(self) -> None:
        for name in ("outlier", "other"):
            if not -1 <= getattr(self, name) <= 1:
                raise BadInput(f"{name}: expected a score in -1..1, got {getattr(self, name)}")
        if not 0 < self.margin <= 2:
            raise BadInput(f"margin: expected above 0 and at most 2, got {self.margin}")


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """What cleaning comes to.

    Attributes:
        index: what is left, with labels without gaps.
        changes: every row that was removed or got another person, and those that nobody but a person can settle.
        counts: how many of each reason.
        lost: people of whom no image is left.
    """

    index: Index
    changes: tuple[Change, ...]
    counts: dict[str, int]
    lost: tuple[str, ...]


def default_settings(space: str, threshold: float, people: int, *, duplicates: bool = True) -> CleanSettings:
    """The settings that an embedder's calibration gives.

    An image counts as somebody else's if it is less like its person than one in a hundred strangers is. It counts as
    another person's if so good a candidate is found among all the people for one in 10,000 strangers; a new label that
    is wrong does more harm than an image less. Candidates for duplicates lie halfway between the threshold of one in a
    million and 1.

    Args:
        space: the embedder's space.
        threshold: the embedder's own, which stands in for all where there is no calibration.
        people: how many people the images show.
        duplicates: whether to look for duplicates.
    """
    calibration = find_calibration(space)
    outlier = other = surely = threshold
    if calibration is not None:
        outlier, surely = calibration.threshold_at(_OUTLIER_FMR), calibration.threshold_at(_DUPLICATE_FMR)
        other = calibration.threshold_at_fpir(_OTHER_FPIR, max(1, people))
    limits = DuplicateLimits(score=(1 + surely) / 2) if duplicates else None
    return CleanSettings(outlier=outlier, other=other, duplicates=limits)


def clean(
    index: Index, described: Described, settings: CleanSettings, progress: Callable[[int], None] | None = None
) -> Cleaned:
    """Find what is wrong in an index.

    Images that are much more like another person get that label; those that are not like their own person are removed;
    of near-duplicates the best stays: the one of higher quality, where that is known, or else of more bytes; of two
    that stand with two people, the one that fits its person better. Images that cannot be read are removed, and those
    without a label stay as they are. People of fewer than three images have no center that an outlier could be told
    by: if their two images do not match, these are listed as ``ambiguous``, and stay.

    Args:
        index: the images, aligned.
        described: their templates, all of them.
        settings: see there.
        progress: called with the number of pairs of possible duplicates looked at.

    Raises:
        BadInput: no image has a label, or the templates are of other images or not complete.
    """
    if len(described) != len(index) or not described.complete:
        raise BadInput(f"{index.where}: expected templates of its {len(index)} images, got {len(described)}")
    if not index.classes:
        raise BadInput(f"{index.where}: expected images with labels, found none among {len(index)}")
    work = _Work(index, described, settings)
    work.unreadable()
    work.wrong_people()
    if settings.duplicates is not None:
        alive = np.where(work.removed, -1, work.labels)
        pairs = find_near_duplicates(index, described, alive.astype(np.int32), settings.duplicates, progress)
        work.across(pairs)
        work.within(pairs)
    return work.finished()


class _Work:
    """An index in cleaning."""

    def __init__(self, index: Index, described: Described, settings: CleanSettings) -> None:
        self.index, self.vectors, self.there, self.settings = index, described.vectors, described.there, settings
        self.labels = index.labels.copy()
        self.removed = np.zeros(len(index), np.bool_)
        self.changes: list[Change] = []
        self.names = index.identities
        self.images = index.texts("name")
        self.where = index.where
        self.centers = robust_centers(self.vectors, index.labels, index.classes, least=settings.outlier)

    def unreadable(self) -> None:
        """Images without a template."""
        for row in np.flatnonzero(~self.there).tolist():
            self._remove(row, "unreadable")

    def wrong_people(self) -> None:
        """Images that are another's, or nobody's."""
        settings, own = self.settings, self.centers.own
        other_label, other_score = _nearest_others(self.vectors, self.index.labels, self.centers)
        judged = self.there & ~np.isnan(own)
        flips = judged & (other_score >= settings.other) & (other_score - own >= settings.margin)
        low = judged & ~flips & (own < settings.outlier)
        few = self.centers.counts[np.maximum(self.index.labels, 0)] < _FEWEST
        for row in np.flatnonzero(flips | low).tolist():
            label = int(other_label[row])
            facts: dict[str, object] = {"own_score": float(own[row])}
            if label >= 0:
                facts |= {"other_identity": self.names[label], "other_score": float(other_score[row])}
            facts |= self._most_alike(row, label if flips[row] else int(self.index.labels[row]))
            if flips[row] and settings.relabel:
                self.labels[row] = label
                self._note(row, "relabeled", "wrong_label", new_identity=self.names[label], **facts)
            elif flips[row]:
                self._remove(row, "wrong_label", **facts)
            elif few[row]:
                self._note(row, "kept", "ambiguous", new_identity=self.names[int(self.labels[row])], **facts)
            else:
                self._remove(row, "outlier", **facts)

    def across(self, pairs: list[NearDuplicate]) -> None:
        """One photo with two people: it stays with the one whom it fits."""
        for pair in sorted(pairs, key=lambda pair: -pair.correlation):
            both = (pair.row, pair.other)
            if self.labels[pair.row] == self.labels[pair.other] or self.removed[list(both)].any():
                continue
            scores = [self._fit(row) for row in both]
            worse, better = both if scores[0] < scores[1] else both[::-1]
            self._remove(
                worse,
                "duplicate_elsewhere",
                own_score=min(scores),
                other_identity=self.names[int(self.labels[better])],
                other_score=max(scores),
                **self._compared(better, pair),
            )

    def within(self, pairs: list[NearDuplicate]) -> None:
        """One photo twice with one person: the best stays."""
        twins: dict[int, list[NearDuplicate]] = {}
        for pair in pairs:
            if self.labels[pair.row] == self.labels[pair.other]:
                twins.setdefault(pair.row, []).append(pair)
                twins.setdefault(pair.other, []).append(pair)
        kept: set[int] = set()
        for row in sorted(twins, key=self._worth):
            if self.removed[row]:
                continue
            better = [pair for pair in twins[row] if _partner(pair, row) in kept]
            if better:
                pair = max(better, key=lambda pair: pair.correlation)
                self._remove(row, "near_duplicate", **self._compared(_partner(pair, row), pair))
            else:
                kept.add(row)

    def finished(self) -> Cleaned:
        """The index that is left."""
        names = np.array([*self.names, ""], dtype=object)
        identities = np.where(self.index.labels == self.labels, self.index.texts("identity"), names[self.labels])
        left = self.index.with_columns(label=self.labels, identity=identities.tolist()).take(~self.removed)
        index = left.relabeled()
        remaining = set(index.identities)
        changes = tuple(sorted(self.changes, key=lambda change: change.row))
        lost = tuple(name for name in self.names if name not in remaining)
        return Cleaned(index, changes, dict(Counter(change.reason for change in changes)), lost)

    def _fit(self, row: int) -> float:
        """How like its person an image is; of a person's only image, nothing."""
        label = int(self.labels[row])
        if label == self.index.labels[row]:
            own = float(self.centers.own[row])
            return -1.0 if np.isnan(own) else own
        return float(cosine_scores(self.vectors[[row]], self.centers.vectors[[label]])[0, 0])

    def _worth(self, row: int) -> tuple[float, int, int]:
        quality = float(self.index.quality[row])
        return (-1.0 if np.isnan(quality) else -quality, -int(self.index.numbers("length")[row]), row)

    def _most_alike(self, row: int, label: int) -> dict[str, object]:
        """The image of a person that is most like another image."""
        rows = np.flatnonzero((self.index.labels == label) & self.there)
        rows = rows[rows != row]
        if not len(rows):
            return {}
        scores = cosine_scores(self.vectors[[row]], self.vectors[rows])[0]
        best = int(scores.argmax())
        return {**self._other(int(rows[best])), "compared_score": float(scores[best])}

    def _compared(self, row: int, pair: NearDuplicate) -> dict[str, object]:
        return {
            **self._other(row),
            "compared_score": pair.score,
            "hash_bits": pair.hash_bits,
            "correlation": pair.correlation,
        }

    def _other(self, row: int) -> dict[str, object]:
        return {"compared_pack": self.where, "compared_row": row, "compared_name": self.images[row]}

    def _remove(self, row: int, reason: str, **facts: object) -> None:
        self.removed[row] = True
        self._note(row, "removed", reason, **facts)

    def _note(self, row: int, action: str, reason: str, **facts: object) -> None:
        label = int(self.index.labels[row])
        identity = self.names[label] if label >= 0 else ""
        change = Change(action, reason, self.where, row, self.images[row], identity, **facts)  # type: ignore[arg-type]
        self.changes.append(change)


def _partner(pair: NearDuplicate, row: int) -> int:
    return pair.other if pair.row == row else pair.row


def _nearest_others(
    vectors: FloatArray, labels: NDArray[np.int32], centers: Centers
) -> tuple[NDArray[np.int64], FloatArray]:
    """For each image the nearest center of another person, -1 and -1 where there is none.

    A center of fewer than two images is no person to give an image to: it may be the same one under another name.
    """
    people = np.flatnonzero(centers.counts >= _FEWEST_OF_OTHER)
    nearest, best = np.full(len(vectors), -1, np.int64), np.full(len(vectors), -1.0, np.float32)
    if not len(people):
        return nearest, best
    search = SearchIndex(vectors.shape[1])
    search.add(people, people, centers.vectors[people])
    scores, _, found, _ = search.snapshot().rank(vectors, top=2)
    for column in range(found.shape[1] - 1, -1, -1):
        good = (found[:, column] >= 0) & (found[:, column] != labels)
        nearest[good], best[good] = found[good, column], scores[good, column]
    return nearest, best
